//! Search for the owner of a pid file, without changing anything.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::{Duration, SystemTime};

use nix::errno::Errno;

use super::kernel::{Kernel, RealKernel};
use super::layout::ENDING;
use super::look::{PidFileState, Report, look, pid_in_text};
use super::{orphan, table};
use crate::error::{Error, Failure, Result, Step};
use crate::process_facts;
use crate::sys::lock::{Access, LockOwner};
use crate::sys::path::c_path;
use crate::sys::process_handle::ProcessHandle;

/// Tells the state of the pid file at `path`. Needs read permission; creates and changes nothing.
pub fn inspect(path: &Path) -> Result<Report> {
    let pid = std::process::id().cast_signed();
    let own = |state| Report { state, pid: Some(pid), verified: true, elsewhere: false, text: Some(pid) };
    if let Some(state) = table::state_of_own(path) {
        return Ok(own(state));
    }
    let Some(report) = with_open(path, |file| look(&RealKernel, file, path))? else {
        return Ok(Report { state: PidFileState::Absent, pid: None, verified: false, elsewhere: false, text: None });
    };
    let report = report?;
    // Another copy of this library may hold it in this process: the kernel never shows a process its own locks.
    let is_own = report.text == Some(pid) && report.state != PidFileState::Free && !report.verified;
    Ok(if is_own && orphan::holds(pid, path) { own(report.state) } else { report })
}

/// Tells whether the owner of the pid file at `path` has announced its exit.
#[must_use]
pub fn is_ending(path: &Path) -> bool {
    // Closing a descriptor of a file that this process owns would drop byte 0.
    if table::state_of_own(path).is_some() {
        return false;
    }
    let holder = with_open(path, |file| RealKernel.holder(file, LockOwner::OpenFile, Access::Read, ENDING));
    matches!(holder, Ok(Some(Ok(Some(_)))))
}

/// Running process that owns a pid file, as the kernel says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owner {
    /// Pid that the kernel gave for the lock.
    pub pid: i32,
    /// Whether that process is starting or running.
    pub state: PidFileState,
}

/// Finds the owner in order to signal it: fails unless the kernel confirms the pid and the file's text agrees.
pub fn owner(path: &Path) -> Result<Owner> {
    let report = inspect(path)?;
    let unverified = |pid, reason| Err(Error::Unverified { path: path.to_owned(), pid, reason });
    match report {
        Report { state: PidFileState::Absent | PidFileState::Free, .. } => {
            Err(Error::NotRunning { path: path.to_owned() })
        }
        Report { elsewhere: true, .. } => unverified(None, "its owner lives in another PID namespace"),
        Report { pid: Some(..=1), .. } => {
            unverified(report.pid, "the first process of a PID namespace is never signalled")
        }
        Report { verified: true, pid: Some(pid), state: PidFileState::Running, text: Some(text), .. }
            if text != pid =>
        {
            unverified(Some(pid), "the file's text names another process than the kernel does")
        }
        Report { verified: true, pid: Some(pid), state: PidFileState::Running, text: None, .. } => {
            unverified(Some(pid), "the file's text is not a pid")
        }
        Report { verified: true, pid: Some(pid), state, .. } => Ok(Owner { pid, state }),
        Report { state: PidFileState::Starting, .. } => {
            unverified(None, "its daemon is just starting and has no pid yet")
        }
        Report { text: Some(pid), state, .. } if orphan::holds(pid, path) => Ok(Owner { pid, state }),
        Report { .. } => unverified(orphan::holder(path), "the file is locked, but its owner has exited or is unknown"),
    }
}

/// Precision of a process's start. In this time no pid is given away and comes round again.
const CLOCK_TICKS: Duration = Duration::from_millis(50);

/// Finds a live process that the text of an unlocked pid file names, such as another system's daemon: one that was
/// started before the file was written. A process that got the pid of an exited daemon was started later.
#[must_use]
pub fn named_process(path: &Path) -> Option<i32> {
    let Report { state: PidFileState::Free, text: Some(pid), .. } = inspect(path).ok()? else { return None };
    let written = std::fs::symlink_metadata(path).ok()?.modified().ok()?;
    let age = SystemTime::now().duration_since(written).ok()?;
    let process = ProcessHandle::open(pid).ok()?;
    let uptime = Duration::from_millis(process_facts::usage(pid)?.uptime) + CLOCK_TICKS;
    let is_older = uptime > age;
    (is_older && !process.has_exited()).then_some(pid)
}

/// Lets `action` look at the open file at `path`; None if there is no such file. If the file names this process, another copy
/// of this library may hold it, of which this one's table doesn't know: closing it drops byte 0, which is taken again.
fn with_open<T>(path: &Path, action: impl FnOnce(&OwnedFd) -> T) -> Result<Option<T>> {
    let Some(file) = open(path)? else { return Ok(None) };
    let result = action(&file);
    let names_this_process = pid_in_text(&RealKernel, &file) == Some(std::process::id().cast_signed());
    drop(file);
    if names_this_process {
        orphan::reassert(path);
    }
    Ok(Some(result))
}

fn open(path: &Path) -> Result<Option<OwnedFd>> {
    let flags = libc::O_RDONLY | libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY;
    match RealKernel.open(&c_path(path, Step::PidFileLock)?, flags) {
        Ok(file) => Ok(Some(file)),
        Err(Errno::ENOENT) => Ok(None),
        Err(errno) => Err(Failure::new(Step::PidFileLock, "open", errno).at(path).into()),
    }
}
