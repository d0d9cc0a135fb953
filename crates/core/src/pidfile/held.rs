//! The pid files that this process owns. Opening and closing one of them again would drop byte 0, and F_GETLK never
//! shows one's own lock: so questions about them are answered from this table, by device and inode, with stat(2) alone.

use std::ffi::CString;
use std::os::fd::{AsRawFd, IntoRawFd, OwnedFd, RawFd};
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use super::claim::{self, Claim};
use super::kernel::{Host, Kernel};
use super::{ENDING, Identity, MOST_RACES, State, WHO};
use crate::error::{During, Error, Failure, Result, Step};
use crate::sys::fd;
use crate::sys::interrupt::Interruption;
use crate::sys::lock::{self, Owner};

static TABLE: Mutex<Vec<Entry>> = Mutex::new(Vec::new());
/// Told when a file leaves the table, and when a wait for that is over.
static CHANGED: Condvar = Condvar::new();

#[derive(Debug, Clone, Copy)]
pub struct Entry {
    identity: Identity,
    file: RawFd,
    starting: bool,
}

/// A pid file with this process's pid in it, locked until it is released or the process ends.
#[derive(Debug)]
pub struct Held {
    file: Option<OwnedFd>,
    path: PathBuf,
    name: CString,
    identity: Identity,
}

/// Claims the file at `path` and becomes its owner.
pub fn acquire(path: &Path, mode: u32, overwrite: bool) -> Result<Held> {
    let mut table = exclude(path)?;
    hold(claim::claim_alone(path, mode, overwrite)?, &mut table)
}

/// Becomes the owner of a claimed file, or gives it up.
fn hold(claim: Claim, table: &mut Vec<Entry>) -> Result<Held> {
    match claim::own(&Host, &claim.file) {
        Ok(()) => Held::enter(claim.file, &claim.path, claim.identity, table),
        Err((step, errno)) => {
            let failure = Failure::new(step, step.syscall(), errno).at(&claim.path);
            claim.abandon();
            Err(failure.into())
        }
    }
}

/// The same, for one who waited for it.
pub fn hold_awaited(claim: Claim) -> Result<Held> {
    hold(claim, &mut table())
}

impl Held {
    /// Registers a file that this process came to own across exec.
    pub fn register(file: OwnedFd, path: &Path) -> Result<Self> {
        let stat = fd::stat_raw(file.as_raw_fd()).during(Step::PidFileLock, "fstat")?;
        Self::enter(file, path, Identity::of(&stat), &mut table())
    }

    fn enter(file: OwnedFd, path: &Path, identity: Identity, table: &mut Vec<Entry>) -> Result<Self> {
        let held = Self { file: Some(file), path: path.to_owned(), name: claim::c_path(path)?, identity };
        table.extend(held.file.as_ref().map(|file| Entry {
            identity: held.identity,
            file: file.as_raw_fd(),
            starting: true,
        }));
        Ok(held)
    }

    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    #[must_use]
    pub fn is_held(&self) -> bool {
        self.file.is_some()
    }

    /// For an exec that keeps it open.
    #[must_use]
    pub fn descriptor(&self) -> Option<RawFd> {
        self.file.as_ref().map(AsRawFd::as_raw_fd)
    }

    /// False once somebody removed or replaced the file under us.
    #[must_use]
    pub fn is_intact(&self) -> bool {
        self.file.is_some() && Host.names_still(&self.name, self.identity)
    }

    /// Takes byte 0 again, in case other code of this process closed the file and so dropped it.
    pub fn assert_ownership(&self) -> Result<()> {
        let Some(file) = &self.file else { return Ok(()) };
        Host.lock(file, Owner::Process, WHO)
            .during(Step::PidFileLock, "fcntl")
            .map_err(|failure| failure.at(&self.path).into())
    }

    /// The start is over: those who wait for it may look.
    pub fn started(&self) -> Result<()> {
        let Some(file) = &self.file else { return Ok(()) };
        table().iter_mut().filter(|entry| entry.identity == self.identity).for_each(|entry| entry.starting = false);
        claim::started(&Host, file).during(Step::PidFileLock, "fcntl").map_err(|failure| failure.at(&self.path).into())
    }

    /// From now on whoever wants a daemon waits for the next. It is only a hint, so that a lock that somebody reads just
    /// then is tried again, but not for ever.
    pub fn ending(&self) {
        let Some(file) = &self.file else { return };
        for _ in 0..MOST_RACES {
            if Host.lock(file, Owner::OpenFile, ENDING).is_ok() {
                return;
            }
        }
    }

    /// Removes the file, and what lies beside it, under the lock, if the path is still ours; empties it where removing
    /// is forbidden. Then the lock goes; or, where the process is `ending`, with the process: one that waits for the file
    /// waits for our sockets too, then. A second release does nothing.
    pub fn release(&mut self, companions: &[CString], ending: bool) -> Result<()> {
        let Some(file) = self.file.take() else { return Ok(()) };
        let removed = claim::remove(&Host, &file, &self.name, self.identity, companions)
            .during(Step::PidFileRelease, "unlink")
            .map_err(|failure| failure.at(&self.path).into());
        table().retain(|entry| entry.identity != self.identity);
        CHANGED.notify_all();
        if ending {
            let _ = file.into_raw_fd();
        }
        removed
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let _ = self.release(&[], false);
    }
}

/// The state of the file at `path`, if this process owns it.
pub fn ours(path: &Path) -> Option<State> {
    let entry = *find(&table(), path)?;
    Some(if entry.starting { State::Starting } else { State::Running })
}

/// Waits until the file at `path` is not this process's own, or for an interruption that wake() tells of.
pub fn wait_for_release(path: &Path, interruption: &Interruption) {
    let mut table = table();
    while find(&table, path).is_some() && !interruption.is_wanted() {
        table = CHANGED.wait(table).unwrap_or_else(PoisonError::into_inner);
    }
}

/// Makes waiters look whether they are interrupted. Taking the table orders it after their last look.
pub fn wake() {
    drop(table());
    CHANGED.notify_all();
}

/// Keeps other threads of this process from acquiring anything; refused if the file is already ours.
pub fn exclude(path: &Path) -> Result<MutexGuard<'static, Vec<Entry>>> {
    let table = table();
    match find(&table, path) {
        Some(_) => Err(Error::Running { path: path.to_owned(), pid: Some(std::process::id().cast_signed()) }),
        None => Ok(table),
    }
}

/// Takes byte 0 of all our files again, after a descriptor of one of them may have been closed.
pub fn assert_all() {
    for entry in table().iter() {
        let _ = lock::lock(entry.file, Owner::Process, WHO);
    }
}

fn find<'a>(table: &'a [Entry], path: &Path) -> Option<&'a Entry> {
    let stat = fd::stat_path(&claim::c_path(path).ok()?, true).ok()?;
    let identity = Identity::of(&stat);
    table.iter().find(|entry| entry.identity == identity)
}

fn table() -> MutexGuard<'static, Vec<Entry>> {
    TABLE.lock().unwrap_or_else(PoisonError::into_inner)
}
