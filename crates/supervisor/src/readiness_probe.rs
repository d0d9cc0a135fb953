//! How the supervisor sees that a worker is ready, where the worker doesn't say READY=1: it has settled, a newline
//! came, or its addresses answer.

use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use daemonic_core::sys::fd;
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::socket::{AddressFamily, SockType, UnixAddr, connect, socket};

use crate::clock::Millis;
use crate::config::Ready;
use crate::settling::{Client, Settling};

/// Milliseconds between two rounds of connecting to all addresses.
const CONNECT_EVERY: Millis = 50;
/// How long one address may take to accept. The event loop waits meanwhile, but a local address answers at once.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(50);

/// What the supervisor waits for.
#[allow(private_interfaces)] // only this module looks into an address
pub enum ReadinessProbe {
    /// Nothing: the probe is over, or the worker says READY=1, over its channel or by sd_notify(3).
    Finished,
    /// The program to be executed, and then to settle.
    Settles(Settling),
    /// A newline on this pipe.
    Newline(OwnedFd),
    /// A successful connection to each of these addresses.
    Connects { addresses: Vec<Address>, next_try: Millis },
}

impl ReadinessProbe {
    /// Chooses the probe for a new worker. `line` is the reading side of its readiness pipe, `settling` what a program waits
    /// for that says nothing of itself.
    pub fn of(ready: &Ready, line: Option<OwnedFd>, settling: Option<Settling>) -> Self {
        match (ready, line, settling) {
            (Ready::Fd(_), Some(line), _) => Self::Newline(line),
            (Ready::Port(addresses), ..) => {
                Self::Connects { addresses: addresses.iter().map(|text| Address::parse(text)).collect(), next_try: 0 }
            }
            (Ready::Auto, _, Some(settling)) => Self::Settles(settling),
            _ => Self::Finished,
        }
    }

    /// Notes that the worker was executed: a foreign program closes the channel by that.
    pub fn executed(&mut self, now: Millis) {
        if let Self::Settles(settling) = self {
            settling.executed(now);
        }
    }

    /// When [`look`](Self::look) has something to do, where no descriptor shows it.
    pub fn next_look(&self) -> Option<Millis> {
        match self {
            Self::Settles(settling) => settling.next_look(),
            Self::Connects { next_try, .. } => Some(*next_try),
            Self::Finished | Self::Newline(_) => None,
        }
    }

    /// Names the socket on which a connection has been left waiting for long, if the start waits for that.
    pub fn waits_for(&self, now: Millis) -> Option<(&str, &str)> {
        match self {
            Self::Settles(settling) => settling.waits_for(now),
            _ => None,
        }
    }

    /// The pipe to poll.
    pub fn descriptor(&self) -> Option<&OwnedFd> {
        match self {
            Self::Newline(line) => Some(line),
            _ => None,
        }
    }

    /// Looks whether the worker is ready by now; answers true once.
    pub fn look(&mut self, now: Millis) -> bool {
        let is_ready = match self {
            Self::Finished => false,
            Self::Settles(settling) => settling.look(now),
            Self::Newline(line) => {
                let mut buffer = [0; 256];
                let read = fcntl(&*line, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))
                    .and_then(|_| fd::read(line.as_raw_fd(), &mut buffer));
                match read {
                    Ok(0) => {
                        *self = Self::Finished; // closed without a newline: the worker never counts as ready
                        false
                    }
                    Ok(length) => buffer[..length].contains(&b'\n'),
                    Err(_) => false,
                }
            }
            Self::Connects { addresses, next_try } => {
                *next_try = now + CONNECT_EVERY;
                addresses.iter().all(Address::accepts)
            }
        };
        if is_ready {
            *self = Self::Finished;
        }
        is_ready
    }
}

/// Whether somebody accepts connections at an address.
pub fn is_answered(address: &str) -> bool {
    Address::parse(address).accepts()
}

/// A parsed address. A host name is looked up once, not in every round.
#[derive(Debug, Clone)]
pub enum Address {
    Unix(PathBuf),
    Inet(Vec<SocketAddr>),
}

impl Address {
    /// Reads `HOST:PORT`, or the path of a Unix socket.
    pub fn parse(text: &str) -> Self {
        if text.starts_with('/') {
            return Self::Unix(text.into());
        }
        // A socket that is bound to all interfaces answers on the loopback interface.
        let reachable = text.replace("[::]:", "localhost:").replace("0.0.0.0:", "127.0.0.1:");
        Self::Inet(reachable.to_socket_addrs().map(Iterator::collect).unwrap_or_default())
    }

    fn accepts(&self) -> bool {
        match self {
            Self::Inet(_) => self.connect().is_some(),
            Self::Unix(path) => matches!(connect_unix(path), Ok(_) | Err(Errno::EAGAIN)),
        }
    }

    /// Connects, unless that would take long.
    pub fn connect(&self) -> Option<Client> {
        match self {
            Self::Inet(all) => {
                let connect = |address| TcpStream::connect_timeout(address, CONNECT_TIMEOUT).ok();
                all.iter().find_map(connect).map(Client::Inet)
            }
            Self::Unix(path) => connect_unix(path).ok().map(|socket| Client::Unix(socket.into())),
        }
    }
}

/// Connects without blocking. EAGAIN means that the backlog is full, so that a program listens: connect(2).
fn connect_unix(path: &Path) -> nix::Result<OwnedFd> {
    let socket = socket(AddressFamily::Unix, SockType::Stream, fd::SOCKET_FLAGS, None)?;
    fcntl(&socket, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    connect(socket.as_raw_fd(), &UnixAddr::new(path)?).map(|()| socket)
}
