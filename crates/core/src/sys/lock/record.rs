//! Record locks on single bytes, for Linux and macOS: of the process (POSIX) and of the open file description,
//! fcntl(2).

use std::os::fd::RawFd;

use nix::errno::Errno;

use super::{Access, Holder, LockOwner, Span};

#[cfg(target_os = "linux")]
mod command {
    pub const OFD_SET: i32 = libc::F_OFD_SETLK;
    pub const OFD_GET: i32 = libc::F_OFD_GETLK;
    pub const OFD_WAIT: i32 = libc::F_OFD_SETLKW;
}
/// Numbers from xnu's bsd/sys/fcntl.h: public since the SDK of macOS 11, but not in the libc crate.
#[cfg(target_vendor = "apple")]
mod command {
    pub const OFD_SET: i32 = 90;
    pub const OFD_WAIT: i32 = 91;
    pub const OFD_GET: i32 = 92;
}

/// Takes a lock, or fails with EAGAIN (EACCES on some systems). EINVAL: the kernel has no locks of open files.
/// Async-signal-safe.
pub fn lock(fd: RawFd, owner: LockOwner, access: Access, span: Span) -> nix::Result<()> {
    let command = if owner == LockOwner::Process { libc::F_SETLK } else { command::OFD_SET };
    request(fd, command, kind_of(access), span).map(drop)
}

/// Unlocks the span. Async-signal-safe.
pub fn unlock(fd: RawFd, owner: LockOwner, span: Span) -> nix::Result<()> {
    let command = if owner == LockOwner::Process { libc::F_SETLK } else { command::OFD_SET };
    request(fd, command, libc::F_UNLCK.into(), span).map(drop)
}

/// Blocks until no process has a write lock on the span; takes a read lock for that moment. Fails with EINTR on a
/// signal.
pub fn wait_to_read(fd: RawFd, span: Span) -> nix::Result<()> {
    request(fd, command::OFD_WAIT, libc::F_RDLCK.into(), span)?;
    unlock(fd, LockOwner::OpenFile, span)
}

/// Blocks until a write lock is taken. Fails with EINTR on a signal, by which a wait is cancelled.
pub fn wait_to_write(fd: RawFd, span: Span) -> nix::Result<()> {
    request(fd, command::OFD_WAIT, libc::F_WRLCK.into(), span).map(drop)
}

/// Finds the lock that is in the way of a lock on the span: a writer's, when asked for reading. Asked for writing, the
/// kernel names a reader before a writer. The calling process's own locks are never shown to `LockOwner::Process`.
pub fn holder(fd: RawFd, owner: LockOwner, access: Access, span: Span) -> nix::Result<Option<Holder>> {
    let command = if owner == LockOwner::Process { libc::F_GETLK } else { command::OFD_GET };
    let found = request(fd, command, kind_of(access), span)?;
    let kind = i32::from(found.l_type);
    let holder = Holder { pid: found.l_pid, reader: kind == i32::from(libc::F_RDLCK) };
    Ok((kind != i32::from(libc::F_UNLCK)).then_some(holder))
}

fn kind_of(access: Access) -> i32 {
    match access {
        Access::Read => libc::F_RDLCK.into(),
        Access::Write => libc::F_WRLCK.into(),
    }
}

fn request(fd: RawFd, command: i32, kind: i32, span: Span) -> nix::Result<libc::flock> {
    // SAFETY: flock is plain integers, for which zero is a value (l_pid must be 0 for OFD requests).
    let mut lock: libc::flock = unsafe { std::mem::zeroed() };
    lock.l_type = libc::c_short::try_from(kind).map_err(|_| Errno::EINVAL)?;
    lock.l_whence = 0; // SEEK_SET
    lock.l_start = libc::off_t::from(span.start);
    lock.l_len = libc::off_t::from(span.length);
    // SAFETY: fcntl(2) reads and fills a struct of this frame; a wrong descriptor is EBADF.
    Errno::result(unsafe { libc::fcntl(fd, command, &raw mut lock) })?;
    Ok(lock)
}
