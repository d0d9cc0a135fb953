//! Removing what a daemon left that could not do it itself. Async-signal-safe: the middle does it after the launcher
//! was killed.

use std::ffi::CString;
use std::os::fd::AsRawFd;

use super::{Identity, RUNNING_AND_STARTING};
use crate::sys::{fd, lock};

/// A pid file that may have been left, and the files beside it.
#[derive(Debug, Clone)]
pub struct Sweep {
    pub name: CString,
    /// Only this very file; None: whatever the path names.
    pub identity: Option<Identity>,
    pub companions: Vec<CString>,
}

/// Removes the files if nobody locks the pid file; true if they were removed. Two sweepers, or a sweeper and a starter,
/// exclude each other by the lock, and the path is compared again under it.
pub fn remove_if_free(sweep: &Sweep) -> bool {
    let flags = libc::O_RDWR | libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY;
    let Ok(file) = fd::open(&sweep.name, flags, 0) else {
        return false;
    };
    let Ok(stat) = fd::stat_raw(file.as_raw_fd()) else {
        return false;
    };
    let identity = Identity::of(&stat);
    if stat.st_mode & libc::S_IFMT != libc::S_IFREG || sweep.identity.is_some_and(|expected| expected != identity) {
        return false;
    }
    if lock::lock(file.as_raw_fd(), lock::Owner::OpenFile, RUNNING_AND_STARTING).is_err() {
        return false;
    }
    if !super::claim::names_still(&sweep.name, identity) {
        return false;
    }
    for companion in &sweep.companions {
        let _ = fd::unlink(companion);
    }
    fd::unlink(&sweep.name).is_ok()
}
