//! The socket that programs write to by sd_notify(3). The kernel says which process sent a datagram; it counts as
//! a message of the worker which that process descends from.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use daemonic_core::channel::Line;

/// Bytes of one datagram; what goes beyond is cut off.
#[cfg(target_os = "linux")]
const LONGEST_DATAGRAM: usize = 4096;

/// The open socket; `address` is the value of NOTIFY_SOCKET for the workers.
pub struct NotifySocket {
    socket: OwnedFd,
    pub address: String,
}

#[cfg(target_os = "linux")]
impl NotifySocket {
    /// Binds in the abstract namespace of unix(7): no file is left behind, and a program in a chroot reaches it.
    pub fn open() -> nix::Result<Self> {
        use std::os::fd::AsRawFd;

        use nix::sys::socket::{
            AddressFamily, SockFlag, SockType, UnixAddr, bind, setsockopt, socket, sockopt::PassCred,
        };
        let name = format!("daemonic/{}/{:x}", std::process::id(), crate::clock::now());
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let socket = socket(AddressFamily::Unix, SockType::Datagram, flags, None)?;
        setsockopt(&socket, PassCred, &true)?;
        bind(socket.as_raw_fd(), &UnixAddr::new_abstract(name.as_bytes())?)?;
        Ok(Self { socket, address: format!("@{name}") })
    }

    /// Receives a datagram, if one waits: the pid of its sender, and its lines.
    pub fn receive(&self) -> Option<(i32, Vec<Line>)> {
        use std::io::IoSliceMut;
        use std::os::fd::AsRawFd;

        use daemonic_core::channel::Lines;
        use nix::sys::socket::{ControlMessageOwned, MsgFlags, UnixAddr, recvmsg};
        loop {
            let mut buffer = [0; LONGEST_DATAGRAM];
            let mut parts = [IoSliceMut::new(&mut buffer)];
            let mut control = nix::cmsg_space!(nix::sys::socket::UnixCredentials);
            let message =
                recvmsg::<UnixAddr>(self.socket.as_raw_fd(), &mut parts, Some(&mut control), MsgFlags::empty()).ok()?;
            let length = message.bytes;
            let sender = message.cmsgs().ok()?.find_map(|each| match each {
                ControlMessageOwned::ScmCredentials(credentials) => Some(credentials.pid()),
                _ => None,
            });
            let mut lines = Lines::default();
            lines.feed(&buffer[..length]);
            lines.feed(b"\n");
            if let Some(sender) = sender {
                return Some((sender, std::iter::from_fn(|| lines.next()).collect()));
            }
        }
    }
}

/// On other systems the kernel doesn't say who sent a datagram, so that there is no such socket.
#[cfg(not(target_os = "linux"))]
impl NotifySocket {
    /// Fails with ENOSYS.
    pub fn open() -> nix::Result<Self> {
        Err(nix::errno::Errno::ENOSYS)
    }

    /// Receives nothing.
    pub fn receive(&self) -> Option<(i32, Vec<Line>)> {
        None
    }
}

impl NotifySocket {
    /// Takes over the socket that the image before this one bound: running programs know its address.
    pub const fn inherited(socket: OwnedFd, address: String) -> Self {
        Self { socket, address }
    }

    /// Readable when a datagram waits.
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Finds the worker that a process is, or descends from.
pub fn ancestor(mut pid: i32, is_worker: impl Fn(i32) -> bool) -> Option<i32> {
    // A sender may have nested its process deeply to keep the supervisor busy: give up after 64 generations.
    for _ in 0..64 {
        if is_worker(pid) {
            return Some(pid);
        }
        pid = daemonic_core::process_facts::of(pid).ok()?.ppid;
    }
    None
}
