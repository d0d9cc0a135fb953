//! Processes by descriptor: a pidfd never comes to mean another process, and polls as readable once the process has
//! exited. pidfd_open(2), Linux 5.3.

use std::os::fd::OwnedFd;

use nix::errno::Errno;
use nix::sys::signal::Signal;

/// Opens a pidfd, closed at exec: pidfd_open(2).
#[cfg(target_os = "linux")]
pub fn open(pid: i32) -> nix::Result<OwnedFd> {
    use std::os::fd::FromRawFd;
    // SAFETY: pidfd_open(2) takes two ints.
    let fd = Errno::result(unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) })?;
    // SAFETY: the kernel has just made it for this call (closed at exec by definition); descriptors fit an int.
    Ok(unsafe { OwnedFd::from_raw_fd(i32::try_from(fd).unwrap_or(-1)) })
}

/// Signals the process; None only checks that it may be signalled: pidfd_send_signal(2).
#[cfg(target_os = "linux")]
pub fn send_signal(process: &OwnedFd, signal: Option<Signal>) -> nix::Result<()> {
    use std::os::fd::AsRawFd;
    let number = signal.map_or(0, |signal| signal as i32);
    // SAFETY: pidfd_send_signal(2) takes an fd and an int; a null siginfo means "as kill(2) fills it".
    Errno::result(unsafe {
        libc::syscall(libc::SYS_pidfd_send_signal, process.as_raw_fd(), number, std::ptr::null::<libc::siginfo_t>(), 0)
    })
    .map(drop)
}

/// Fails: other systems have no pidfds.
#[cfg(not(target_os = "linux"))]
pub fn open(_pid: i32) -> nix::Result<OwnedFd> {
    Err(Errno::ENOSYS)
}

/// Fails: other systems have no pidfds.
#[cfg(not(target_os = "linux"))]
pub fn send_signal(_process: &OwnedFd, _signal: Option<Signal>) -> nix::Result<()> {
    Err(Errno::ENOSYS)
}
