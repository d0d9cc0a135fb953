//! Where a process stands: parent, process group, session, terminal.

use nix::errno::Errno;
use nix::unistd::{Pid, SysconfVar, getpgid, getsid, sysconf};

use crate::error::{During, Failure, Result, Step};
use crate::sys::process;

#[derive(Debug, Clone)]
pub struct Process {
    pub pid: i32,
    pub ppid: i32,
    pub pgid: i32,
    pub sid: i32,
    /// The controlling terminal's name, e.g. `pts/3`.
    pub tty: Option<String>,
    pub umask: Option<u32>,
}

/// Sets what a daemon has set before its exec in this process.
pub fn prioritise(nice: Option<i32>, oom_score_adjust: Option<i32>, no_new_privileges: bool) -> Result<()> {
    if let Some(nice) = nice {
        process::set_nice(nice).during(Step::Nice, "setpriority")?;
        #[cfg(target_os = "linux")]
        for thread in std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten() {
            if let Some(thread) = thread.file_name().to_str().and_then(|name| name.parse().ok()) {
                let _ = process::set_nice_of_thread(thread, nice); // it may have ended
            }
        }
    }
    if let Some(adjust) = oom_score_adjust {
        process::set_oom_score_adjust(adjust.to_string().as_bytes()).during(Step::OomScoreAdjust, "write")?;
    }
    if no_new_privileges {
        process::forbid_new_privileges().during(Step::NoNewPrivileges, "prctl")?;
    }
    Ok(())
}

/// What a process has used so far: proc_pid_stat(5).
#[derive(Debug, Clone, Copy)]
pub struct Usage {
    /// Resident, in bytes.
    pub rss: u64,
    /// User and system, in milliseconds.
    pub cpu: u64,
    /// Since its fork, in milliseconds.
    pub uptime: u64,
}

/// None where there is no /proc, or no such process.
#[must_use]
pub fn usage(pid: i32) -> Option<Usage> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The fields after the command's name; the first of them is the third of all.
    let fields: Vec<&str> = stat[stat.rfind(')')? + 1..].split_whitespace().collect();
    let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
    let tick = 1000 / u64::try_from(sysconf(SysconfVar::CLK_TCK).ok()??).ok()?;
    let page = u64::try_from(sysconf(SysconfVar::PAGE_SIZE).ok()??).ok()?;
    let uptime = std::fs::read_to_string("/proc/uptime").ok()?;
    let (seconds, hundredths) = uptime.split_whitespace().next()?.split_once('.')?;
    let now = seconds.parse::<u64>().ok()? * 1000 + hundredths.parse::<u64>().ok()? * 10;
    let started = field(22)? * tick;
    Some(Usage { rss: field(24)? * page, cpu: (field(14)? + field(15)?) * tick, uptime: now.saturating_sub(started) })
}

/// Of the process `pid`, from /proc (proc_pid_stat(5)) where there is one.
pub fn process(pid: i32) -> Result<Process> {
    let group = getpgid(Some(Pid::from_raw(pid))).during(Step::Process, "getpgid")?;
    let session = getsid(Some(Pid::from_raw(pid))).during(Step::Process, "getsid")?;
    let (ppid, device) = match std::fs::read_to_string(format!("/proc/{pid}/stat")) {
        Ok(stat) => stat_fields(&stat).ok_or_else(|| Failure::new(Step::Process, "read", Errno::EIO))?,
        Err(_) if pid == std::process::id().cast_signed() => (nix::unistd::getppid().as_raw(), 0),
        Err(_) => return Err(Failure::new(Step::Process, "open", Errno::ENOSYS).into()),
    };
    Ok(Process {
        pid,
        ppid,
        pgid: group.as_raw(),
        sid: session.as_raw(),
        tty: terminal_name(device),
        umask: umask_of(pid),
    })
}

/// Parent and tty_nr. The command's name, in parentheses, may hold anything: fields are counted after the last one.
fn stat_fields(stat: &str) -> Option<(i32, u32)> {
    let mut fields = stat[stat.rfind(')')? + 1..].split_whitespace();
    let ppid = fields.nth(1)?.parse().ok()?;
    let terminal: i32 = fields.nth(2)?.parse().ok()?;
    Some((ppid, terminal.cast_unsigned()))
}

/// From the device number: major 136 to 143 are pseudoterminals, 4 the consoles and serial lines (devices.txt).
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

/// One line of /proc/PID/status (proc_pid_status(5)); `pid` may be `self`.
pub fn status_field(pid: &str, name: &str) -> Option<String> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix(name)).map(|value| value.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_name_with_parentheses_and_spaces_does_not_shift_the_fields() {
        let stat = "42 (a) b (c) S 7 8 9 34817 -1 4194304";
        assert_eq!(stat_fields(stat), Some((7, 34817)));
        assert_eq!(terminal_name(34817), Some("pts/1".to_owned()));
        assert_eq!(terminal_name(0), None);
    }
}
