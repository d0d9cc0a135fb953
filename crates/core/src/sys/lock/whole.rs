//! The BSDs: flock(2) alone. It locks whole files, belongs to the open file, crosses fork and exec, and names nobody; a
//! process's record lock would conflict with it. So an open file's lock is flock(2)'s, whatever the span, a process's is
//! nothing, and an owner is never verified.

use std::os::fd::RawFd;

use nix::errno::Errno;

use super::{Holder, Owner, Span};

/// Async-signal-safe.
pub fn lock(fd: RawFd, owner: Owner, _span: Span) -> nix::Result<()> {
    match owner {
        Owner::Process => Ok(()),
        Owner::OpenFile => flock(fd, libc::LOCK_EX | libc::LOCK_NB),
    }
}

/// A part of it can't be given up: it goes when the file is closed. Async-signal-safe.
pub fn unlock(_fd: RawFd, _owner: Owner, _span: Span) -> nix::Result<()> {
    Ok(())
}

pub fn wait_to_read(_fd: RawFd, _span: Span) -> nix::Result<()> {
    Ok(())
}

pub fn wait_to_write(fd: RawFd, _span: Span) -> nix::Result<()> {
    flock(fd, libc::LOCK_EX)
}

/// Seen by trying: the shared lock is given back at once.
pub fn holder(fd: RawFd, owner: Owner, span: Span) -> nix::Result<Option<Holder>> {
    if owner == Owner::Process || span.start > 1 {
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
