//! Resources that a process is given before its exec: limits, scheduling priorities, and the refusal of new privileges.
//!
//! One struct crosses the plan, the supervisor's configuration, the worker and the child, so that a new resource is a
//! field here, its system call in `sys/`, and a field of the binding.

use nix::errno::Errno;
use serde::{Deserialize, Serialize};

use crate::error::{Failure, Result, Step};
use crate::limits::Limit;
use crate::packing::{Pack, pack_fields};
use crate::sys::{limit, priority, process};

/// The lowest I/O priority of a class; 0 is the highest.
const LOWEST_IO_LEVEL: u8 = 7;

/// Resources of a process; what is absent stays as inherited.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct Resources {
    /// Limits of setrlimit(2).
    pub limits: Vec<Limit>,
    /// Nice value: setpriority(2).
    pub nice: Option<i32>,
    /// Priority of ioprio_set(2).
    pub io_priority: Option<IoPriority>,
    /// Likelihood of being killed when memory runs out: proc_pid_oom_score_adj(5).
    pub oom_score_adjust: Option<i32>,
    /// Whether no later execve(2) may grant privileges: PR_SET_NO_NEW_PRIVS(2const).
    pub no_new_privileges: bool,
}

pack_fields!(Resources { limits, nice, io_priority, oom_score_adjust, no_new_privileges });

/// I/O scheduling class with the level inside of it, 0 (first served) to 7: ioprio_set(2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "class", rename_all = "kebab-case", deny_unknown_fields)]
pub enum IoPriority {
    /// Only while nobody else wants the disk.
    Idle,
    /// The usual class.
    BestEffort {
        /// 0, the first to be served, to 7.
        level: u8,
    },
    /// Before all others.
    Realtime {
        /// 0, the first to be served, to 7.
        level: u8,
    },
}

impl Pack for IoPriority {
    fn pack(&self, to: &mut Vec<u8>) {
        let (class, level) = self.class_and_level();
        (class as u32, u32::from(level)).pack(to);
    }

    fn unpack(from: &mut &[u8]) -> Option<Self> {
        let (class, level) = <(u32, u32)>::unpack(from)?;
        let level = level.try_into().ok()?;
        [Self::Idle, Self::BestEffort { level }, Self::Realtime { level }]
            .into_iter()
            .find(|priority| priority.class_and_level().0 as u32 == class)
    }
}

impl Resources {
    /// Refuses what the kernel would refuse, before anything is started and with a message that names the present
    /// value.
    pub fn check(&self) -> std::result::Result<(), Failure> {
        self.limits.iter().try_for_each(|limit| limit.check())?;
        self.io_priority.map_or(Ok(()), IoPriority::check)
    }

    /// Takes over what `others` set.
    pub fn take_over(&mut self, others: Self) {
        let Self { limits, nice, io_priority, oom_score_adjust, no_new_privileges } = others;
        self.limits.retain(|own| limits.iter().all(|each| each.resource != own.resource));
        self.limits.extend(limits);
        self.nice = nice.or(self.nice);
        self.io_priority = io_priority.or(self.io_priority);
        self.oom_score_adjust = oom_score_adjust.or(self.oom_score_adjust);
        self.no_new_privileges |= no_new_privileges;
    }

    /// Gives them to the calling thread and, except for nice value and I/O priority, to its process. Called between
    /// fork and exec, where there is one thread. Async-signal-safe.
    pub fn apply(&self) -> std::result::Result<(), (Step, Errno)> {
        self.apply_priorities(0)?;
        if let Some(adjust) = self.oom_score_adjust {
            process::set_oom_score_adjust(adjust).map_err(|errno| (Step::OomScoreAdjust, errno))?;
        }
        if self.no_new_privileges {
            process::forbid_new_privileges().map_err(|errno| (Step::NoNewPrivileges, errno))?;
        }
        // Last: a limit on open files would stop the write of the oom score.
        for limit in &self.limits {
            limit.apply().map_err(|errno| (Step::Limits, errno))?;
        }
        Ok(())
    }

    /// Whether a process that gets them may write files up to a size only, by its own limit or by the inherited one.
    pub fn limit_file_size(&self) -> bool {
        let own = self.limits.iter().rev().find(|limit| limit.is_of("fsize")).map(|limit| limit.soft);
        let soft = own.or_else(|| Some(limit::get(libc::RLIMIT_FSIZE).ok()?.0));
        soft.is_some_and(|soft| soft != libc::RLIM_INFINITY)
    }

    /// Gives them to this running process with all its threads, where nothing is executed.
    pub fn apply_to_running_process(&self) -> Result<()> {
        self.check()?;
        if self.nice.is_some() || self.io_priority.is_some() {
            // Before the limits: one on open files could stop the listing. A thread may have exited since it was
            // listed.
            for thread in other_threads() {
                let _ = self.apply_priorities(thread);
            }
        }
        self.apply().map_err(|(step, errno)| Failure::new(step, step.syscall(), errno).into())
    }

    /// Sets what Linux keeps for each thread. `thread` 0 means the calling one.
    fn apply_priorities(&self, thread: i32) -> std::result::Result<(), (Step, Errno)> {
        if let Some(nice) = self.nice {
            priority::set_nice(thread, nice).map_err(|errno| (Step::Nice, errno))?;
        }
        if let Some(priority) = self.io_priority {
            priority.apply(thread).map_err(|errno| (Step::IoPriority, errno))?;
        }
        Ok(())
    }
}

impl IoPriority {
    fn check(self) -> std::result::Result<(), Failure> {
        let refused = |errno, why| Err(Failure::new(Step::IoPriority, Step::IoPriority.syscall(), errno).because(why));
        if cfg!(not(target_os = "linux")) {
            return refused(Errno::ENOSYS, "I/O priorities are supported on Linux only");
        }
        let (_, level) = self.class_and_level();
        // The kernel doesn't refuse it: since Linux 6.5 the bits above are hints, and 8 means level 0 with a hint.
        if level > LOWEST_IO_LEVEL {
            return refused(Errno::EINVAL, "its level is a number from 0 to 7");
        }
        Ok(())
    }

    /// Async-signal-safe.
    fn apply(self, thread: i32) -> nix::Result<()> {
        let (class, level) = self.class_and_level();
        match priority::set_io(thread, class, level) {
            // A worker got it from its supervisor, which had the right to give it.
            Err(Errno::EPERM) if priority::is_io(thread, class, level) => Ok(()),
            other => other,
        }
    }

    fn class_and_level(self) -> (priority::IoClass, u8) {
        match self {
            Self::Idle => (priority::IoClass::Idle, 0),
            Self::BestEffort { level } => (priority::IoClass::BestEffort, level),
            Self::Realtime { level } => (priority::IoClass::Realtime, level),
        }
    }
}

/// Lists the threads of this process but the calling one, where the system sets priorities for each thread.
fn other_threads() -> impl Iterator<Item = i32> {
    let all = cfg!(target_os = "linux").then(|| std::fs::read_dir("/proc/self/task").ok()).flatten();
    let own = process::thread_id();
    all.into_iter()
        .flatten()
        .filter_map(|thread| thread.ok()?.file_name().to_str()?.parse().ok())
        .filter(move |&thread| thread != own)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_that_no_class_has_is_refused_before_the_start() {
        let of = |level| Resources { io_priority: Some(IoPriority::BestEffort { level }), ..Resources::default() };
        let refused = of(8).check().unwrap_err();
        assert_eq!(refused.step, Step::IoPriority);
        assert_eq!(of(7).check().is_ok(), cfg!(target_os = "linux"));
    }
}
