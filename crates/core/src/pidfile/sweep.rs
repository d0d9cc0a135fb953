//! Removal of stale pid files, on behalf of a daemon that was killed.

use std::ffi::CString;
use std::path::{Path, PathBuf};

use nix::errno::Errno;

use super::claim::remove_or_restore;
use super::kernel::{Kernel, RealKernel};
use super::layout::RUNNING_AND_STARTING;
use super::look::pid_in_text;
use crate::error::Step;
use crate::sys::fd::FileId;
use crate::sys::lock::{Access, LockOwner};
use crate::sys::path::{c_path, c_paths};

/// Pid file that may be stale, and its companions.
#[derive(Debug, Clone)]
pub struct Sweep {
    /// Name of the pid file in its directory.
    pub name: CString,
    /// The only file to remove; with None, whatever file the path names, if that is empty or contains a pid alone.
    pub identity: Option<FileId>,
    /// Files beside it that go with it.
    pub companions: Vec<CString>,
    /// Another name of the file in whose place this one was put: it is put back.
    pub previous: Option<CString>,
}

crate::packing::pack_fields!(Sweep { name, identity, companions, previous });

impl Sweep {
    /// Names the files by their paths. None if a path of this kind names no file.
    #[must_use]
    pub fn of(path: &Path, identity: Option<FileId>, companions: &[PathBuf]) -> Option<Self> {
        let name = c_path(path, Step::PidFileRelease).ok()?;
        Some(Self { name, identity, companions: c_paths(companions), previous: None })
    }

    /// Gives up the file that was replaced. Async-signal-safe.
    pub fn forget_previous(&self) {
        if let Some(previous) = &self.previous {
            let _ = RealKernel.unlink(previous);
        }
    }
}

/// Removes the pid file and its companions if the file is not locked. True if they are gone. Two sweepers, or a sweeper
/// and a start, exclude each other by the lock; the path is compared again under it.
pub fn remove_if_free(sweep: &Sweep) -> bool {
    remove_free(&RealKernel, sweep)
}

/// Does what [`remove_if_free`] does, on any kernel.
pub fn remove_free<K: Kernel>(kernel: &K, sweep: &Sweep) -> bool {
    let flags = libc::O_RDWR | libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY;
    let file = match kernel.open(&sweep.name, flags) {
        Ok(file) => file,
        Err(Errno::ENOENT) => return remove_orphans(kernel, sweep),
        Err(_) => return false,
    };
    let Ok(status) = kernel.status(&file) else { return false };
    // A hard link to another program's file must stay.
    if !status.regular || status.links > 1 || sweep.identity.is_some_and(|expected| expected != status.identity) {
        return false;
    }
    if kernel.lock(&file, LockOwner::OpenFile, Access::Write, RUNNING_AND_STARTING).is_err() {
        return false;
    }
    if !kernel.names_still(&sweep.name, status.identity) || (sweep.identity.is_none() && !is_pid_file(kernel, &file)) {
        return false;
    }
    remove_companions(kernel, sweep);
    remove_or_restore(kernel, &sweep.name, sweep.previous.as_deref()).is_ok()
}

/// Removes companions that have no pid file: another sweeper has removed that, perhaps before they were written. A start
/// that comes now writes files of these names, so they are removed under the lock on a new pid file.
fn remove_orphans<K: Kernel>(kernel: &K, sweep: &Sweep) -> bool {
    if sweep.companions.iter().all(|companion| kernel.named(companion).is_err()) {
        return true;
    }
    let flags = libc::O_RDWR | libc::O_CREAT | libc::O_EXCL | libc::O_NOFOLLOW | libc::O_NOCTTY;
    let Ok(file) = kernel.open(&sweep.name, flags) else { return false };
    let Ok(status) = kernel.status(&file) else { return false };
    if kernel.lock(&file, LockOwner::OpenFile, Access::Write, RUNNING_AND_STARTING).is_err()
        || !kernel.names_still(&sweep.name, status.identity)
    {
        return false;
    }
    remove_companions(kernel, sweep);
    kernel.unlink(&sweep.name).is_ok()
}

/// Whether the file is empty or contains a pid alone. Any other file was named by mistake, and must stay.
fn is_pid_file<K: Kernel>(kernel: &K, file: &K::File) -> bool {
    pid_in_text(kernel, file).is_some() || kernel.text(file, &mut [0; 1]) == Ok(0)
}

fn remove_companions<K: Kernel>(kernel: &K, sweep: &Sweep) {
    for companion in &sweep.companions {
        let _ = kernel.unlink(companion);
    }
}
