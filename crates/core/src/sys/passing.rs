//! Passing of open files through Unix sockets: SCM_RIGHTS of unix(7).

use std::io::{IoSlice, IoSliceMut};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use nix::Result;
use nix::errno::Errno;
use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, recvmsg, sendmsg};

use super::fd;

/// Sends `bytes` with one open file. EAGAIN: the socket's buffer has no room for them.
pub fn send(socket: BorrowedFd<'_>, bytes: &[u8], file: BorrowedFd<'_>) -> Result<()> {
    let files = [file.as_raw_fd()];
    let control = [ControlMessage::ScmRights(&files)];
    let flags = MsgFlags::from_bits_retain(libc::MSG_NOSIGNAL) | MsgFlags::MSG_DONTWAIT;
    sendmsg::<()>(socket.as_raw_fd(), &[IoSlice::new(bytes)], &control, flags, None).map(drop)
}

/// Message that came.
#[derive(Debug)]
pub struct Received {
    /// Bytes of it; 0: the other end is closed.
    pub length: usize,
    /// File that came with it.
    pub file: Option<OwnedFd>,
    /// A file came with it that this process has no free descriptor for: the kernel has dropped it.
    pub lost_file: bool,
}

/// Blocks until a message comes. EMFILE, where the kernel refuses it instead of dropping its file: a later try may
/// succeed.
pub fn receive(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> Result<Received> {
    loop {
        let mut room = nix::cmsg_space!([std::os::fd::RawFd; 1]);
        let mut vectors = [IoSliceMut::new(buffer)];
        #[cfg(not(target_vendor = "apple"))]
        let flags = MsgFlags::MSG_CMSG_CLOEXEC;
        #[cfg(target_vendor = "apple")]
        let flags = MsgFlags::empty();
        let message = match recvmsg::<()>(socket.as_raw_fd(), &mut vectors, Some(&mut room), flags) {
            Err(Errno::EINTR) => continue,
            other => other?,
        };
        // ENOBUFS stands for MSG_CTRUNC: recvmsg(2) succeeds without the files that there is no descriptor for.
        let Ok(attached) = message.cmsgs() else {
            return Ok(Received { length: message.bytes, file: None, lost_file: true });
        };
        let mut file = None;
        for each in attached {
            if let ControlMessageOwned::ScmRights(numbers) = each {
                // The kernel has just made these numbers for this call: nothing else owns them.
                file = numbers.into_iter().map(fd::adopt).next_back().or(file);
            }
        }
        return Ok(Received { length: message.bytes, file, lost_file: false });
    }
}
