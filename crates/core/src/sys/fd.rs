//! Descriptors by number, which fork and exec need, and calls on them.

use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};

use nix::Result;
use nix::errno::Errno;

/// Flags for socket(2) and socketpair(2): the socket closes at exec from the first moment, where the system supports
/// that.
#[cfg(not(target_vendor = "apple"))]
pub const SOCKET_FLAGS: nix::sys::socket::SockFlag = nix::sys::socket::SockFlag::SOCK_CLOEXEC;
/// Flags for socket(2) and socketpair(2): none, since macOS can't close a socket at exec from the first moment.
#[cfg(target_vendor = "apple")]
pub const SOCKET_FLAGS: nix::sys::socket::SockFlag = nix::sys::socket::SockFlag::empty();

/// Duplicates a descriptor to a number from `lowest` on, closed at exec.
pub fn duplicate_above(fd: impl AsFd, lowest: RawFd) -> Result<OwnedFd> {
    duplicate_raw(fd.as_fd().as_raw_fd(), lowest)
}

/// Duplicates a descriptor that is known by its number alone, like [`duplicate_above`]; EBADF if it isn't open.
pub fn duplicate_raw(fd: RawFd, lowest: RawFd) -> Result<OwnedFd> {
    // SAFETY: F_DUPFD_CLOEXEC takes an int and touches no memory.
    let copy = Errno::result(unsafe { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, lowest) })?;
    // SAFETY: the kernel has just made `copy` for this call: nothing else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(copy) })
}

/// Makes `to` the same open file as `from`, open across exec: the one place where CLOEXEC is cleared. The file that
/// `to` was before is closed. Async-signal-safe.
pub fn place(from: RawFd, to: RawFd) -> Result<()> {
    // SAFETY: dup2(2) takes numbers; a wrong one is EBADF. Callers own both numbers (the child replaces its table).
    Errno::result(unsafe { libc::dup2(from, to) }).map(drop)
}

/// Closes a number that this code owns without an `OwnedFd`. Async-signal-safe.
pub fn close_raw(fd: RawFd) {
    // SAFETY: close(2) takes a number; callers pass one that nothing else owns.
    unsafe { libc::close(fd) };
}

/// Marks a number that came through an exec to be closed at the next one.
pub fn close_at_exec(fd: RawFd) -> Result<()> {
    // SAFETY: F_SETFD takes an int; a number that isn't open is EBADF.
    Errno::result(unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) }).map(drop)
}

/// Marks a number to stay open at exec. For a file that must not be duplicated, such as a pid file: its POSIX lock goes
/// when any of its descriptors closes.
pub fn keep_at_exec(fd: RawFd) -> Result<()> {
    // SAFETY: F_SETFD takes an int; a number that isn't open is EBADF.
    Errno::result(unsafe { libc::fcntl(fd, libc::F_SETFD, 0) }).map(drop)
}

/// Whether a number is marked to be closed at exec: F_GETFD.
pub fn closes_at_exec(fd: RawFd) -> Result<bool> {
    // SAFETY: F_GETFD takes no argument; a number that isn't open is EBADF.
    Errno::result(unsafe { libc::fcntl(fd, libc::F_GETFD) }).map(|flags| flags & libc::FD_CLOEXEC != 0)
}

/// Returns the file status flags of a number: F_GETFL.
pub fn status_flags(fd: RawFd) -> Result<i32> {
    // SAFETY: F_GETFL takes no argument; a number that isn't open is EBADF.
    Errno::result(unsafe { libc::fcntl(fd, libc::F_GETFL) })
}

/// Takes ownership of a number that was placed for this process: by the child's own moves, or by the marker.
#[must_use]
pub fn adopt(fd: RawFd) -> OwnedFd {
    // SAFETY: nothing else owns the number: the child has just made its table, and a marker is checked and used once.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

/// Reads device, inode and mode of a number: fstat(2).
pub fn stat_raw(fd: RawFd) -> Result<libc::stat> {
    let mut stat = std::mem::MaybeUninit::<libc::stat>::uninit();
    // SAFETY: fstat(2) fills a struct of this frame, or fails.
    Errno::result(unsafe { libc::fstat(fd, stat.as_mut_ptr()) })?;
    // SAFETY: fstat(2) succeeded, so the struct is filled.
    Ok(unsafe { stat.assume_init() })
}

/// Reads device, inode and mode of a path: stat(2), or lstat(2) without `follow`. Async-signal-safe.
pub fn stat_path(path: &std::ffi::CStr, follow: bool) -> Result<libc::stat> {
    let mut stat = std::mem::MaybeUninit::<libc::stat>::uninit();
    let flags = if follow { 0 } else { libc::AT_SYMLINK_NOFOLLOW };
    // SAFETY: the path is a C string, the struct is this frame's; fstatat(2) fills it or fails.
    Errno::result(unsafe { libc::fstatat(libc::AT_FDCWD, path.as_ptr(), stat.as_mut_ptr(), flags) })?;
    // SAFETY: fstatat(2) succeeded, so the struct is filled.
    Ok(unsafe { stat.assume_init() })
}

/// Opens the file of a bound Unix socket itself, wherever it lies by now: SIOCUNIXFILE of unix(7), an O_PATH descriptor.
/// EPERM without CAP_NET_ADMIN.
#[cfg(target_os = "linux")]
pub fn file_of_socket(socket: RawFd) -> Result<OwnedFd> {
    const SIOCUNIXFILE: libc::c_ulong = 0x89e0;
    // SAFETY: SIOCUNIXFILE takes no argument and returns a descriptor.
    let file = Errno::result(unsafe { libc::syscall(libc::SYS_ioctl, socket, SIOCUNIXFILE, 0) })?;
    // SAFETY: the kernel has just made `file` for this call: nothing else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(RawFd::try_from(file).map_err(|_| Errno::EBADF)?) })
}

/// Device and inode: identifies a file, whatever it is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileId {
    pub device: u64,
    pub inode: u64,
}

crate::packing::pack_fields!(FileId { device, inode });

impl FileId {
    /// Reads it out of what stat(2) returned. The widths differ between systems; only equality counts.
    #[allow(clippy::unnecessary_cast, clippy::cast_sign_loss)]
    #[must_use]
    pub fn of(stat: &libc::stat) -> Self {
        Self { device: stat.st_dev as u64, inode: stat.st_ino as u64 }
    }

    /// Identifies the file that a path names, not following a symbolic link: lstat(2). Async-signal-safe.
    pub fn named(path: &std::ffi::CStr) -> Result<Self> {
        stat_path(path, false).map(|stat| Self::of(&stat))
    }
}

/// Opens a file, closed at exec: open(2). Async-signal-safe.
pub fn open(path: &std::ffi::CStr, flags: i32, mode: libc::mode_t) -> Result<OwnedFd> {
    // SAFETY: the path is a C string; mode is passed as the variadic unsigned int that open(2) reads.
    let fd = Errno::result(unsafe { libc::open(path.as_ptr(), flags | libc::O_CLOEXEC, libc::c_uint::from(mode)) })?;
    // SAFETY: the kernel has just made `fd` for this call: nothing else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Removes a name of a file: unlink(2). Async-signal-safe.
pub fn unlink(path: &std::ffi::CStr) -> Result<()> {
    // SAFETY: the path is a C string.
    Errno::result(unsafe { libc::unlink(path.as_ptr()) }).map(drop)
}

/// Renames a file: rename(2). Async-signal-safe.
pub fn rename(from: &std::ffi::CStr, to: &std::ffi::CStr) -> Result<()> {
    // SAFETY: both paths are C strings.
    Errno::result(unsafe { libc::rename(from.as_ptr(), to.as_ptr()) }).map(drop)
}

/// Gives a file another name: link(2). Async-signal-safe.
pub fn link(from: &std::ffi::CStr, to: &std::ffi::CStr) -> Result<()> {
    // SAFETY: both paths are C strings.
    Errno::result(unsafe { libc::link(from.as_ptr(), to.as_ptr()) }).map(drop)
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

/// Replaces the content of a file by a short text. Async-signal-safe.
pub fn rewrite(fd: RawFd, text: &[u8]) -> Result<()> {
    // SAFETY: pwrite(2) reads `text.len()` bytes of a slice that lives through the call.
    let written = Errno::result(unsafe { libc::pwrite(fd, text.as_ptr().cast(), text.len(), 0) })?;
    if usize::try_from(written) != Ok(text.len()) {
        return Err(Errno::ENOSPC);
    }
    truncate(fd, text.len())
}

/// Cuts a file to a length: ftruncate(2). Async-signal-safe.
pub fn truncate(fd: RawFd, length: usize) -> Result<()> {
    let length = libc::off_t::try_from(length).map_err(|_| Errno::EFBIG)?;
    // SAFETY: ftruncate(2) takes numbers.
    Errno::result(unsafe { libc::ftruncate(fd, length) }).map(drop)
}

/// Sends all of `bytes`, without SIGPIPE. Blocks while the socket's buffer is full. Async-signal-safe.
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

/// Sends `bytes` if the socket's buffer has room for them, without SIGPIPE. EAGAIN: it has none.
pub fn send_now(fd: RawFd, bytes: &[u8]) -> Result<()> {
    let flags = libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT;
    // SAFETY: send(2) reads `bytes.len()` bytes of a slice that lives through the call.
    Errno::result(unsafe { libc::send(fd, bytes.as_ptr().cast(), bytes.len(), flags) }).map(drop)
}

/// Reads into `buffer` and returns the length; 0: end of file, or the other end is closed. Async-signal-safe.
pub fn read(fd: RawFd, buffer: &mut [u8]) -> Result<usize> {
    loop {
        // SAFETY: read(2) writes at most `buffer.len()` bytes into a slice of the caller's.
        let got = unsafe { libc::read(fd, buffer.as_mut_ptr().cast(), buffer.len()) };
        match Errno::result(got) {
            Ok(got) => return Ok(usize::try_from(got).unwrap_or(0)),
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
        }
    }
}

/// Reads the start of a file into `buffer`: pread(2).
pub fn read_at_start(fd: RawFd, buffer: &mut [u8]) -> Result<usize> {
    // SAFETY: pread(2) writes at most `buffer.len()` bytes into a slice of the caller's.
    let got = Errno::result(unsafe { libc::pread(fd, buffer.as_mut_ptr().cast(), buffer.len(), 0) })?;
    Ok(usize::try_from(got).unwrap_or(0))
}
