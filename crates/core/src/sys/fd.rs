//! Descriptors by number: what fork and exec need below `OwnedFd`.

use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};

use nix::Result;
use nix::errno::Errno;

/// For socket(2) and socketpair(2): closed at exec from the first moment, where the system knows how to say that.
#[cfg(not(target_vendor = "apple"))]
pub const SOCKET_FLAGS: nix::sys::socket::SockFlag = nix::sys::socket::SockFlag::SOCK_CLOEXEC;
#[cfg(target_vendor = "apple")]
pub const SOCKET_FLAGS: nix::sys::socket::SockFlag = nix::sys::socket::SockFlag::empty();

/// A duplicate numbered `lowest` or above, closed at exec.
pub fn duplicate_above(fd: impl AsFd, lowest: RawFd) -> Result<OwnedFd> {
    duplicate_raw(fd.as_fd().as_raw_fd(), lowest)
}

/// The same for a descriptor known by number alone; EBADF if it isn't open.
pub fn duplicate_raw(fd: RawFd, lowest: RawFd) -> Result<OwnedFd> {
    // SAFETY: F_DUPFD_CLOEXEC takes an int and touches no memory of ours.
    let copy = Errno::result(unsafe { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, lowest) })?;
    // SAFETY: the kernel has just made `copy` for us: nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(copy) })
}

/// Makes `to` the same open file as `from`, open across exec: the one place where CLOEXEC is cleared.
/// What `to` was before is closed. Async-signal-safe.
pub fn place(from: RawFd, to: RawFd) -> Result<()> {
    // SAFETY: dup2(2) takes numbers; a wrong one is EBADF. Callers own both numbers (the child replaces its table).
    Errno::result(unsafe { libc::dup2(from, to) }).map(drop)
}

/// Closes a number that we own without an `OwnedFd`. Async-signal-safe.
pub fn close_raw(fd: RawFd) {
    // SAFETY: close(2) takes a number; callers pass one that nothing else owns.
    unsafe { libc::close(fd) };
}

/// Marks a number that arrived across exec to be closed at the next one.
pub fn close_at_exec(fd: RawFd) -> Result<()> {
    // SAFETY: F_SETFD takes an int; a number that isn't open is EBADF.
    Errno::result(unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) }).map(drop)
}

/// Leaves a number of ours open at exec: for one that must not be duplicated, such as a pid file, whose POSIX lock goes
/// with any of its descriptors.
pub fn keep_at_exec(fd: RawFd) -> Result<()> {
    // SAFETY: F_SETFD takes an int; a number that isn't open is EBADF.
    Errno::result(unsafe { libc::fcntl(fd, libc::F_SETFD, 0) }).map(drop)
}

/// The file status flags (F_GETFL) of a number.
pub fn status_flags(fd: RawFd) -> Result<i32> {
    // SAFETY: F_GETFL takes no argument; a number that isn't open is EBADF.
    Errno::result(unsafe { libc::fcntl(fd, libc::F_GETFL) })
}

/// Takes ownership of a number that was placed for this process: by its own moves in the child, or by its marker.
#[must_use]
pub fn adopt(fd: RawFd) -> OwnedFd {
    // SAFETY: nothing else owns the number: the child has just made its table, and a marker is checked and used once.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

/// Device, inode and mode of a number.
pub fn stat_raw(fd: RawFd) -> Result<libc::stat> {
    let mut stat = std::mem::MaybeUninit::<libc::stat>::uninit();
    // SAFETY: fstat(2) fills the struct that we own, or fails.
    Errno::result(unsafe { libc::fstat(fd, stat.as_mut_ptr()) })?;
    // SAFETY: fstat(2) succeeded, so the struct is filled.
    Ok(unsafe { stat.assume_init() })
}

/// Device, inode and mode of a path, not following a symbolic link at its end. Async-signal-safe.
pub fn stat_path(path: &std::ffi::CStr, follow: bool) -> Result<libc::stat> {
    let mut stat = std::mem::MaybeUninit::<libc::stat>::uninit();
    let flags = if follow { 0 } else { libc::AT_SYMLINK_NOFOLLOW };
    // SAFETY: the path is a C string, the struct is ours; fstatat(2) fills it or fails.
    Errno::result(unsafe { libc::fstatat(libc::AT_FDCWD, path.as_ptr(), stat.as_mut_ptr(), flags) })?;
    // SAFETY: fstatat(2) succeeded, so the struct is filled.
    Ok(unsafe { stat.assume_init() })
}

/// open(2) by C string, closed at exec. Async-signal-safe.
pub fn open(path: &std::ffi::CStr, flags: i32, mode: libc::mode_t) -> Result<OwnedFd> {
    // SAFETY: the path is a C string; mode is passed as the variadic unsigned int that open(2) reads.
    let fd = Errno::result(unsafe { libc::open(path.as_ptr(), flags | libc::O_CLOEXEC, libc::c_uint::from(mode)) })?;
    // SAFETY: the kernel has just made it for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// unlink(2) by C string. Async-signal-safe.
pub fn unlink(path: &std::ffi::CStr) -> Result<()> {
    // SAFETY: the path is a C string.
    Errno::result(unsafe { libc::unlink(path.as_ptr()) }).map(drop)
}

/// rename(2) by C strings. Async-signal-safe.
pub fn rename(from: &std::ffi::CStr, to: &std::ffi::CStr) -> Result<()> {
    // SAFETY: both paths are C strings.
    Errno::result(unsafe { libc::rename(from.as_ptr(), to.as_ptr()) }).map(drop)
}

/// Writes all of `bytes` to a file. Async-signal-safe.
pub fn write_all(fd: RawFd, mut bytes: &[u8]) -> Result<()> {
    while !bytes.is_empty() {
        // SAFETY: write(2) reads `bytes.len()` bytes of a slice that lives through the call.
        match Errno::result(unsafe { libc::write(fd, bytes.as_ptr().cast(), bytes.len()) }) {
            Ok(written) => bytes = bytes.get(usize::try_from(written).unwrap_or(0)..).unwrap_or_default(),
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

/// Writes all of a short text at the start of the file, and cuts what was behind it. Async-signal-safe.
pub fn rewrite(fd: RawFd, text: &[u8]) -> Result<()> {
    // SAFETY: pwrite(2) reads `text.len()` bytes of a slice that lives through the call.
    let written = Errno::result(unsafe { libc::pwrite(fd, text.as_ptr().cast(), text.len(), 0) })?;
    if usize::try_from(written) != Ok(text.len()) {
        return Err(Errno::ENOSPC);
    }
    truncate(fd, text.len())
}

/// ftruncate(2). Async-signal-safe.
pub fn truncate(fd: RawFd, length: usize) -> Result<()> {
    let length = libc::off_t::try_from(length).map_err(|_| Errno::EFBIG)?;
    // SAFETY: ftruncate(2) takes numbers.
    Errno::result(unsafe { libc::ftruncate(fd, length) }).map(drop)
}

/// Sends all of `bytes` without a SIGPIPE. Async-signal-safe.
pub fn send_all(fd: RawFd, mut bytes: &[u8]) -> Result<()> {
    while !bytes.is_empty() {
        // SAFETY: send(2) reads `bytes.len()` bytes of a slice that lives through the call.
        let sent = unsafe { libc::send(fd, bytes.as_ptr().cast(), bytes.len(), libc::MSG_NOSIGNAL) };
        match Errno::result(sent) {
            Ok(sent) => bytes = &bytes[usize::try_from(sent).unwrap_or(0)..],
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

/// Sends all of `bytes` if there is room for them just now, without a SIGPIPE.
pub fn send_now(fd: RawFd, bytes: &[u8]) -> Result<()> {
    let flags = libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT;
    // SAFETY: send(2) reads `bytes.len()` bytes of a slice that lives through the call.
    Errno::result(unsafe { libc::send(fd, bytes.as_ptr().cast(), bytes.len(), flags) }).map(drop)
}

/// read(2) into `buffer`; 0 at the end. Async-signal-safe.
pub fn read(fd: RawFd, buffer: &mut [u8]) -> Result<usize> {
    loop {
        // SAFETY: read(2) writes at most `buffer.len()` bytes into a slice that we own.
        let got = unsafe { libc::read(fd, buffer.as_mut_ptr().cast(), buffer.len()) };
        match Errno::result(got) {
            Ok(got) => return Ok(usize::try_from(got).unwrap_or(0)),
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
        }
    }
}

/// pread(2) from the start of the file into `buffer`.
pub fn read_at_start(fd: RawFd, buffer: &mut [u8]) -> Result<usize> {
    // SAFETY: pread(2) writes at most `buffer.len()` bytes into a slice that we own.
    let got = Errno::result(unsafe { libc::pread(fd, buffer.as_mut_ptr().cast(), buffer.len(), 0) })?;
    Ok(usize::try_from(got).unwrap_or(0))
}
