//! The control socket beside the pid file: one JSON object a line, each answered by one. No client can hold us up:
//! all is non-blocking, what is read and what waits to be written has a limit, and so has the number of connections.

use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

use daemonic_core::sockets::{Bound, Listen, Target, bind_all};
use nix::poll::PollFlags;
use serde::{Deserialize, Serialize};

use crate::fleet::Client;

/// A request is a few words.
const LONGEST_REQUEST: usize = 16 * 1024;
/// Answers of a client that doesn't read them, bytes.
const MOST_UNREAD: usize = 1024 * 1024;
/// Beyond these the one that has been silent for longest is closed.
const MOST_CLIENTS: usize = 128;

#[derive(Debug, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Request {
    Status,
    Reload,
    ReopenLogs,
    /// `4`, `+1` or `-1`.
    Scale {
        to: String,
    },
    Stop,
}

/// What every answer has; a status has more.
#[derive(Debug, Serialize)]
pub struct Answer {
    pub ok: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl From<Result<(), String>> for Answer {
    fn from(result: Result<(), String>) -> Self {
        Self { ok: result.is_ok(), error: result.err() }
    }
}

pub struct Control {
    bound: Bound,
    listener: UnixListener,
    clients: Vec<Connection>,
    next: Client,
}

struct Connection {
    id: Client,
    stream: UnixStream,
    input: Vec<u8>,
    output: Vec<u8>,
    /// The client has nothing more to ask, but may wait for answers.
    ended: bool,
    owed: usize,
}

impl Control {
    /// Mode 0600; whatever socket was there belonged to an owner before us.
    pub fn open(path: &Path) -> daemonic_core::error::Result<Self> {
        let target = Target::Unix { path: path.to_owned(), mode: Some(0o600) };
        let spec = Listen { name: String::new(), target, backlog: 64, ipv6_only: false, reuse_port: false, udp: false };
        // Whoever answers there has lost the pid file to us.
        if std::fs::symlink_metadata(path).is_ok_and(|file| file.file_type().is_socket()) {
            let _ = std::fs::remove_file(path);
        }
        let mut all = bind_all(&[spec])?;
        let bound = all.remove(0);
        let listener = UnixListener::from(bound.socket.try_clone().map_err(refused)?);
        listener.set_nonblocking(true).map_err(refused)?;
        Ok(Self { bound, listener, clients: Vec::new(), next: 0 })
    }

    /// Whether the path still leads here: somebody may have removed it.
    pub fn is_in_place(&self) -> bool {
        self.bound.file.as_ref().is_some_and(daemonic_core::sockets::SocketFile::is_in_place)
    }

    pub fn remove(&self) {
        if let Some(file) = &self.bound.file {
            file.remove();
        }
    }

    /// What to poll, and what for: the listener, then the connections.
    pub fn descriptors(&self) -> Vec<(BorrowedFd<'_>, PollFlags)> {
        let clients = self.clients.iter().filter(|client| !client.ended || !client.output.is_empty());
        let clients = clients.map(|client| (client.stream.as_fd(), client.wants()));
        std::iter::once((self.listener.as_fd(), PollFlags::POLLIN)).chain(clients).collect()
    }

    /// Takes in new clients, reads and writes what can be; gives the requests, and what was none.
    pub fn turn(&mut self) -> Vec<(Client, Result<Request, String>)> {
        loop {
            let stream = match self.listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => break,
                // No descriptor is left for it: it stays readable until one is.
                Err(_) if self.clients.is_empty() => break,
                Err(_) => {
                    self.close_one();
                    continue;
                }
            };
            if is_allowed(&stream) && stream.set_nonblocking(true).is_ok() {
                if self.clients.len() >= MOST_CLIENTS {
                    self.close_one();
                }
                self.next += 1;
                self.clients.push(Connection {
                    id: self.next,
                    stream,
                    input: Vec::new(),
                    output: Vec::new(),
                    ended: false,
                    owed: 0,
                });
            }
        }
        let mut requests = Vec::new();
        self.clients.retain_mut(|client| client.turn(&mut requests));
        requests
    }

    /// The oldest that waits for nothing; else the oldest.
    fn close_one(&mut self) {
        let silent = self.clients.iter().position(|client| client.owed == 0);
        self.clients.remove(silent.unwrap_or(0));
    }

    /// Answers a request, if who asked is still there.
    pub fn answer(&mut self, client: Client, answer: &impl Serialize) {
        let Some(position) = self.clients.iter().position(|each| each.id == client) else { return };
        let mut text = serde_json::to_vec(answer).unwrap_or_default();
        text.push(b'\n');
        let connection = &mut self.clients[position];
        connection.output.extend_from_slice(&text);
        connection.owed = connection.owed.saturating_sub(1);
        if !connection.flush() || connection.is_done() {
            self.clients.remove(position);
        }
    }

    /// For an exec of ours: who waits for an answer is told to ask again.
    pub fn dismiss(&mut self) {
        for client in &mut self.clients {
            client.output.extend_from_slice(b"{\"ok\":false,\"error\":\"retry\"}\n");
            client.flush();
        }
    }
}

impl Connection {
    /// The end of what it asks stays readable for ever.
    fn wants(&self) -> PollFlags {
        let mut flags = PollFlags::empty();
        flags.set(PollFlags::POLLIN, !self.ended);
        flags.set(PollFlags::POLLOUT, !self.output.is_empty());
        flags
    }

    /// False when there is nothing more to do for it.
    fn turn(&mut self, requests: &mut Vec<(Client, Result<Request, String>)>) -> bool {
        let mut buffer = [0; 4096];
        while !self.ended {
            match self.stream.read(&mut buffer) {
                Ok(0) => self.ended = true,
                Ok(length) => self.input.extend_from_slice(&buffer[..length]),
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => break,
                Err(_) => return false,
            }
            if self.input.len() > LONGEST_REQUEST {
                break;
            }
        }
        while let Some(end) = self.input.iter().position(|&byte| byte == b'\n') {
            let line: Vec<u8> = self.input.drain(..=end).collect();
            let request = serde_json::from_slice(&line[..end]).map_err(|error| format!("no request: {error}"));
            requests.push((self.id, request));
            self.owed += 1;
        }
        if self.input.len() > LONGEST_REQUEST {
            self.output.extend_from_slice(b"{\"ok\":false,\"error\":\"the request is too long\"}\n");
            self.flush();
            return false;
        }
        self.flush() && !self.is_done()
    }

    /// One that has closed its side may still wait for its answer; one that went away says so when we write.
    fn is_done(&self) -> bool {
        self.ended && self.output.is_empty() && self.owed == 0
    }

    /// Writes what can be written; false where nobody reads.
    fn flush(&mut self) -> bool {
        while !self.output.is_empty() {
            match self.stream.write(&self.output) {
                Ok(written) => drop(self.output.drain(..written)),
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => break,
                Err(_) => return false,
            }
        }
        self.output.len() <= MOST_UNREAD
    }
}

/// The supervisor's own user, or root: by the kernel's word, unix(7).
fn is_allowed(stream: &UnixStream) -> bool {
    let own = nix::unistd::geteuid().as_raw();
    peer(stream.as_fd()).is_some_and(|user| user == own || user == 0)
}

#[cfg(target_os = "linux")]
fn peer(stream: BorrowedFd<'_>) -> Option<u32> {
    let credentials = nix::sys::socket::getsockopt(&stream, nix::sys::socket::sockopt::PeerCredentials).ok()?;
    Some(credentials.uid())
}

#[cfg(not(target_os = "linux"))]
fn peer(stream: BorrowedFd<'_>) -> Option<u32> {
    nix::unistd::getpeereid(stream).ok().map(|(user, _)| user.as_raw())
}

#[allow(clippy::needless_pass_by_value)] // for map_err
fn refused(error: std::io::Error) -> daemonic_core::error::Failure {
    use daemonic_core::error::{Failure, Step, errno_of};
    Failure::new(Step::Listen, "socket", errno_of(&error))
}
