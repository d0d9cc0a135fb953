//! When a program counts as ready that doesn't tell us over a channel of ours.

use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use daemonic_core::sys::fd;
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::socket::{AddressFamily, SockType, UnixAddr, connect, socket};

use crate::config::Ready;
use crate::policy::Millis;

/// A program that has lived for this long after its exec has not failed at once.
const MOMENT: Millis = 300;
/// How often addresses are tried, and how long one may take to answer.
const TRY_EVERY: Millis = 50;
const PATIENCE: Duration = Duration::from_millis(50);

/// What is still waited for.
#[allow(private_interfaces)] // its own words
pub enum Readiness {
    /// It says so: over its channel, or by sd_notify(3).
    Told,
    /// To be executed, then for the moment to pass.
    Lived { since: Option<Millis> },
    /// A newline.
    Line(OwnedFd),
    /// Answers at all of these addresses.
    Answers { addresses: Vec<Address>, next_try: Millis },
}

impl Readiness {
    pub fn of(ready: &Ready, foreign: bool, line: Option<OwnedFd>) -> Self {
        match (ready, line) {
            (Ready::Fd(_), Some(line)) => Self::Line(line),
            (Ready::Port(addresses), _) => {
                Self::Answers { addresses: addresses.iter().map(|text| Address::of(text)).collect(), next_try: 0 }
            }
            (Ready::Auto, _) if foreign => Self::Lived { since: None },
            _ => Self::Told,
        }
    }

    /// The channel of a foreign program ends at its exec.
    pub fn executed(&mut self, now: Millis) {
        if let Self::Lived { since } = self {
            since.get_or_insert(now);
        }
    }

    /// When it is to be asked again; a descriptor tells itself.
    pub fn next_look(&self) -> Option<Millis> {
        match self {
            Self::Lived { since } => since.map(|since| since + MOMENT),
            Self::Answers { next_try, .. } => Some(*next_try),
            Self::Told | Self::Line(_) => None,
        }
    }

    pub fn descriptor(&self) -> Option<&OwnedFd> {
        match self {
            Self::Line(line) => Some(line),
            _ => None,
        }
    }

    /// Whether it is ready by now; once.
    pub fn is_reached(&mut self, now: Millis) -> bool {
        let reached = match self {
            Self::Told => false,
            Self::Lived { since } => since.is_some_and(|since| since + MOMENT <= now),
            Self::Line(line) => {
                let mut buffer = [0; 256];
                let read = fcntl(&*line, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))
                    .and_then(|_| fd::read(line.as_raw_fd(), &mut buffer));
                match read {
                    Ok(0) => {
                        *self = Self::Told; // it closed the descriptor without a word
                        false
                    }
                    Ok(length) => buffer[..length].contains(&b'\n'),
                    Err(_) => false,
                }
            }
            Self::Answers { addresses, next_try } => {
                *next_try = now + TRY_EVERY;
                addresses.iter().all(Address::answers)
            }
        };
        if reached {
            *self = Self::Told;
        }
        reached
    }
}

/// What an address that is given as text means; a name is looked up once, not at every try.
#[derive(Debug, Clone)]
enum Address {
    Unix(PathBuf),
    Inet(Vec<SocketAddr>),
}

impl Address {
    fn of(text: &str) -> Self {
        if text.starts_with('/') {
            return Self::Unix(text.into());
        }
        // Every interface answers on the loopback one.
        let reachable = text.replace("[::]:", "localhost:").replace("0.0.0.0:", "127.0.0.1:");
        Self::Inet(reachable.to_socket_addrs().map(Iterator::collect).unwrap_or_default())
    }

    fn answers(&self) -> bool {
        match self {
            Self::Inet(all) => all.iter().any(|address| TcpStream::connect_timeout(address, PATIENCE).is_ok()),
            Self::Unix(path) => unix_answers(path).is_ok(),
        }
    }
}

/// A full backlog, which a blocking connect(2) would wait for, is an answer.
fn unix_answers(path: &Path) -> nix::Result<()> {
    let socket = socket(AddressFamily::Unix, SockType::Stream, fd::SOCKET_FLAGS, None)?;
    fcntl(&socket, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    match connect(socket.as_raw_fd(), &UnixAddr::new(path)?) {
        Err(Errno::EAGAIN) => Ok(()),
        other => other,
    }
}
