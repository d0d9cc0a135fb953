//! The socket that programs write to by sd_notify(3). The kernel says which process of which user sent a datagram. It
//! counts as a message of the worker which that process is or descends from, if it runs as the worker's user.
#![cfg_attr(not(target_os = "linux"), allow(dead_code, unused_imports))] // no other system has the socket

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use daemonic_core::notify::Notification;
use daemonic_core::sys::fd;
use nix::errno::Errno;
use nix::sys::socket::UnixAddr;

use crate::clock::{Millis, now};
use crate::config::Config;
use crate::notify_directory::{NotifyDirectory, Writers};
use crate::rights;

/// Bytes of one datagram, and lines of it; what goes beyond is cut off.
const LONGEST_DATAGRAM: usize = 4096;
const MOST_LINES: usize = 64;
/// Datagrams that are read in one turn of the event loop; with more the socket is not read for [`PAUSE`]. To find the
/// sender's worker takes up to 64 looks into /proc.
const MOST_DATAGRAMS: usize = 16;
/// Milliseconds for which a socket that has used up its share is not read.
const PAUSE: Millis = 10;

/// The open socket; `address` is the value of NOTIFY_SOCKET for the workers.
pub struct NotifySocket {
    socket: OwnedFd,
    pub address: String,
    /// Where its file lies; None in the abstract namespace.
    pub directory: Option<NotifyDirectory>,
    quiet_until: Millis,
    /// Datagrams that were received since the socket was empty, or silent.
    share: usize,
}

/// A process that sent a datagram, as the kernel knows it.
#[derive(Debug, Clone, Copy)]
pub struct Sender {
    pub pid: i32,
    pub user: u32,
}

/// What a process said.
pub struct Datagram {
    /// None: the kernel named no sender.
    pub sender: Option<Sender>,
    pub said: Vec<Notification>,
    /// Descriptors that came with it: with BARRIER=1 the sender waits until they are closed, then exits. While it waits, the
    /// kernel still knows which process started it.
    _files: Vec<OwnedFd>,
}

/// The most descriptors that come with a datagram: SCM_MAX_FD of unix(7). With room for fewer nothing of it is received.
const MOST_FILES: usize = 253;

impl NotifySocket {
    /// Takes over the socket that the image before this one bound: running programs know its address.
    pub const fn inherited(socket: OwnedFd, address: String, directory: Option<NotifyDirectory>) -> Self {
        Self { socket, address, directory, quiet_until: 0, share: 0 }
    }

    /// The descriptor, which is readable when a datagram waits; None while the socket is not to be read.
    pub fn readable(&self, now: Millis) -> Option<BorrowedFd<'_>> {
        Some(self.descriptor()).filter(|_| self.quiet_until <= now)
    }

    /// When the socket is read again after a pause.
    pub fn next_read(&self, now: Millis) -> Option<Millis> {
        Some(self.quiet_until).filter(|&until| until > now)
    }

    /// The descriptor.
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Receives a datagram, if one waits. After a share of them the socket is silent for a while.
    pub fn next(&mut self) -> Option<Datagram> {
        if self.quiet_until > now() {
            return None;
        }
        let received = self.receive();
        self.share = if received.is_some() { self.share + 1 } else { 0 };
        if self.share == MOST_DATAGRAMS {
            self.quiet_until = now() + PAUSE;
            self.share = 0;
        }
        received
    }

    /// Removes the socket's file.
    pub fn remove(&self) {
        if let Some(directory) = &self.directory {
            directory.remove();
        }
    }
}

#[cfg(target_os = "linux")]
impl NotifySocket {
    /// Binds a socket that the workers can write to: one with a path where there is a directory for it, or else in the
    /// abstract namespace of unix(7), where any local user can fill its queue.
    pub fn open(config: &Config) -> nix::Result<Self> {
        use nix::sys::socket::{AddressFamily, SockFlag, SockType, bind, setsockopt, socket, sockopt::PassCred};
        let new = || {
            let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
            let socket = socket(AddressFamily::Unix, SockType::Datagram, flags, None)?;
            setsockopt(&socket, PassCred, &true)?;
            Ok::<_, Errno>(socket)
        };
        if let Some(directory) = directory_for(config) {
            let writers = writers_of(config);
            let address = directory.address().to_str().map(ToOwned::to_owned);
            let socket = new()?;
            let is_bound = directory.is_reachable(writers)
                && UnixAddr::new(&directory.address()).is_ok()
                && directory.bind(writers, |path| bind(socket.as_raw_fd(), &UnixAddr::new(path)?)).is_ok();
            match address {
                Some(address) if is_bound => return Ok(Self::inherited(socket, address, Some(directory))),
                _ => directory.remove(),
            }
        }
        let name = format!("daemonic/{}/{:x}", std::process::id(), now());
        let socket = new()?;
        bind(socket.as_raw_fd(), &UnixAddr::new_abstract(name.as_bytes())?)?;
        Ok(Self::inherited(socket, format!("@{name}"), None))
    }

    /// Receives a datagram, if one waits.
    fn receive(&self) -> Option<Datagram> {
        use std::io::IoSliceMut;

        use nix::sys::socket::{ControlMessageOwned, MsgFlags, UnixCredentials, recvmsg};
        let mut buffer = [0; LONGEST_DATAGRAM];
        let mut parts = [IoSliceMut::new(&mut buffer)];
        let mut control = nix::cmsg_space!(UnixCredentials, [std::os::fd::RawFd; MOST_FILES]);
        let flags = MsgFlags::MSG_CMSG_CLOEXEC;
        let message = recvmsg::<UnixAddr>(self.socket.as_raw_fd(), &mut parts, Some(&mut control), flags).ok()?;
        let length = message.bytes;
        let (mut sender, mut files) = (None, Vec::new());
        for each in message.cmsgs().into_iter().flatten() {
            match each {
                ControlMessageOwned::ScmCredentials(sent) => {
                    sender = Some(Sender { pid: sent.pid(), user: sent.uid() });
                }
                // The kernel has just made these numbers for this call: nothing else owns them.
                ControlMessageOwned::ScmRights(numbers) => files.extend(numbers.into_iter().map(fd::adopt)),
                _ => {}
            }
        }
        let said = Notification::all(&buffer[..length], MOST_LINES);
        Some(Datagram { sender, said, _files: files })
    }
}

/// On other systems the kernel doesn't say who sent a datagram, so that there is no such socket.
#[cfg(not(target_os = "linux"))]
impl NotifySocket {
    /// Fails with ENOSYS.
    pub fn open(_config: &Config) -> nix::Result<Self> {
        Err(Errno::ENOSYS)
    }

    fn receive(&self) -> Option<Datagram> {
        None
    }
}

impl Sender {
    /// Finds the worker that the sender is, or descends from, and that it may speak for: a process of another user may
    /// not, though the worker has started it.
    pub fn worker(self, target: Option<u32>, is_worker: impl Fn(i32) -> bool) -> Option<i32> {
        let worker = ancestor(self.pid, is_worker)?;
        let own = nix::unistd::geteuid().as_raw();
        let speaks = worker == self.pid
            || [0, own].contains(&self.user)
            || Some(self.user) == target
            || Some(self.user) == rights::user_of(worker);
        speaks.then_some(worker)
    }
}

/// Finds the worker that a process is, or descends from.
fn ancestor(mut pid: i32, is_worker: impl Fn(i32) -> bool) -> Option<i32> {
    // A sender may have nested its process deeply to keep the supervisor busy: give up after 64 generations.
    for _ in 0..64 {
        if is_worker(pid) {
            return Some(pid);
        }
        pid = daemonic_core::process_facts::of(pid).ok()?.ppid;
    }
    None
}

/// Makes the socket's directory beside the pid file or, without one, in the run directory. None behind another root
/// directory, where a path of this one leads nowhere, and where no directory can be made.
fn directory_for(config: &Config) -> Option<NotifyDirectory> {
    let path = match &config.pid_file {
        _ if config.identity.chroot.is_some() => return None,
        Some(file) => file.path.with_extension("notify"),
        None => run_directory()?.join(format!("{}.{}.notify", config.name, std::process::id())),
    };
    NotifyDirectory::create(&path).ok()
}

fn run_directory() -> Option<PathBuf> {
    let given = std::env::var_os("DAEMONIC_RUNTIME_DIR").or_else(|| std::env::var_os("XDG_RUNTIME_DIR"));
    if nix::unistd::geteuid().is_root() { Some(PathBuf::from("/run/daemonic")) } else { given.map(PathBuf::from) }
}

/// Root's program without a `user` may change its user itself, to one that only it knows.
fn writers_of(config: &Config) -> Writers {
    let own = nix::unistd::geteuid();
    match config.identity.user {
        Some(user) => Writers::User(user),
        None if own.is_root() => Writers::All,
        None => Writers::User(own.as_raw()),
    }
}
