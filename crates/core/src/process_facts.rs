//! Facts about a process: parent, process group, session, terminal, and what it has used.

use nix::errno::Errno;
use nix::unistd::{Pid, SysconfVar, getpgid, getsid, sysconf};

use crate::error::{During, Failure, Result, Step};
use crate::sys::proc_stat::ProcStat;

/// Place of a process among the others.
#[derive(Debug, Clone)]
pub struct ProcessFacts {
    /// Pid.
    pub pid: i32,
    /// Pid of the parent.
    pub ppid: i32,
    /// Id of the process group.
    pub pgid: i32,
    /// Id of the session.
    pub sid: i32,
    /// The controlling terminal's name, e.g. `pts/3`.
    pub tty: Option<String>,
    /// Mask of new files; None where the kernel does not tell it.
    pub umask: Option<u32>,
}

/// Memory and time that a process has used so far: proc_pid_stat(5).
#[derive(Debug, Clone, Copy)]
pub struct Usage {
    /// Resident memory, in bytes.
    pub rss: u64,
    /// User and system time, in milliseconds.
    pub cpu: u64,
    /// Time since its fork, in milliseconds.
    pub uptime: u64,
}

/// Reads what process `pid` has used; None where there is no /proc, or no such process.
#[must_use]
pub fn usage(pid: i32) -> Option<Usage> {
    let stat = ProcStat::read(pid)?;
    let tick = 1000 / u64::try_from(sysconf(SysconfVar::CLK_TCK).ok()??).ok()?;
    let page = u64::try_from(sysconf(SysconfVar::PAGE_SIZE).ok()??).ok()?;
    let uptime = std::fs::read_to_string("/proc/uptime").ok()?;
    let (seconds, hundredths) = uptime.split_whitespace().next()?.split_once('.')?;
    let now = seconds.parse::<u64>().ok()? * 1000 + hundredths.parse::<u64>().ok()? * 10;
    let started = stat.start * tick;
    Some(Usage { rss: stat.resident_pages * page, cpu: stat.ticks_used * tick, uptime: now.saturating_sub(started) })
}

/// Reads the facts about process `pid`, from /proc (proc_pid_stat(5)) where there is one.
pub fn of(pid: i32) -> Result<ProcessFacts> {
    let group = getpgid(Some(Pid::from_raw(pid))).during(Step::Process, "getpgid")?;
    let session = getsid(Some(Pid::from_raw(pid))).during(Step::Process, "getsid")?;
    let (ppid, device) = match ProcStat::read(pid) {
        Some(stat) => (stat.parent, stat.terminal),
        None if pid == std::process::id().cast_signed() => (nix::unistd::getppid().as_raw(), 0),
        None => return Err(Failure::new(Step::Process, "open", Errno::ENOSYS).into()),
    };
    Ok(ProcessFacts {
        pid,
        ppid,
        pgid: group.as_raw(),
        sid: session.as_raw(),
        tty: terminal_name(device),
        umask: umask_of(pid),
    })
}

/// Names a terminal by its device number: major 136 to 143 are pseudoterminals, 4 the consoles and serial lines
/// (devices.txt).
fn terminal_name(device: u32) -> Option<String> {
    let major = device >> 8 & 0xfff;
    let minor = device & 0xff | device >> 12 & 0xfff00;
    match major {
        0 => None,
        136..=143 => Some(format!("pts/{}", (major - 136) * 256 + minor)),
        4 if minor < 64 => Some(format!("tty{minor}")),
        4 => Some(format!("ttyS{}", minor - 64)),
        _ => Some(format!("{major}:{minor}")),
    }
}

fn umask_of(pid: i32) -> Option<u32> {
    u32::from_str_radix(&status_field(&pid.to_string(), "Umask:")?, 8).ok()
}

/// Reads a field of /proc/PID/status (proc_pid_status(5)); `pid` may be `self`.
pub fn status_field(pid: &str, name: &str) -> Option<String> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix(name)).map(|value| value.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_is_named_by_its_device() {
        assert_eq!(terminal_name(34817), Some("pts/1".to_owned()));
        assert_eq!(terminal_name(0), None);
    }
}
