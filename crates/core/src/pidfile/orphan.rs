//! Orphaned locks: byte 1 is locked, and byte 0 is not.
//!
//! Either other code of the owner has opened and closed the file, which drops byte 0; or a child of the owner inherited
//! the descriptor and outlived it. /proc/PID/fdinfo (proc_pid_fdinfo(5)) shows which open files hold a lock.

use std::path::Path;

use super::layout::RUNNING;
use crate::error::Step;
use crate::sys::fd::{self, FileId};
use crate::sys::path::c_path;

/// Whether process `pid` has the file at `path` open, and that open file holds the lock on byte 1.
pub fn holds(pid: i32, path: &Path) -> bool {
    let Some(identity) = identity(path) else { return false };
    let Ok(entries) = std::fs::read_dir(format!("/proc/{pid}/fdinfo")) else { return false };
    entries.filter_map(Result::ok).any(|entry| {
        let Ok(number) = entry.file_name().into_string() else { return false };
        let file = Path::new("/proc").join(pid.to_string()).join("fd").join(number);
        self::identity(&file) == Some(identity)
            && std::fs::read_to_string(entry.path()).is_ok_and(|info| info.lines().any(is_running_lock))
    })
}

/// Whether a line of fdinfo, `lock: 1: OFDLCK ADVISORY WRITE -1 DEVICE:INODE START END`, covers byte 1.
fn is_running_lock(line: &str) -> bool {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let ["lock:", _, "OFDLCK", _, "WRITE", _, _, start, end] = fields[..] else { return false };
    let running = u64::from(RUNNING.start);
    let starts = start.parse::<u64>().is_ok_and(|start| start <= running);
    starts && (end == "EOF" || end.parse::<u64>().is_ok_and(|end| end >= running))
}

/// Finds a process that holds the lock on byte 1 of the file at `path`, among those whose /proc entries this one may
/// read.
pub fn holder(path: &Path) -> Option<i32> {
    let processes = std::fs::read_dir("/proc").ok()?;
    processes.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).find(|&pid| holds(pid, path))
}

fn identity(path: &Path) -> Option<FileId> {
    fd::stat_path(&c_path(path, Step::PidFileLock).ok()?, true).ok().map(|stat| FileId::of(&stat))
}

#[cfg(test)]
mod tests {
    use super::is_running_lock;

    #[test]
    fn only_a_write_lock_of_an_open_file_on_byte_1_says_that_it_runs() {
        assert!(is_running_lock("lock:\t1: OFDLCK  ADVISORY  WRITE -1 fe:00:123 1 1"));
        assert!(is_running_lock("lock:\t1: OFDLCK  ADVISORY  WRITE -1 fe:00:123 0 EOF"));
        for other in [
            "lock:\t1: OFDLCK  ADVISORY  READ -1 fe:00:123 1 1",
            "lock:\t1: OFDLCK  ADVISORY  WRITE -1 fe:00:123 2 2",
            "lock:\t1: OFDLCK  ADVISORY  WRITE -1 fe:00:123 100 100",
            "lock:\t1: POSIX  ADVISORY  WRITE 42 fe:00:123 1 1",
            "pos:\t0",
        ] {
            assert!(!is_running_lock(other), "{other}");
        }
    }
}
