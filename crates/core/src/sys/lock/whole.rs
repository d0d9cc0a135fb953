//! Locks by flock(2) alone, for the BSDs. It locks whole files, belongs to the open file, crosses fork and exec, and
//! doesn't name its owner; a process's record lock would conflict with it. So the lock of an open file is that of
//! flock(2), whatever the span; the lock of a process does nothing; and an owner is never verified.

use std::os::fd::RawFd;

use nix::errno::Errno;

use super::{Access, Holder, LockOwner, Span};

/// Takes a shared or an exclusive lock, or fails with EAGAIN. Async-signal-safe.
pub fn lock(fd: RawFd, owner: LockOwner, access: Access, _span: Span) -> nix::Result<()> {
    match (owner, access) {
        (LockOwner::Process, _) => Ok(()),
        (LockOwner::OpenFile, Access::Read) => flock(fd, libc::LOCK_SH | libc::LOCK_NB),
        (LockOwner::OpenFile, Access::Write) => flock(fd, libc::LOCK_EX | libc::LOCK_NB),
    }
}

/// Does nothing: no part of the lock can be unlocked, and the whole goes when the file is closed. Async-signal-safe.
pub fn unlock(_fd: RawFd, _owner: LockOwner, _span: Span) -> nix::Result<()> {
    Ok(())
}

/// Returns at once: with one lock for the whole file, a starting daemon looks like a running one.
pub fn wait_to_read(_fd: RawFd, _span: Span) -> nix::Result<()> {
    Ok(())
}

/// Blocks until the file is locked for the caller. Fails with EINTR on a signal.
pub fn wait_to_write(fd: RawFd, _span: Span) -> nix::Result<()> {
    flock(fd, libc::LOCK_EX)
}

/// Finds out by trying whether the file is locked: a shared lock that is granted is released at once.
pub fn holder(fd: RawFd, owner: LockOwner, _access: Access, span: Span) -> nix::Result<Option<Holder>> {
    if owner == LockOwner::Process || span.start > 1 {
        return Ok(None);
    }
    match flock(fd, libc::LOCK_SH | libc::LOCK_NB) {
        Ok(()) => flock(fd, libc::LOCK_UN).map(|()| None),
        Err(Errno::EAGAIN) => Ok(Some(Holder { pid: -1, reader: false })),
        Err(errno) => Err(errno),
    }
}

fn flock(fd: RawFd, operation: i32) -> nix::Result<()> {
    // SAFETY: flock(2) takes numbers.
    Errno::result(unsafe { libc::flock(fd, operation) }).map(drop)
}
