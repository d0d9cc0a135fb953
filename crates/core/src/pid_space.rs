//! Where and when a pid means what it means: another boot, or another PID namespace, gives the same numbers to other
//! processes.

use crate::sys::proc_stat::ProcStat;

/// Describes the PID namespace of this process, in this boot of the system: two texts are equal only if a pid means the
/// same process, as long as that lives. A container that is started again may get the number of its old namespace, but
/// never its old first process. None where /proc doesn't tell.
#[must_use]
pub fn current() -> Option<String> {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let namespace = std::fs::read_link("/proc/self/ns/pid").ok()?;
    Some(format!("{} {} {}", boot.trim(), namespace.display(), ProcStat::read(1)?.start))
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    #[test]
    fn a_pid_space_stays_the_same_as_long_as_the_system_runs() {
        let (first, second) = (super::current(), super::current());
        assert!(first.is_some());
        assert_eq!(first, second);
    }
}
