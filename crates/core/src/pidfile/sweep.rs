//! Removing what a daemon left that could not do it itself. Async-signal-safe: the middle does it after the launcher
//! was killed.

use std::ffi::CString;

use nix::errno::Errno;

use super::kernel::{Host, Kernel};
use super::{Identity, RUNNING_AND_STARTING};
use crate::sys::lock::Owner;

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
    remove_free(&Host, sweep)
}

pub fn remove_free<K: Kernel>(kernel: &K, sweep: &Sweep) -> bool {
    let flags = libc::O_RDWR | libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY;
    let file = match kernel.open(&sweep.name, flags) {
        Ok(file) => file,
        // Removed by the other sweeper, perhaps before the files beside it were written.
        Err(Errno::ENOENT) => {
            remove_companions(kernel, sweep);
            return true;
        }
        Err(_) => return false,
    };
    let Ok(status) = kernel.status(&file) else { return false };
    if !status.regular || sweep.identity.is_some_and(|expected| expected != status.identity) {
        return false;
    }
    if kernel.lock(&file, Owner::OpenFile, RUNNING_AND_STARTING).is_err() {
        return false;
    }
    if !kernel.names_still(&sweep.name, status.identity) {
        return false;
    }
    remove_companions(kernel, sweep);
    kernel.unlink(&sweep.name).is_ok()
}

fn remove_companions<K: Kernel>(kernel: &K, sweep: &Sweep) {
    for companion in &sweep.companions {
        let _ = kernel.unlink(companion);
    }
}
