//! What programs tell by sd_notify(3): datagrams on a socket of ours, believed by the kernel's word on who sent them.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use daemonic_core::channel::Line;

/// Longer ones are no notifications.
#[cfg(target_os = "linux")]
const LONGEST: usize = 4096;

pub struct Notifications {
    socket: OwnedFd,
    pub address: String,
}

#[cfg(target_os = "linux")]
impl Notifications {
    /// In the abstract namespace, so that there is no file, and that a program in another root finds it, too.
    pub fn open() -> nix::Result<Self> {
        use std::os::fd::AsRawFd;

        use nix::sys::socket::{
            AddressFamily, SockFlag, SockType, UnixAddr, bind, setsockopt, socket, sockopt::PassCred,
        };
        let name = format!("daemonic/{}/{:x}", std::process::id(), crate::host::now());
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let socket = socket(AddressFamily::Unix, SockType::Datagram, flags, None)?;
        setsockopt(&socket, PassCred, &true)?;
        bind(socket.as_raw_fd(), &UnixAddr::new_abstract(name.as_bytes())?)?;
        Ok(Self { socket, address: format!("@{name}") })
    }

    /// One that came: who sent it, and what it says.
    pub fn receive(&self) -> Option<(i32, Vec<Line>)> {
        use std::io::IoSliceMut;
        use std::os::fd::AsRawFd;

        use daemonic_core::channel::Lines;
        use nix::sys::socket::{ControlMessageOwned, MsgFlags, UnixAddr, recvmsg};
        loop {
            let mut buffer = [0; LONGEST];
            let mut vectors = [IoSliceMut::new(&mut buffer)];
            let mut room = nix::cmsg_space!(nix::sys::socket::UnixCredentials);
            let message =
                recvmsg::<UnixAddr>(self.socket.as_raw_fd(), &mut vectors, Some(&mut room), MsgFlags::empty()).ok()?;
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

/// Elsewhere the kernel doesn't say who sent a datagram: there are no notifications.
#[cfg(not(target_os = "linux"))]
impl Notifications {
    pub fn open() -> nix::Result<Self> {
        Err(nix::errno::Errno::ENOSYS)
    }

    pub fn receive(&self) -> Option<(i32, Vec<Line>)> {
        None
    }
}

impl Notifications {
    /// The same again, after an exec of ours: programs that run know the address.
    pub const fn again(socket: OwnedFd, address: String) -> Self {
        Self { socket, address }
    }

    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Which of `workers` a process is, or descends from.
pub fn ancestor(mut pid: i32, workers: impl Fn(i32) -> bool) -> Option<i32> {
    // A loop of parents would be the kernel's error; a deep one somebody's attack.
    for _ in 0..64 {
        if workers(pid) {
            return Some(pid);
        }
        pid = daemonic_core::process_facts::of(pid).ok()?.ppid;
    }
    None
}
