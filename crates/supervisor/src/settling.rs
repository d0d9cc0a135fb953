//! How a program that says nothing of itself counts as ready: it and what it has started have lived for a while, and where
//! the supervisor has bound sockets for it, it accepts connections there.

use std::collections::BTreeSet;
use std::net::TcpStream;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;

use daemonic_core::sys::descendants::with_descendants;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::clock::Millis;
use crate::readiness_probe::Address;

/// Milliseconds between two looks at most.
const LOOK_EVERY: Millis = 50;
/// Milliseconds for which a connection waits before the start says so.
const HINT_AFTER: Millis = 2_000;

/// A program that was started, until it has settled.
pub struct Settling {
    pid: i32,
    /// How long all its processes have to live.
    settle: Millis,
    /// When it was executed; None while it is being set up.
    since: Option<Millis>,
    /// The program's processes when they were last looked at, and since when these have been the same.
    processes: BTreeSet<i32>,
    same_since: Millis,
    next_look: Millis,
    /// The sockets on which it is to accept a connection.
    accepting: Vec<Accepting>,
}

/// A socket that was bound for the program, and on which a connection is to be accepted.
pub struct Accepting {
    pub name: String,
    pub address: String,
    pub socket: OwnedFd,
    /// The connection, once it was made.
    pub client: Option<Client>,
}

/// A connection that says nothing, and is closed once it was accepted.
#[allow(dead_code)] // held open, so that the program finds a client where it looks
pub enum Client {
    Inet(TcpStream),
    Unix(UnixStream),
}

impl Settling {
    /// Waits for the program that runs as `pid`.
    pub fn new(pid: i32, settle: Millis, accepting: Vec<Accepting>) -> Self {
        let processes = BTreeSet::new();
        Self { pid, settle, since: None, processes, same_since: 0, next_look: 0, accepting }
    }

    /// Notes that the program was executed.
    pub fn executed(&mut self, now: Millis) {
        self.since.get_or_insert(now);
    }

    /// When [`look`](Self::look) has something to do.
    pub fn next_look(&self) -> Option<Millis> {
        self.since.map(|_| self.next_look)
    }

    /// Whether it has settled, and accepts on every socket.
    pub fn look(&mut self, now: Millis) -> bool {
        let Some(since) = self.since else { return false };
        self.next_look = now + LOOK_EVERY.min(self.settle.max(1));
        self.has_lived(since, now) && self.accepts()
    }

    /// Whether no process of the program has begun or ended for a while. One that begins processes all the time has to live
    /// for twice as long instead.
    fn has_lived(&mut self, since: Millis, now: Millis) -> bool {
        let processes = with_descendants(vec![self.pid]).collect();
        if processes != self.processes {
            // Those of the first look have lived since the exec.
            self.same_since = if self.processes.is_empty() { since } else { now };
            self.processes = processes;
        }
        now >= self.same_since + self.settle || now >= since + 2 * self.settle
    }

    /// Whether no connection is left waiting. The first look makes one for each socket.
    fn accepts(&mut self) -> bool {
        for each in &mut self.accepting {
            if each.client.is_none() {
                each.client = Address::parse(&each.address).connect();
            }
        }
        !self.accepting.iter().any(Accepting::is_waiting)
    }

    /// Names the first socket with a connection that has been waiting for long.
    pub fn waits_for(&self, now: Millis) -> Option<(&str, &str)> {
        let is_late = self.since.is_some_and(|since| now >= since + self.settle + HINT_AFTER);
        let left = self.accepting.iter().find(|each| is_late && each.client.is_some() && each.is_waiting())?;
        Some((&left.name, &left.address))
    }
}

impl Accepting {
    /// Whether a connection waits to be accepted: the listening socket is readable then.
    fn is_waiting(&self) -> bool {
        let mut polled = [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)];
        poll(&mut polled, PollTimeout::ZERO).is_ok_and(|count| count > 0)
    }
}
