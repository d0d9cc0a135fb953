//! The daemon's side of a start: takes up what the launcher, or a supervisor, passed over exec.

use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::Arc;

use nix::errno::Errno;

use crate::descriptors::FIRST_PASSED;
use crate::error::{During, Failure, Result, Step};
use crate::orders::{Answers, Orders};
use crate::pidfile::Held;
use crate::start_channel::{READY, TIMEOUT};
use crate::sys::fd::{self, FileId};
use crate::sys::{memory_file, process};

/// Environment variable that tells a process that it is the daemon. It is checked, then removed.
pub const MARKER: &str = "DAEMONIC_START";
/// Variables of sd_listen_fds(3).
pub const LISTEN_PID: &str = "LISTEN_PID";
/// Number of sockets that were passed.
pub const LISTEN_FDS: &str = "LISTEN_FDS";
/// Names of the sockets that were passed, between colons.
pub const LISTEN_FDNAMES: &str = "LISTEN_FDNAMES";

/// Least length of the note, in characters, filled up with blanks: a long process title is written over the marker.
const TITLE_ROOM: usize = 2048;

/// Role of this process, by who started it.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// A launcher, which reads the channel until the daemon is ready.
    #[default]
    Daemon,
    /// A supervisor, which reads the channel for the worker's whole life.
    Worker,
}

/// Content of [`MARKER`]: the numbers of the descriptors that were passed, and the identity of the channel.
#[derive(Debug, PartialEq, Eq)]
pub struct Marker {
    /// Who started this process.
    pub role: Role,
    /// None after a takeover in the foreground: then no launcher waits for this process.
    pub channel: Option<RawFd>,
    /// Identifies the channel: another program that inherited the variable has another file under that number.
    channel_id: FileId,
    /// Number of the first socket that was passed.
    pub first_socket: RawFd,
    /// Memory file of the supervisor's configuration.
    pub config: Option<RawFd>,
    /// Claimed pid file.
    pub pid_file: Option<RawFd>,
    /// Output that stdout becomes at the call of daemonize().
    pub stdout_at_call: Option<RawFd>,
    /// Output that stderr becomes at the call of daemonize().
    pub stderr_at_call: Option<RawFd>,
    /// Output that stderr becomes when the daemon is ready.
    pub stderr_at_ready: Option<RawFd>,
}

impl Default for Marker {
    fn default() -> Self {
        Self {
            role: Role::Daemon,
            channel: None,
            channel_id: FileId { device: 0, inode: 0 },
            first_socket: FIRST_PASSED,
            config: None,
            pid_file: None,
            stdout_at_call: None,
            stderr_at_call: None,
            stderr_at_ready: None,
        }
    }
}

impl Marker {
    /// Makes a marker for the channel that has the number `source` here.
    pub fn new(role: Role, source: RawFd) -> Result<Self> {
        let channel_id = socket_id(source).during(Step::Channel, "fstat")?;
        Ok(Self { role, channel_id, ..Self::default() })
    }

    /// Writes the variable's value without the pid, which the child appends: `numbers… note pid`.
    pub fn text(&self, note: &str) -> String {
        let number = |fd: Option<RawFd>| fd.map_or_else(|| "-".to_owned(), |fd| fd.to_string());
        let Self { role, channel_id: FileId { device, inode }, first_socket, .. } = self;
        let role = if *role == Role::Worker { 'w' } else { 'd' };
        let [channel, lock, out, error, late, config] =
            [self.channel, self.pid_file, self.stdout_at_call, self.stderr_at_call, self.stderr_at_ready, self.config]
                .map(number);
        format!(
            "{role} {channel} {device} {inode} {lock} {out} {error} {late} {config} {first_socket} {note:<TITLE_ROOM$} "
        )
    }

    /// Reads marker, note and pid out of the variable's value.
    fn parse(text: &str) -> Option<(Self, &str, u32)> {
        let (rest, pid) = text.rsplit_once(' ')?;
        let mut words = rest.splitn(11, ' ');
        let mut word = || words.next();
        let number = |word: &str| {
            if word == "-" { Some(None) } else { word.parse().ok().map(Some) }
        };
        let marker = Self {
            role: match word()? {
                "d" => Role::Daemon,
                "w" => Role::Worker,
                _ => return None,
            },
            channel: number(word()?)?,
            channel_id: FileId { device: word()?.parse().ok()?, inode: word()?.parse().ok()? },
            pid_file: number(word()?)?,
            stdout_at_call: number(word()?)?,
            stderr_at_call: number(word()?)?,
            stderr_at_ready: number(word()?)?,
            config: number(word()?)?,
            first_socket: word()?.parse().ok()?,
        };
        Some((marker, word()?.trim_end_matches(' '), pid.parse().ok()?))
    }
}

/// Everything that was passed to this process. It owns the descriptors from here on, and they are closed at the next
/// exec.
#[derive(Debug)]
pub struct Arrival {
    /// Who started this process.
    pub role: Role,
    /// Pid of the process that forked this one, and with which it is killed: a daemon until it is ready, a worker for
    /// good.
    pub parent: u32,
    /// Channel to the launcher, closed once the daemon is ready; or to the supervisor.
    channel: Option<OwnedFd>,
    answers: Arc<Answers>,
    /// Claimed pid file, to be registered as [`Held`].
    pub pid_file: Option<OwnedFd>,
    /// Output that stdout becomes at the call of daemonize().
    pub stdout_at_call: Option<OwnedFd>,
    /// Output that stderr becomes at the call of daemonize().
    pub stderr_at_call: Option<OwnedFd>,
    /// Output that stderr becomes when the daemon is ready.
    pub stderr_at_ready: Option<OwnedFd>,
    /// Configuration, where this process is a supervisor.
    pub config: Option<OwnedFd>,
    /// Number of the first socket that was passed: see [`passed_sockets`].
    pub first_socket: RawFd,
    /// Text that the launcher passed on: [`crate::plan::Plan::note`].
    pub note: String,
}

impl Arrival {
    /// Takes what was passed to this process, if a launcher or a supervisor has started it. Call it once.
    #[must_use]
    pub fn of_this_process() -> Option<Self> {
        Self::take(&std::env::var(MARKER).ok()?)
    }

    /// Takes the descriptors that `marker` names, if it was made for this very process. Call it once.
    #[must_use]
    pub fn take(marker: &str) -> Option<Self> {
        let (marker, note, pid) = Marker::parse(marker)?;
        let has_channel = marker.channel.is_none_or(|channel| socket_id(channel) == Ok(marker.channel_id));
        if pid != std::process::id() || !has_channel {
            return None;
        }
        let take = |number: RawFd| {
            fd::close_at_exec(number).ok()?;
            Some(fd::adopt(number))
        };
        Some(Self {
            role: marker.role,
            parent: std::os::unix::process::parent_id(),
            channel: marker.channel.and_then(take),
            answers: Arc::default(),
            config: marker.config.and_then(take),
            first_socket: marker.first_socket,
            pid_file: marker.pid_file.and_then(take),
            stdout_at_call: marker.stdout_at_call.and_then(take),
            stderr_at_call: marker.stderr_at_call.and_then(take),
            stderr_at_ready: marker.stderr_at_ready.and_then(take),
            note: note.to_owned(),
        })
    }

    /// Redirects, at the call of daemonize(), the outputs that had to wait for it.
    pub fn take_streams(&mut self) -> Result<()> {
        if let Some(file) = self.stdout_at_call.take() {
            fd::place(file.as_raw_fd(), 1).during(Step::Dup2, "dup2")?;
        }
        self.stderr_at_call.take().map_or(Ok(()), exchange_stderr)
    }

    /// Completes the start when the daemon is ready: it no longer dies with its parent (a worker goes on dying with its
    /// supervisor), the pid file counts as started, stderr is redirected, and the launcher or supervisor is notified.
    /// A supervisor hears whether the program said itself that it is ready. EPIPE: the launcher no longer waits.
    pub fn ready(&mut self, pid_file: Option<&Held>, by_program: bool) -> Result<()> {
        if self.role == Role::Daemon {
            process::die_with_parent(false).during(Step::Process, "prctl")?;
        }
        if let Some(pid_file) = pid_file {
            pid_file.mark_started()?;
        }
        self.stderr_at_ready.take().map_or(Ok(()), exchange_stderr)?;
        let Some(channel) = &self.channel else {
            return Ok(());
        };
        let line = if self.role == Role::Worker && !by_program { crate::worker_channel::READY_BY_SIGHT } else { READY };
        let sent = fd::send_all(channel.as_raw_fd(), line).during(Step::Channel, "send");
        if self.role == Role::Daemon {
            self.channel = None;
        }
        Ok(sent?)
    }

    /// Writes a line such as `STATUS=…` to the supervisor; does nothing in a process that has none.
    pub fn say(&self, line: &str) {
        let Some(channel) = self.channel.as_ref().filter(|_| self.role == Role::Worker) else { return };
        // A supervisor that doesn't read must not stop the event loop. A lost line is written again, or is not missed.
        let _ = fd::send_now(channel.as_raw_fd(), format!("{}\n", line.replace('\n', " ")).as_bytes());
    }

    /// Writes to the launcher or supervisor what a start that takes long waits for: a sentence.
    pub fn waits_for(&self, what: &str) {
        let Some(channel) = &self.channel else { return };
        let _ = fd::send_now(channel.as_raw_fd(), format!("WAITING={}\n", what.replace('\n', " ")).as_bytes());
    }

    /// Opens the stream of the supervisor's orders, to be read in a thread of its own. None in a process without
    /// supervisor.
    pub fn orders(&self) -> Result<Option<Orders>> {
        let Some(channel) = self.channel.as_ref().filter(|_| self.role == Role::Worker) else { return Ok(None) };
        let copy = fd::duplicate_above(channel, 3).during(Step::Channel, "fcntl")?;
        Ok(Some(Orders::new(copy, Arc::clone(&self.answers))))
    }

    /// Has the supervisor bind a socket, which it keeps for the other workers and for successors. `listen` is a line of
    /// JSON. Blocks until the answer is there, which another thread must read by [`Arrival::orders`].
    pub fn bind(&self, listen: &str) -> Result<(OwnedFd, String)> {
        let Some(channel) = &self.channel else { return Err(Failure::new(Step::Listen, "send", Errno::EPIPE).into()) };
        let line = format!("BIND={} {}\n", self.answers.expect(), listen.replace('\n', " "));
        fd::send_all(channel.as_raw_fd(), line.as_bytes()).during(Step::Listen, "send")?;
        self.answers.wait_for_socket()
    }

    /// Tells the supervisor how the program wants to be supervised: a line of JSON. Blocks until it was heard, since the
    /// supervisor heeds it only while this process has its rights.
    pub fn wish(&self, wishes: &str) -> Result<()> {
        let Some(channel) = self.channel.as_ref().filter(|_| self.role == Role::Worker) else { return Ok(()) };
        let line = format!("WISHES={} {}\n", self.answers.expect(), wishes.replace('\n', " "));
        fd::send_all(channel.as_raw_fd(), line.as_bytes()).during(Step::Channel, "send")?;
        self.answers.wait_for_grant()
    }

    /// Whether a launcher or a supervisor waits for this process to be ready.
    #[must_use]
    pub fn has_listener(&self) -> bool {
        self.channel.is_some()
    }

    /// Reports to the launcher that the workers were not ready in time.
    pub fn time_out(&self) {
        if let Some(channel) = &self.channel {
            let _ = fd::send_all(channel.as_raw_fd(), TIMEOUT);
        }
    }

    /// Reports to the launcher what failed here, so that it throws the same error.
    pub fn fail(&self, step: Step, errno: Errno, path: Option<&str>) {
        let path = path.map_or_else(String::new, |path| format!(" {}", path.replace('\n', "?")));
        let line = format!("FAILURE={} {}{path}\n", step as i32, errno as i32);
        if let Some(channel) = &self.channel {
            let _ = fd::send_all(channel.as_raw_fd(), line.as_bytes());
        }
    }
}

/// Redirects stderr from its memory file to `file`. The memory file is sealed: a child process that still has it open
/// can't make it grow.
#[allow(clippy::needless_pass_by_value)] // closed once it is duplicated as stderr
fn exchange_stderr(file: OwnedFd) -> Result<()> {
    let memory = fd::duplicate_raw(2, 3).during(Step::Dup2, "fcntl")?;
    fd::place(file.as_raw_fd(), 2).during(Step::Dup2, "dup2")?;
    Ok(memory_file::seal(&memory).during(Step::Log, "fcntl")?)
}

/// Lists the sockets that were passed to this process, with their names, as sd_listen_fds(3) does. They are marked to
/// be closed at the next exec.
#[must_use]
pub fn passed_sockets(first: RawFd) -> Vec<(String, RawFd)> {
    let variable = |name: &str| std::env::var(name).ok();
    if variable(LISTEN_PID).and_then(|pid| pid.parse().ok()) != Some(std::process::id()) {
        return Vec::new();
    }
    let count: RawFd = variable(LISTEN_FDS).and_then(|count| count.parse().ok()).unwrap_or(0);
    let names = variable(LISTEN_FDNAMES).unwrap_or_default();
    let mut names = names.split(':').map(str::to_owned);
    (first..first.saturating_add(count))
        .filter(|&number| fd::close_at_exec(number).is_ok())
        .map(|number| (names.next().unwrap_or_default(), number))
        .collect()
}

/// Identifies the socket that has this number; ENOTSOCK for another kind of file.
fn socket_id(number: RawFd) -> nix::Result<FileId> {
    let stat = fd::stat_raw(number)?;
    if stat.st_mode & libc::S_IFMT != libc::S_IFSOCK {
        return Err(Errno::ENOTSOCK);
    }
    Ok(FileId::of(&stat))
}

/// Describes a failure of the JavaScript side, which knows the step by its name.
#[must_use]
pub fn failure(step: &str, errno: i32) -> Failure {
    let step = Step::from_name(step).unwrap_or(Step::Process);
    Failure::new(step, step.syscall(), Errno::from_raw(errno))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_marker_is_read_as_it_was_written() {
        let marker = Marker {
            role: Role::Worker,
            channel: Some(4),
            channel_id: FileId { device: 8, inode: 99_999_999_999 },
            first_socket: 64,
            config: Some(9),
            pid_file: Some(5),
            stdout_at_call: None,
            stderr_at_call: None,
            stderr_at_ready: Some(6),
        };
        let note = r#"{"name":"a b","log":"/x y/z"}"#;
        let text = marker.text(note) + "4242";
        // The note is padded, so that the title of a daemon has room there.
        let read = Marker::parse(&text).map(|(marker, note, pid)| (marker, note.trim_end(), pid));
        assert_eq!(read, Some((marker, note, 4242)));
    }

    #[test]
    fn a_marker_for_another_process_or_of_nonsense_is_none() {
        for text in [
            "",
            "1",
            "d 3 1 1 - - - - - 3 {} ",
            "d 3 1 1 - - - - - 3 {} 1",
            "d x 1 1 - - - - - 3 {} 1",
            "x 3 1 1 - - - - - 3 {} 1",
        ] {
            assert!(Arrival::take(text).is_none(), "{text}");
        }
    }
}
