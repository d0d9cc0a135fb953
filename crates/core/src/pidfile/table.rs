//! The pid files that this process holds.
//!
//! Opening and closing such a file again would drop byte 0, and F_GETLK never shows a process its own locks. So
//! questions about these files are answered from this table, by device and inode, with stat(2) alone.

use std::os::fd::RawFd;
use std::path::Path;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use super::layout::WHO;
use super::look::PidFileState;
use crate::error::{Error, Result, Step};
use crate::sys::fd::{self, FileId};
use crate::sys::interrupt::Interruption;
use crate::sys::lock::{self, Access, LockOwner};
use crate::sys::path::c_path;

static TABLE: Mutex<Table> = Mutex::new(Table(Vec::new()));
/// Notified when a file leaves the table, and when a wait for that is cancelled.
static CHANGED: Condvar = Condvar::new();

/// Lock on the table. While a thread has it, no other thread of the process acquires or releases a pid file.
pub type Guard = MutexGuard<'static, Table>;

/// Table of the held files.
#[derive(Debug)]
pub struct Table(Vec<Entry>);

#[derive(Debug)]
struct Entry {
    identity: FileId,
    file: RawFd,
    starting: bool,
}

impl Table {
    /// Adds a file whose lock this process has taken. It counts as starting.
    pub fn insert(&mut self, identity: FileId, file: RawFd) {
        self.0.push(Entry { identity, file, starting: true });
    }

    /// Removes a file that is released, and wakes the threads that wait for that.
    pub fn remove(&mut self, identity: FileId) {
        self.0.retain(|entry| entry.identity != identity);
        CHANGED.notify_all();
    }

    /// Marks a file as held by a daemon that is ready.
    pub fn mark_started(&mut self, identity: FileId) {
        self.0.iter_mut().filter(|entry| entry.identity == identity).for_each(|entry| entry.starting = false);
    }

    fn find(&self, path: &Path) -> Option<&Entry> {
        let stat = fd::stat_path(&c_path(path, Step::PidFileLock).ok()?, true).ok()?;
        let identity = FileId::of(&stat);
        self.0.iter().find(|entry| entry.identity == identity)
    }
}

/// Locks the table for this thread.
pub fn lock_table() -> Guard {
    TABLE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Locks the table for this thread; refused if this process already holds the file at `path`.
pub fn exclude(path: &Path) -> Result<Guard> {
    let table = lock_table();
    match table.find(path) {
        Some(_) => Err(Error::Running { path: path.to_owned(), pid: Some(std::process::id().cast_signed()) }),
        None => Ok(table),
    }
}

/// Tells the state of the file at `path` if this process holds it; None if it doesn't.
pub fn state_of_own(path: &Path) -> Option<PidFileState> {
    let starting = lock_table().find(path)?.starting;
    Some(if starting { PidFileState::Starting } else { PidFileState::Running })
}

/// Blocks while this process itself holds the file at `path`, until an interruption followed by [`wake`].
pub fn wait_for_release(path: &Path, interruption: &Interruption) {
    let mut table = lock_table();
    while table.find(path).is_some() && !interruption.is_wanted() {
        table = CHANGED.wait(table).unwrap_or_else(PoisonError::into_inner);
    }
}

/// Makes every thread in [`wait_for_release`] check whether it was interrupted. The table is locked first: a thread
/// that has just checked is then asleep, and hears the notification.
pub fn wake() {
    drop(lock_table());
    CHANGED.notify_all();
}

/// Takes byte 0 of all held files again, after a descriptor of one of them may have been closed, which drops it.
pub fn reassert_ownership() {
    for entry in &lock_table().0 {
        let _ = lock::lock(entry.file, LockOwner::Process, Access::Write, WHO);
    }
}
