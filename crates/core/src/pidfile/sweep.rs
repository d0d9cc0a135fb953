//! Removing what a daemon left that could not do it itself. Async-signal-safe: the middle does it after the launcher
//! was killed.

use std::ffi::CString;

use nix::errno::Errno;

use super::inspect::text_of;
use super::kernel::{Host, Kernel};
use super::{Identity, RUNNING_AND_STARTING};
use crate::sys::lock::Owner;

/// A pid file that may have been left, and the files beside it.
#[derive(Debug, Clone)]
pub struct Sweep {
    pub name: CString,
    /// Only this very file; None: what the path names, if that is empty or says nothing but a pid.
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
    // A link to somebody's other file is not ours to remove.
    if !status.regular || status.links > 1 || sweep.identity.is_some_and(|expected| expected != status.identity) {
        return false;
    }
    if kernel.lock(&file, Owner::OpenFile, RUNNING_AND_STARTING).is_err() {
        return false;
    }
    if !kernel.names_still(&sweep.name, status.identity) || (sweep.identity.is_none() && !is_pid_file(kernel, &file)) {
        return false;
    }
    remove_companions(kernel, sweep);
    kernel.unlink(&sweep.name).is_ok()
}

/// Empty, or a pid and nothing else: any other file that a path was given of is not one to remove.
fn is_pid_file<K: Kernel>(kernel: &K, file: &K::File) -> bool {
    text_of(kernel, file).is_some() || kernel.text(file, &mut [0; 1]) == Ok(0)
}

fn remove_companions<K: Kernel>(kernel: &K, sweep: &Sweep) {
    for companion in &sweep.companions {
        let _ = kernel.unlink(companion);
    }
}
