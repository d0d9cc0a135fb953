//! The daemon's side of a start: what the launcher handed over exec, taken up again.

use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::Arc;

use nix::errno::Errno;

use crate::channel::{READY, TIMEOUT};
use crate::descriptors::FIRST_PASSED;
use crate::error::{During, Failure, Result, Step};
use crate::orders::{Answers, Orders};
use crate::pidfile::Held;
use crate::sys::{fd, memory_file, process};

/// The one environment variable that says "you are the daemon": checked, then removed.
pub const MARKER: &str = "DAEMONIC_START";
pub const LISTEN_PID: &str = "LISTEN_PID";
pub const LISTEN_FDS: &str = "LISTEN_FDS";
pub const LISTEN_FDNAMES: &str = "LISTEN_FDNAMES";

/// For whom this process works.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// It was started on its own; whoever started it listens until it is ready.
    #[default]
    Daemon,
    /// A supervisor started it, and goes on listening.
    Worker,
}

/// The marker's descriptors: numbers in the daemon, and which file the channel must be.
#[derive(Debug, PartialEq, Eq)]
pub struct Marker {
    pub role: Role,
    /// None in a process that became its own supervisor: nobody waits for it.
    pub channel: Option<RawFd>,
    device: u64,
    inode: u64,
    pub first_socket: RawFd,
    pub config: Option<RawFd>,
    pub pid_file: Option<RawFd>,
    pub stdout_at_call: Option<RawFd>,
    pub stderr_at_call: Option<RawFd>,
    pub stderr_at_ready: Option<RawFd>,
}

impl Default for Marker {
    fn default() -> Self {
        Self {
            role: Role::Daemon,
            channel: None,
            device: 0,
            inode: 0,
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
    /// For a channel that is `source` in the launcher.
    pub fn new(role: Role, source: RawFd) -> Result<Self> {
        let (device, inode) = identity(source).during(Step::Channel, "fstat")?;
        Ok(Self { role, device, inode, ..Self::default() })
    }

    /// Its text without the pid, which the child appends: `numbers… note pid`.
    pub fn text(&self, note: &str) -> String {
        let number = |fd: Option<RawFd>| fd.map_or_else(|| "-".to_owned(), |fd| fd.to_string());
        let Self { role, device, inode, first_socket, .. } = self;
        let role = if *role == Role::Worker { 'w' } else { 'd' };
        let [channel, lock, out, error, late, config] =
            [self.channel, self.pid_file, self.stdout_at_call, self.stderr_at_call, self.stderr_at_ready, self.config]
                .map(number);
        format!("{role} {channel} {device} {inode} {lock} {out} {error} {late} {config} {first_socket} {note} ")
    }

    /// The marker, the note and the pid of such a text.
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
            device: word()?.parse().ok()?,
            inode: word()?.parse().ok()?,
            pid_file: number(word()?)?,
            stdout_at_call: number(word()?)?,
            stderr_at_call: number(word()?)?,
            stderr_at_ready: number(word()?)?,
            config: number(word()?)?,
            first_socket: word()?.parse().ok()?,
        };
        Some((marker, word()?, pid.parse().ok()?))
    }
}

/// What this process was handed. The descriptors are its own from here on, and closed at the next exec.
#[derive(Debug)]
pub struct Arrival {
    pub role: Role,
    /// Whose end is ours: a daemon's until it is ready.
    pub parent: u32,
    /// Closed when there is nothing left to tell.
    channel: Option<OwnedFd>,
    answers: Arc<Answers>,
    pub pid_file: Option<OwnedFd>,
    pub stdout_at_call: Option<OwnedFd>,
    pub stderr_at_call: Option<OwnedFd>,
    pub stderr_at_ready: Option<OwnedFd>,
    /// What a supervisor is to do.
    pub config: Option<OwnedFd>,
    pub first_socket: RawFd,
    pub note: String,
}

impl Arrival {
    /// Takes up what `marker` names, if it was meant for this very process. Call it once.
    #[must_use]
    pub fn take(marker: &str) -> Option<Self> {
        let (marker, note, pid) = Marker::parse(marker)?;
        let is_ours = marker.channel.is_none_or(|channel| identity(channel) == Ok((marker.device, marker.inode)));
        if pid != std::process::id() || !is_ours {
            return None;
        }
        let own = |number: RawFd| {
            fd::close_at_exec(number).ok()?;
            Some(fd::adopt(number))
        };
        Some(Self {
            role: marker.role,
            parent: std::os::unix::process::parent_id(),
            channel: marker.channel.and_then(own),
            answers: Arc::default(),
            config: marker.config.and_then(own),
            first_socket: marker.first_socket,
            pid_file: marker.pid_file.and_then(own),
            stdout_at_call: marker.stdout_at_call.and_then(own),
            stderr_at_call: marker.stderr_at_call.and_then(own),
            stderr_at_ready: marker.stderr_at_ready.and_then(own),
            note: note.to_owned(),
        })
    }

    /// At the call: the streams that the caller's own ones become now, not before.
    pub fn take_streams(&mut self) -> Result<()> {
        if let Some(file) = self.stdout_at_call.take() {
            fd::place(file.as_raw_fd(), 1).during(Step::Dup2, "dup2")?;
        }
        self.stderr_at_call.take().map_or(Ok(()), exchange_stderr)
    }

    /// At ready: nobody's end is ours any more, but a supervisor's; those who wait for the pid file may look; stderr is
    /// what was asked for; whoever started us hears of it. EPIPE: nobody waits for it any more.
    pub fn ready(&mut self, pid_file: Option<&Held>) -> Result<()> {
        if self.role == Role::Daemon {
            process::die_with_parent(false).during(Step::Process, "prctl")?;
        }
        if let Some(pid_file) = pid_file {
            pid_file.started()?;
        }
        self.stderr_at_ready.take().map_or(Ok(()), exchange_stderr)?;
        let Some(channel) = &self.channel else {
            return Ok(());
        };
        let told = fd::send_all(channel.as_raw_fd(), READY).during(Step::Channel, "send");
        if self.role == Role::Daemon {
            self.channel = None;
        }
        Ok(told?)
    }

    /// Says a line to the supervisor, such as `STATUS=…`; nothing where there is none.
    pub fn say(&self, line: &str) {
        let Some(channel) = self.channel.as_ref().filter(|_| self.role == Role::Worker) else { return };
        // One that doesn't read must not stop the event loop: a line that is lost is said again, or was one too many.
        let _ = fd::send_now(channel.as_raw_fd(), format!("{}\n", line.replace('\n', " ")).as_bytes());
    }

    /// The supervisor's side of the channel, to listen to in a thread of its own.
    pub fn orders(&self) -> Result<Option<Orders>> {
        let Some(channel) = self.channel.as_ref().filter(|_| self.role == Role::Worker) else { return Ok(None) };
        let copy = fd::duplicate_above(channel, 3).during(Step::Channel, "fcntl")?;
        Ok(Some(Orders::new(copy, Arc::clone(&self.answers))))
    }

    /// Has the supervisor bind a socket, which it keeps for other workers and successors. `listen`: as a line of JSON.
    /// Blocks, while another thread listens to its orders.
    pub fn bind(&self, listen: &str) -> Result<(OwnedFd, String)> {
        self.say(&format!("BIND={listen}"));
        self.answers.socket()
    }

    /// Whether anybody waits for this process to be ready.
    #[must_use]
    pub fn has_listener(&self) -> bool {
        self.channel.is_some()
    }

    /// Tells the launcher that this is taking too long.
    pub fn time_out(&self) {
        if let Some(channel) = &self.channel {
            let _ = fd::send_all(channel.as_raw_fd(), TIMEOUT);
        }
    }

    /// Tells the launcher what failed here, so that it throws the same error.
    pub fn fail(&self, step: Step, errno: Errno, path: Option<&str>) {
        let path = path.map_or_else(String::new, |path| format!(" {}", path.replace('\n', "?")));
        let line = format!("FAILURE={} {}{path}\n", step as i32, errno as i32);
        if let Some(channel) = &self.channel {
            let _ = fd::send_all(channel.as_raw_fd(), line.as_bytes());
        }
    }
}

/// Exchanges the memory that stderr has been for `file`; a child that still holds the memory can't make it grow.
#[allow(clippy::needless_pass_by_value)] // closed once its duplicate stands in its place
fn exchange_stderr(file: OwnedFd) -> Result<()> {
    let memory = fd::duplicate_raw(2, 3).during(Step::Dup2, "fcntl")?;
    fd::place(file.as_raw_fd(), 2).during(Step::Dup2, "dup2")?;
    Ok(memory_file::seal(&memory).during(Step::Log, "fcntl")?)
}

/// The sockets that were passed to this process, with their names, closed at the next exec: sd_listen_fds(3).
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

#[allow(clippy::unnecessary_cast, clippy::cast_sign_loss)]
fn identity(number: RawFd) -> nix::Result<(u64, u64)> {
    let stat = fd::stat_raw(number)?;
    if stat.st_mode & libc::S_IFMT != libc::S_IFSOCK {
        return Err(Errno::ENOTSOCK);
    }
    Ok((stat.st_dev as u64, stat.st_ino as u64))
}

/// A failure of this process's own that the launcher is to hear of.
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
            device: 8,
            inode: 99_999_999_999,
            first_socket: 64,
            config: Some(9),
            pid_file: Some(5),
            stdout_at_call: None,
            stderr_at_call: None,
            stderr_at_ready: Some(6),
        };
        let note = r#"{"name":"a b","log":"/x y/z"}"#;
        let text = marker.text(note) + "4242";
        assert_eq!(Marker::parse(&text), Some((marker, note, 4242)));
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
