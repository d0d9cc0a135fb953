//! Linux and macOS: record locks on single bytes, of the process (POSIX) and of the open file description: fcntl(2).

use std::os::fd::RawFd;

use nix::errno::Errno;

use super::{Holder, Owner, Span};

#[cfg(target_os = "linux")]
mod command {
    pub const OFD_SET: i32 = libc::F_OFD_SETLK;
    pub const OFD_GET: i32 = libc::F_OFD_GETLK;
    pub const OFD_WAIT: i32 = libc::F_OFD_SETLKW;
}
/// From xnu's bsd/sys/fcntl.h; public since macOS 11 SDKs, but not in libc's bindings.
#[cfg(target_vendor = "apple")]
mod command {
    pub const OFD_SET: i32 = 90;
    pub const OFD_WAIT: i32 = 91;
    pub const OFD_GET: i32 = 92;
}

/// Takes a write lock or says EAGAIN (EACCES on some systems). Async-signal-safe.
pub fn lock(fd: RawFd, owner: Owner, span: Span) -> nix::Result<()> {
    let command = if owner == Owner::Process { libc::F_SETLK } else { command::OFD_SET };
    request(fd, command, libc::F_WRLCK.into(), span).map(drop)
}

/// Gives the span up. Async-signal-safe.
pub fn unlock(fd: RawFd, owner: Owner, span: Span) -> nix::Result<()> {
    let command = if owner == Owner::Process { libc::F_SETLK } else { command::OFD_SET };
    request(fd, command, libc::F_UNLCK.into(), span).map(drop)
}

/// Waits until nobody writes to the span, holding a read lock for the moment of waking. EINTR is passed on.
pub fn wait_to_read(fd: RawFd, span: Span) -> nix::Result<()> {
    request(fd, command::OFD_WAIT, libc::F_RDLCK.into(), span)?;
    unlock(fd, Owner::OpenFile, span)
}

/// Waits for a write lock. EINTR is passed on: that is how a waiter is cancelled.
pub fn wait_to_write(fd: RawFd, span: Span) -> nix::Result<()> {
    request(fd, command::OFD_WAIT, libc::F_WRLCK.into(), span).map(drop)
}

/// Who would keep us from a write lock on the span. Our own process's POSIX locks are never shown to `Owner::Process`.
pub fn holder(fd: RawFd, owner: Owner, span: Span) -> nix::Result<Option<Holder>> {
    let command = if owner == Owner::Process { libc::F_GETLK } else { command::OFD_GET };
    let found = request(fd, command, libc::F_WRLCK.into(), span)?;
    let kind = i32::from(found.l_type);
    let holder = Holder { pid: found.l_pid, reader: kind == i32::from(libc::F_RDLCK) };
    Ok((kind != i32::from(libc::F_UNLCK)).then_some(holder))
}

fn request(fd: RawFd, command: i32, kind: i32, span: Span) -> nix::Result<libc::flock> {
    // SAFETY: flock is plain integers, for which zero is a value (l_pid must be 0 for OFD requests).
    let mut lock: libc::flock = unsafe { std::mem::zeroed() };
    lock.l_type = libc::c_short::try_from(kind).map_err(|_| Errno::EINVAL)?;
    lock.l_whence = 0; // SEEK_SET
    lock.l_start = libc::off_t::from(span.start);
    lock.l_len = libc::off_t::from(span.length);
    // SAFETY: fcntl(2) reads and fills a struct that we own; a wrong descriptor is EBADF.
    Errno::result(unsafe { libc::fcntl(fd, command, &raw mut lock) })?;
    Ok(lock)
}
