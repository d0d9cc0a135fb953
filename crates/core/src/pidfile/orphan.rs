//! An orphaned lock: byte 1 is held and byte 0 is silent. Either the owner's other code has closed the file once, or a
//! child of the owner inherited the descriptor and outlived it. /proc/PID/fdinfo (proc_pid_fdinfo(5)) shows which open
//! files hold a lock.

use std::path::Path;

use super::Identity;
use super::claim::c_path;
use crate::sys::fd;

/// Whether process `pid` has the file at `path` open with a lock of that open file.
pub fn holds(pid: i32, path: &Path) -> bool {
    let Some(identity) = identity(path) else { return false };
    let Ok(entries) = std::fs::read_dir(format!("/proc/{pid}/fdinfo")) else {
        return false;
    };
    entries.filter_map(Result::ok).any(|entry| {
        let Ok(number) = entry.file_name().into_string() else {
            return false;
        };
        let file = Path::new("/proc").join(pid.to_string()).join("fd").join(number);
        self::identity(&file) == Some(identity)
            && std::fs::read_to_string(entry.path()).is_ok_and(|info| info.contains("OFDLCK"))
    })
}

/// Some process that holds it, as far as we may look.
pub fn holder(path: &Path) -> Option<i32> {
    let processes = std::fs::read_dir("/proc").ok()?;
    processes.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).find(|&pid| holds(pid, path))
}

fn identity(path: &Path) -> Option<Identity> {
    fd::stat_path(&c_path(path).ok()?, true).ok().map(|stat| Identity::of(&stat))
}
