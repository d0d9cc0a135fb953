//! How the supervisor sees that a worker is ready, where the worker doesn't say READY=1: the exec has succeeded a while
//! ago, a newline came, or its addresses answer.

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

/// Milliseconds after its exec when a program that still runs counts as ready: one that has wrong arguments or a wrong
/// configuration has exited by then.
const READY_AFTER_EXEC: Millis = 300;
/// Milliseconds between two rounds of connecting to all addresses.
const CONNECT_EVERY: Millis = 50;
/// How long one address may take to accept. The event loop waits meanwhile, but a local address answers at once.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(50);

/// What the supervisor waits for.
#[allow(private_interfaces)] // only this module looks into an address
pub enum ReadinessProbe {
    /// Nothing: the probe is over, or the worker says READY=1, over its channel or by sd_notify(3).
    Finished,
    /// The program to be executed, and then to run for [`READY_AFTER_EXEC`].
    SurvivesExec { since: Option<Millis> },
    /// A newline on this pipe.
    Newline(OwnedFd),
    /// A successful connection to each of these addresses.
    Connects { addresses: Vec<Address>, next_try: Millis },
}

impl ReadinessProbe {
    /// Chooses the probe for a new worker; `line` is the reading side of its readiness pipe.
    pub fn of(ready: &Ready, is_foreign: bool, line: Option<OwnedFd>) -> Self {
        match (ready, line) {
            (Ready::Fd(_), Some(line)) => Self::Newline(line),
            (Ready::Port(addresses), _) => {
                Self::Connects { addresses: addresses.iter().map(|text| Address::parse(text)).collect(), next_try: 0 }
            }
            (Ready::Auto, _) if is_foreign => Self::SurvivesExec { since: None },
            _ => Self::Finished,
        }
    }

    /// Notes that the worker was executed: a foreign program closes the channel by that.
    pub fn executed(&mut self, now: Millis) {
        if let Self::SurvivesExec { since } = self {
            since.get_or_insert(now);
        }
    }

    /// When [`look`](Self::look) has something to do, where no descriptor shows it.
    pub fn next_look(&self) -> Option<Millis> {
        match self {
            Self::SurvivesExec { since } => since.map(|since| since + READY_AFTER_EXEC),
            Self::Connects { next_try, .. } => Some(*next_try),
            Self::Finished | Self::Newline(_) => None,
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
            Self::SurvivesExec { since } => since.is_some_and(|since| since + READY_AFTER_EXEC <= now),
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
enum Address {
    Unix(PathBuf),
    Inet(Vec<SocketAddr>),
}

impl Address {
    fn parse(text: &str) -> Self {
        if text.starts_with('/') {
            return Self::Unix(text.into());
        }
        // A socket that is bound to all interfaces answers on the loopback interface.
        let reachable = text.replace("[::]:", "localhost:").replace("0.0.0.0:", "127.0.0.1:");
        Self::Inet(reachable.to_socket_addrs().map(Iterator::collect).unwrap_or_default())
    }

    fn accepts(&self) -> bool {
        match self {
            Self::Inet(all) => all.iter().any(|address| TcpStream::connect_timeout(address, CONNECT_TIMEOUT).is_ok()),
            Self::Unix(path) => connect_unix(path).is_ok(),
        }
    }
}

/// Connects without blocking. EAGAIN means that the backlog is full, so that a program listens: connect(2).
fn connect_unix(path: &Path) -> nix::Result<()> {
    let socket = socket(AddressFamily::Unix, SockType::Stream, fd::SOCKET_FLAGS, None)?;
    fcntl(&socket, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    match connect(socket.as_raw_fd(), &UnixAddr::new(path)?) {
        Err(Errno::EAGAIN) => Ok(()),
        other => other,
    }
}
