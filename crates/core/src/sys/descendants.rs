//! The processes that descend from this one: orphans are adopted, and what is left of a process group is found.

use std::collections::BTreeSet;
use std::time::Duration;

use nix::errno::Errno;
use nix::unistd::{Pid, getpgid};

use super::proc_stat::ProcStat;
use super::process;
use super::process_handle::ProcessHandle;

/// Time that the kernel may take to end a process that was killed: one that waits for a device ends later.
const KILLED_WITHIN: Duration = Duration::from_secs(2);

/// Has the orphans among this process's descendants become its children, rather than those of pid 1:
/// PR_SET_CHILD_SUBREAPER, which holds over exec, and which children don't inherit.
#[cfg(target_os = "linux")]
pub fn adopt_orphans() -> nix::Result<()> {
    // SAFETY: PR_SET_CHILD_SUBREAPER takes one number, and zeros.
    Errno::result(unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) }).map(drop)
}

/// Has the orphans among this process's descendants become its children, rather than those of pid 1: PROC_REAP_ACQUIRE of
/// procctl(2). EBUSY: they do so already.
#[cfg(target_os = "freebsd")]
pub fn adopt_orphans() -> nix::Result<()> {
    // SAFETY: with PROC_REAP_ACQUIRE procctl(2) reads no data.
    let acquired = unsafe { libc::procctl(libc::P_PID, 0, libc::PROC_REAP_ACQUIRE, std::ptr::null_mut()) };
    match Errno::result(acquired) {
        Ok(_) | Err(Errno::EBUSY) => Ok(()),
        Err(errno) => Err(errno),
    }
}

/// Does nothing: the system gives orphans to pid 1 only.
#[cfg(not(any(target_os = "linux", target_os = "freebsd")))]
pub fn adopt_orphans() -> nix::Result<()> {
    Ok(())
}

/// Lists the children of this process, which must have a single thread, zombies included; none where the kernel doesn't
/// list them. While no child is reaped, no process of the list can be mistaken for another.
#[must_use]
pub fn children() -> Vec<i32> {
    children_of(process::id().cast_signed()).unwrap_or_default()
}

/// Lists the children of all threads of a process: proc_pid_task_tid_children(5). None where the kernel has no such list,
/// or no such process.
fn children_of(pid: i32) -> Option<Vec<i32>> {
    let mut children = Vec::new();
    for thread in std::fs::read_dir(format!("/proc/{pid}/task")).ok()? {
        let Ok(text) = std::fs::read_to_string(thread.ok()?.path().join("children")) else { continue };
        children.extend(text.split_whitespace().filter_map(|each| each.parse::<i32>().ok()));
    }
    Some(children)
}

/// Whether the process group of `leader`, a child that has exited and is not reaped, has a process that runs. None where
/// the kernel doesn't tell. The descendants of a child for which `is_apart` holds are not looked at.
#[cfg(not(target_vendor = "apple"))]
#[must_use]
pub fn is_group_alive(leader: i32, is_apart: impl Fn(i32) -> bool) -> Option<bool> {
    let mut children = children_of(process::id().cast_signed()).filter(|children| children.contains(&leader))?;
    children.retain(|&child| !is_apart(child));
    let is_member = |pid| ProcStat::read(pid).is_some_and(|stat| stat.group == leader && !stat.has_exited());
    Some(with_descendants(children).any(is_member))
}

/// Gives these processes and all that descend from them.
pub fn with_descendants(mut left: Vec<i32>) -> impl Iterator<Item = i32> {
    std::iter::from_fn(move || {
        let pid = left.pop()?;
        left.extend(children_of(pid).into_iter().flatten());
        Some(pid)
    })
}

/// Whether the process group of `leader`, a child that has exited and is not reaped, has a process that runs: kill(2)
/// passes over zombies here.
#[cfg(target_vendor = "apple")]
#[must_use]
pub fn is_group_alive(leader: i32, _is_apart: impl Fn(i32) -> bool) -> Option<bool> {
    Some(process::signal_child(Pid::from_raw(leader), 0, true) != Err(Errno::ESRCH))
}

/// The process group of a process.
#[must_use]
pub fn group_of(pid: i32) -> Option<i32> {
    getpgid(Some(Pid::from_raw(pid))).ok().map(Pid::as_raw)
}

/// The name of a process that runs; None for a zombie.
#[must_use]
pub fn name_of(pid: i32) -> Option<String> {
    ProcStat::read(pid).filter(|stat| !stat.has_exited()).map(|stat| stat.name)
}

/// Kills and reaps all children of this process but those in `except`, and then the children of these, which have become its
/// own. Gives up on one that the kernel doesn't end.
pub fn end_children(except: &BTreeSet<i32>) {
    let mut passed_over = except.clone();
    while let Some(child) = children().into_iter().find(|child| !passed_over.contains(child)) {
        let child = Pid::from_raw(child);
        let _ = process::signal_child(child, libc::SIGKILL, false);
        if ProcessHandle::of_child(child).wait(Some(KILLED_WITHIN)) {
            let _ = process::wait(child);
        } else {
            passed_over.insert(child.as_raw());
        }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::io::{BufRead, BufReader};
    use std::os::unix::process::CommandExt;
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn a_group_is_alive_while_a_process_beside_its_exited_leader_runs() {
        adopt_orphans().unwrap();
        let script = "sleep 1000 & echo $!; exit 3";
        let mut leader =
            Command::new("sh").args(["-c", script]).process_group(0).stdout(Stdio::piped()).spawn().unwrap();
        let mut said = String::new();
        let mut stdout = BufReader::new(leader.stdout.take().unwrap());
        stdout.read_line(&mut said).unwrap();
        let (pid, sleeper) = (leader.id().cast_signed(), said.trim().parse::<i32>().unwrap());
        while !process::has_exited(Pid::from_raw(pid)) {
            std::thread::sleep(Duration::from_millis(1));
        }
        assert_eq!((group_of(sleeper), name_of(sleeper).as_deref()), (Some(pid), Some("sleep")));
        assert_eq!(is_group_alive(pid, |_| false), Some(true));
        process::signal_child(Pid::from_raw(pid), libc::SIGKILL, true).unwrap();
        while name_of(sleeper).is_some() {
            std::thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(is_group_alive(pid, |_| false), Some(false));
        assert_eq!(leader.wait().unwrap().code(), Some(3));
    }
}
