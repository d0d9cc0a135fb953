//! A pid file that this process owns: from the claim to the release.

use std::ffi::CString;
use std::os::fd::{AsRawFd, IntoRawFd, OwnedFd, RawFd};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::claim::{self, Claim};
use super::kernel::{Kernel, RealKernel};
use super::layout::{ENDING, MOST_RACES, WHO};
use super::replace;
use super::table::{self, Table};
use crate::error::{During, Failure, Result, Step};
use crate::sys::fd::{self, FileId};
use crate::sys::listening;
use crate::sys::lock::{Access, LockOwner};
use crate::sys::path::{c_path, c_paths};

/// Pid file with this process's pid in it, locked until it is released or the process exits.
#[derive(Debug)]
pub struct Held {
    file: Option<OwnedFd>,
    path: PathBuf,
    name: CString,
    identity: FileId,
    /// Another name of the file in whose place this one was put, until the start is over.
    previous: Mutex<Option<CString>>,
}

/// Claims the file at `path` and becomes its owner.
pub fn acquire(path: &Path, mode: u32, overwrite: bool) -> Result<Held> {
    let mut table = table::exclude(path)?;
    own(claim::claim_in_excluded_process(path, mode, overwrite)?, &mut table)
}

/// Becomes the owner of a file that this process has claimed after waiting for it.
pub fn own_awaited(claim: Claim) -> Result<Held> {
    own(claim, &mut table::lock_table())
}

/// Becomes the owner of a claimed file, or gives the file up.
fn own(claim: Claim, table: &mut Table) -> Result<Held> {
    match claim::own(&RealKernel, &claim.file, claim.mode) {
        Ok(()) => {
            let held = Held::new(claim.file, &claim.path, claim.identity, table)?;
            *held.previous() = claim.previous;
            Ok(held)
        }
        Err((step, errno)) => {
            let failure = Failure::new(step, step.syscall(), errno).at(&claim.path);
            claim.abandon();
            Err(failure.into())
        }
    }
}

impl Held {
    /// Registers a file that this process owns since before its exec.
    pub fn register(file: OwnedFd, path: &Path) -> Result<Self> {
        let stat = fd::stat_raw(file.as_raw_fd()).during(Step::PidFileLock, "fstat")?;
        let held = Self::new(file, path, FileId::of(&stat), &mut table::lock_table())?;
        // Its launcher's claim may have replaced a file, or not: then there is none of this name.
        *held.previous() = Some(replace::previous_name(path)?);
        Ok(held)
    }

    fn new(file: OwnedFd, path: &Path, identity: FileId, table: &mut Table) -> Result<Self> {
        let name = c_path(path, Step::PidFileLock)?;
        table.insert(identity, file.as_raw_fd());
        Ok(Self { file: Some(file), path: path.to_owned(), name, identity, previous: Mutex::default() })
    }

    fn previous(&self) -> MutexGuard<'_, Option<CString>> {
        self.previous.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Path by which it was claimed.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it has not been released yet.
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.file.is_some()
    }

    /// The open file's number, for an exec that keeps it open.
    #[must_use]
    pub fn descriptor(&self) -> Option<RawFd> {
        self.file.as_ref().map(AsRawFd::as_raw_fd)
    }

    /// Whether the path still names this file. False once another process has removed or replaced it.
    #[must_use]
    pub fn is_intact(&self) -> bool {
        self.file.is_some() && RealKernel.names_still(&self.name, self.identity)
    }

    /// Whether another file was put in its place: another daemon's, and so are the files beside it.
    #[must_use]
    pub fn is_replaced(&self) -> bool {
        RealKernel.named(&self.name).is_ok_and(|identity| identity != self.identity)
    }

    /// Takes byte 0 again, in case other code of this process closed a descriptor of the file, which drops it. A process
    /// that reads the file may have locked byte 0 since then: byte 1 still excludes a second daemon, so this can't fail.
    pub fn assert_ownership(&self) {
        if let Some(file) = &self.file {
            let _ = RealKernel.lock(file, LockOwner::Process, Access::Write, WHO);
        }
    }

    /// Ends the start: unlocks byte 2, on which those block who wait for the daemon to be ready.
    pub fn mark_started(&self) -> Result<()> {
        let Some(file) = &self.file else { return Ok(()) };
        if let Some(previous) = self.previous().take().filter(|_| self.is_intact()) {
            let _ = RealKernel.unlink(&previous);
        }
        table::lock_table().mark_started(self.identity);
        claim::unlock_starting(&RealKernel, file)
            .during(Step::PidFileLock, "fcntl")
            .map_err(|failure| failure.at(&self.path).into())
    }

    /// Announces the exit by byte 3: from now on, whoever wants a daemon waits for the next one. A process that just
    /// reads byte 3 is in the way, so the lock is tried again; but not for ever, since it is only a hint.
    pub fn mark_ending(&self) {
        let Some(file) = &self.file else { return };
        for _ in 0..MOST_RACES {
            if RealKernel.lock(file, LockOwner::OpenFile, Access::Write, ENDING).is_ok() {
                return;
            }
        }
    }

    /// Removes the file and its companions under the lock, if the path still names this file; empties it where removing
    /// is forbidden. Then it is unlocked: at once, or with `until_exit` when the process exits, which closes the listening
    /// sockets first, since from the removal on a start finds no file and binds their addresses. A second release does
    /// nothing.
    pub fn release(&mut self, companions: &[impl AsRef<Path>], until_exit: bool) -> Result<()> {
        let Some(file) = self.file.take() else { return Ok(()) };
        if until_exit {
            listening::close_all();
        }
        let companions = c_paths(companions);
        let previous = self.previous().take();
        let removed = claim::remove(&RealKernel, &file, &self.name, self.identity, &companions, previous.as_deref())
            .during(Step::PidFileRelease, "unlink")
            .map_err(|failure| failure.at(&self.path).into());
        table::lock_table().remove(self.identity);
        if until_exit {
            let _ = file.into_raw_fd();
        }
        removed
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let _ = self.release(&[] as &[&Path], false);
    }
}
