//! Orphaned locks: byte 1 is locked, and byte 0 is not.
//!
//! Either other code of the owner has opened and closed the file, which drops byte 0; or a child of the owner inherited
//! the descriptor and outlived it. /proc/PID/fdinfo (proc_pid_fdinfo(5)) shows which open files hold a lock.

use std::os::fd::RawFd;
use std::path::Path;

use super::layout::{RUNNING, WHO};
use crate::error::Step;
use crate::sys::fd::{self, FileId};
use crate::sys::lock::{self, Access, LockOwner, Span};
use crate::sys::path::c_path;

/// Whether process `pid` has the file at `path` open, and that open file holds the lock on byte 1.
pub fn holds(pid: i32, path: &Path) -> bool {
    descriptor_with(pid, path, says_running).is_some()
}

/// Takes byte 0 of the file at `path` again, where this process holds the file without this library's knowing: another
/// copy of the library in the same process has a table of its own, and this one has just closed a descriptor of the file.
/// False if this process doesn't hold it.
pub fn reassert(path: &Path) -> bool {
    let pid = std::process::id().cast_signed();
    descriptor_with(pid, path, says_running)
        .is_some_and(|file| lock::lock(file, LockOwner::Process, Access::Write, WHO).is_ok())
}

fn says_running(lock: &Lock) -> bool {
    lock.writes && lock.covers(RUNNING)
}

/// Finds the number by which process `pid` has the file at `path` open with a lock that `is_meant` accepts.
fn descriptor_with(pid: i32, path: &Path, is_meant: impl Fn(&Lock) -> bool) -> Option<RawFd> {
    let identity = identity(path)?;
    let entries = std::fs::read_dir(format!("/proc/{pid}/fdinfo")).ok()?;
    entries.filter_map(Result::ok).find_map(|entry| {
        let number = entry.file_name().into_string().ok()?;
        let file = Path::new("/proc").join(pid.to_string()).join("fd").join(&number);
        let is_locked = || {
            std::fs::read_to_string(entry.path())
                .is_ok_and(|info| info.lines().filter_map(Lock::read).any(|lock| is_meant(&lock)))
        };
        if self::identity(&file) == Some(identity) && is_locked() { number.parse().ok() } else { None }
    })
}

/// Lock of an open file, as fdinfo shows it.
struct Lock {
    writes: bool,
    first: u64,
    last: u64,
}

impl Lock {
    /// Reads a line of fdinfo, `lock: 1: OFDLCK ADVISORY WRITE -1 DEVICE:INODE START END`.
    fn read(line: &str) -> Option<Self> {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let ["lock:", _, "OFDLCK", _, access, _, _, first, last] = fields[..] else { return None };
        let last = if last == "EOF" { u64::MAX } else { last.parse().ok()? };
        Some(Self { writes: access == "WRITE", first: first.parse().ok()?, last })
    }

    fn covers(&self, span: Span) -> bool {
        let start = u64::from(span.start);
        self.first < start + u64::from(span.length) && self.last >= start
    }
}

/// Finds a process that holds the lock on byte 1 of the file at `path`, among those whose /proc entries this one may
/// read.
pub fn holder(path: &Path) -> Option<i32> {
    processes().find(|&pid| holds(pid, path))
}

/// Finds a process that has any lock of an open file on a byte of the span, like [`holder`].
pub fn locker(path: &Path, span: Span) -> Option<i32> {
    processes().find(|&pid| descriptor_with(pid, path, |lock| lock.covers(span)).is_some())
}

fn processes() -> impl Iterator<Item = i32> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten();
    entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
}

fn identity(path: &Path) -> Option<FileId> {
    fd::stat_path(&c_path(path, Step::PidFileLock).ok()?, true).ok().map(|stat| FileId::of(&stat))
}

#[cfg(test)]
mod tests {
    use super::{Lock, says_running};

    #[test]
    fn only_a_write_lock_of_an_open_file_on_byte_1_says_that_it_runs() {
        let is_running = |line| Lock::read(line).is_some_and(|lock| says_running(&lock));
        assert!(is_running("lock:\t1: OFDLCK  ADVISORY  WRITE -1 fe:00:123 1 1"));
        assert!(is_running("lock:\t1: OFDLCK  ADVISORY  WRITE -1 fe:00:123 0 EOF"));
        for other in [
            "lock:\t1: OFDLCK  ADVISORY  READ -1 fe:00:123 1 1",
            "lock:\t1: OFDLCK  ADVISORY  WRITE -1 fe:00:123 2 2",
            "lock:\t1: OFDLCK  ADVISORY  WRITE -1 fe:00:123 100 100",
            "lock:\t1: POSIX  ADVISORY  WRITE 42 fe:00:123 1 1",
            "pos:\t0",
        ] {
            assert!(!is_running(other), "{other}");
        }
    }
}
