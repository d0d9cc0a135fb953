//! The control socket beside the pid file: a request is one line of JSON, and so is its answer. No client can hold up
//! the supervisor: all is non-blocking, and requests, unread answers and connections have limits.

use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

use daemonic_core::sockets::{Bound, Listen, Target, bind_all};
use nix::poll::PollFlags;
use serde::{Deserialize, Serialize};

use crate::clock::{Millis, now};
use crate::fleet::ClientId;

/// Bytes of one request: it is a few words.
const LONGEST_REQUEST: usize = 16 * 1024;
/// Bytes of answers that a client has not read; with more it is disconnected.
const MOST_UNREAD: usize = 1024 * 1024;
/// Milliseconds for which no client is accepted where this process has no free descriptor, and no client to close.
const ACCEPT_PAUSE: Millis = 250;
/// Connections at a time; for one more, the oldest that waits for no answer is closed.
const MOST_CLIENTS: usize = 128;

/// What a client may ask for.
#[derive(Debug, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Request {
    Status,
    Reload,
    ReopenLogs,
    /// Sets the number of workers: `4`, `+1` or `-1`.
    Scale {
        to: String,
    },
    Stop,
    /// Asks how the daemon ends: answered when it has.
    Outcome,
    /// Sends the workers a signal, those that boot as soon as they are ready.
    Signal {
        signal: i32,
    },
}

/// An answer without data; a status report carries `ok` as well.
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

/// The listening socket and its connections.
pub struct ControlSocket {
    bound: Bound,
    listener: UnixListener,
    clients: Vec<Connection>,
    last_id: ClientId,
    /// Until when no client is accepted, since there was no descriptor for one: the listener polls as readable all the
    /// time.
    accept_again_at: Millis,
}

struct Connection {
    id: ClientId,
    stream: UnixStream,
    input: Vec<u8>,
    output: Vec<u8>,
    /// The client has shut down its sending side; it may still wait for answers.
    half_closed: bool,
    /// Requests that have not been answered.
    unanswered: usize,
}

impl ControlSocket {
    /// Binds and listens at `path`, with mode 0600.
    pub fn open(path: &Path) -> daemonic_core::error::Result<Self> {
        let target = Target::Unix { path: path.to_owned(), mode: Some(0o600) };
        let spec = Listen { name: String::new(), target, backlog: 64, ipv6_only: false, reuse_port: false, udp: false };
        // This process holds the pid file, so that a socket which lies there is left over from an earlier daemon.
        if std::fs::symlink_metadata(path).is_ok_and(|file| file.file_type().is_socket()) {
            let _ = std::fs::remove_file(path);
        }
        let mut all = bind_all(&[spec])?;
        let bound = all.remove(0);
        let listener = UnixListener::from(bound.socket.try_clone().map_err(refused)?);
        listener.set_nonblocking(true).map_err(refused)?;
        Ok(Self { bound, listener, clients: Vec::new(), last_id: 0, accept_again_at: 0 })
    }

    /// Whether the path still leads to this socket, and the file was not removed or replaced.
    pub fn is_in_place(&self) -> bool {
        self.bound.file.as_ref().is_some_and(daemonic_core::sockets::SocketFile::is_in_place)
    }

    /// Removes the socket file, unless another has taken its place.
    pub fn remove(&self) {
        if let Some(file) = &self.bound.file {
            file.remove();
        }
    }

    /// Descriptors to poll, each with its events: the listener, unless it pauses, then the connections.
    pub fn descriptors(&self, now: Millis) -> Vec<(BorrowedFd<'_>, PollFlags)> {
        let clients = self.clients.iter().filter(|client| !client.half_closed || !client.output.is_empty());
        let clients = clients.map(|client| (client.stream.as_fd(), client.events()));
        let listener = Some(self.listener.as_fd()).filter(|_| self.accept_again_at <= now);
        listener.map(|listener| (listener, PollFlags::POLLIN)).into_iter().chain(clients).collect()
    }

    /// When clients are accepted again after a pause.
    pub fn next_accept(&self, now: Millis) -> Option<Millis> {
        Some(self.accept_again_at).filter(|&at| at > now)
    }

    /// Accepts new clients, reads and writes as much as does not block. Returns the requests and, for malformed lines,
    /// the errors to answer with.
    pub fn read_requests(&mut self) -> Vec<(ClientId, Result<Request, String>)> {
        loop {
            let stream = match self.listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => break,
                // EMFILE: the new client waits in the backlog until a descriptor is free.
                Err(_) if self.clients.is_empty() => {
                    self.accept_again_at = now() + ACCEPT_PAUSE;
                    break;
                }
                Err(_) => {
                    self.close_idle_client();
                    continue;
                }
            };
            if is_allowed(&stream) && stream.set_nonblocking(true).is_ok() {
                if self.clients.len() >= MOST_CLIENTS {
                    self.close_idle_client();
                }
                self.last_id += 1;
                self.clients.push(Connection {
                    id: self.last_id,
                    stream,
                    input: Vec::new(),
                    output: Vec::new(),
                    half_closed: false,
                    unanswered: 0,
                });
            }
        }
        let mut requests = Vec::new();
        self.clients.retain_mut(|client| client.read_requests(&mut requests));
        requests
    }

    /// Closes the oldest connection that waits for no answer, or else the oldest of all.
    fn close_idle_client(&mut self) {
        let idle = self.clients.iter().position(|client| client.unanswered == 0);
        self.clients.remove(idle.unwrap_or(0));
    }

    /// Answers a request, if its client is still connected.
    pub fn answer(&mut self, client: ClientId, answer: &impl Serialize) {
        let Some(position) = self.clients.iter().position(|each| each.id == client) else { return };
        let mut text = serde_json::to_vec(answer).unwrap_or_default();
        text.push(b'\n');
        let connection = &mut self.clients[position];
        connection.output.extend_from_slice(&text);
        connection.unanswered = connection.unanswered.saturating_sub(1);
        if !connection.flush() || connection.is_finished() {
            self.clients.remove(position);
        }
    }

    /// Tells all clients to ask again: the supervisor is about to execute itself again, which closes their connections.
    pub fn dismiss_clients(&mut self) {
        for client in &mut self.clients {
            client.output.extend_from_slice(b"{\"ok\":false,\"error\":\"retry\"}\n");
            client.flush();
        }
    }
}

impl Connection {
    /// Events to poll for. After the client has shut down its sending side, the connection would be readable for ever.
    fn events(&self) -> PollFlags {
        let mut flags = PollFlags::empty();
        flags.set(PollFlags::POLLIN, !self.half_closed);
        flags.set(PollFlags::POLLOUT, !self.output.is_empty());
        flags
    }

    /// Reads what has arrived; false if the connection is to be closed.
    fn read_requests(&mut self, requests: &mut Vec<(ClientId, Result<Request, String>)>) -> bool {
        let mut buffer = [0; 4096];
        while !self.half_closed {
            match self.stream.read(&mut buffer) {
                Ok(0) => self.half_closed = true,
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
            self.unanswered += 1;
        }
        if self.input.len() > LONGEST_REQUEST {
            self.output.extend_from_slice(b"{\"ok\":false,\"error\":\"the request is too long\"}\n");
            self.flush();
            return false;
        }
        self.flush() && !self.is_finished()
    }

    /// Whether no request can come any more and every answer is written. A client that has gone altogether shows only
    /// when an answer is written to it.
    fn is_finished(&self) -> bool {
        self.half_closed && self.output.is_empty() && self.unanswered == 0
    }

    /// Writes as much as does not block; false if the client has gone or reads no answers.
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

/// Whether the client runs as the supervisor's user or as root: the kernel says so, SO_PEERCRED in unix(7).
fn is_allowed(stream: &UnixStream) -> bool {
    let own = nix::unistd::geteuid().as_raw();
    peer_user(stream.as_fd()).is_some_and(|user| user == own || user == 0)
}

#[cfg(target_os = "linux")]
fn peer_user(stream: BorrowedFd<'_>) -> Option<u32> {
    let credentials = nix::sys::socket::getsockopt(&stream, nix::sys::socket::sockopt::PeerCredentials).ok()?;
    Some(credentials.uid())
}

#[cfg(not(target_os = "linux"))]
fn peer_user(stream: BorrowedFd<'_>) -> Option<u32> {
    nix::unistd::getpeereid(stream).ok().map(|(user, _)| user.as_raw())
}

#[allow(clippy::needless_pass_by_value)] // for map_err
fn refused(error: std::io::Error) -> daemonic_core::error::Failure {
    use daemonic_core::error::{Failure, Step, errno_of};
    Failure::new(Step::Listen, "socket", errno_of(&error))
}
