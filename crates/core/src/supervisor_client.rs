//! Client of a supervisor's control socket: writes a question as one line of JSON, and reads the answer as another.

use std::io::{Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, SockType, connect, setsockopt, socket, sockopt};
use nix::sys::time::{TimeVal, TimeValLike};

use crate::error::{During, Error, Failure, Result, Step, errno_of};
use crate::sockets::short_address;
use crate::sys::fd;

/// Bytes of the longest answer that is read: the status of a thousand workers, each with a long text, is shorter.
const LONGEST_ANSWER: usize = 32 * 1024 * 1024;

/// Asks the supervisor `pid`, and no other process: the kernel tells who listens on the socket. None if it doesn't
/// listen there. Blocks, so it runs in a thread of its own.
pub fn ask(path: &Path, pid: i32, question: &str, timeout: Duration) -> Result<Option<String>> {
    let deadline = Instant::now().checked_add(timeout);
    let failed = |syscall, errno| Error::from(Failure::new(Step::Control, syscall, errno).at(path));
    let socket =
        socket(AddressFamily::Unix, SockType::Stream, fd::SOCKET_FLAGS, None).during(Step::Control, "socket")?;
    let send_timeout = TimeVal::seconds(timeout.as_secs().clamp(1, 3600).cast_signed());
    setsockopt(&socket, sockopt::SendTimeout, &send_timeout).during(Step::Control, "setsockopt")?;
    let (_directory, address) = short_address(path)?;
    match connect(socket.as_raw_fd(), &address) {
        Ok(()) => {}
        Err(Errno::ENOENT | Errno::ECONNREFUSED) => return Ok(None),
        Err(errno) => return Err(failed("connect", errno)),
    }
    if listener(socket.as_fd()) != Some(pid) {
        return Ok(None);
    }
    let stream = UnixStream::from(OwnedFd::from(socket));
    let io = |syscall| move |error: std::io::Error| failed(syscall, errno_of(&error));
    (&stream).write_all(format!("{question}\n").as_bytes()).map_err(io("write"))?;
    let mut answer = Vec::new();
    let mut piece = [0; 16 * 1024];
    while !answer.ends_with(b"\n") {
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        if left == Some(Duration::ZERO) {
            return Err(failed("read", Errno::ETIMEDOUT));
        }
        if answer.len() > LONGEST_ANSWER {
            return Err(failed("read", Errno::EMSGSIZE));
        }
        stream.set_read_timeout(left).map_err(io("setsockopt"))?;
        match (&stream).read(&mut piece) {
            // The supervisor closed the socket without an answer: whether it has done what was asked is unknown.
            Ok(0) => return Err(failed("read", Errno::ECONNRESET)),
            Ok(length) => answer.extend_from_slice(&piece[..length]),
            Err(error) if matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => {}
            Err(error) => return Err(io("read")(error)),
        }
    }
    Ok(Some(String::from_utf8_lossy(&answer).trim_end().to_owned()))
}

/// Returns the user who listens at the other end of a Unix socket, as the kernel knows it: unix(7).
pub fn user_of_listener(stream: BorrowedFd<'_>) -> nix::Result<u32> {
    #[cfg(target_os = "linux")]
    return nix::sys::socket::getsockopt(&stream, sockopt::PeerCredentials).map(|peer| peer.uid());
    #[cfg(not(target_os = "linux"))]
    nix::unistd::getpeereid(stream).map(|(user, _)| user.as_raw())
}

/// Returns the pid of the process that listens at the other end, as the kernel knows it: unix(7).
#[cfg(target_os = "linux")]
fn listener(stream: BorrowedFd<'_>) -> Option<i32> {
    nix::sys::socket::getsockopt(&stream, sockopt::PeerCredentials).ok().map(|peer| peer.pid())
}

#[cfg(target_vendor = "apple")]
fn listener(stream: BorrowedFd<'_>) -> Option<i32> {
    nix::sys::socket::getsockopt(&stream, sockopt::LocalPeerPid).ok()
}

#[cfg(not(any(target_os = "linux", target_vendor = "apple")))]
fn listener(_stream: BorrowedFd<'_>) -> Option<i32> {
    None
}
