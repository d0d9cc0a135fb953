//! A start under way, as its launcher sees it: from the fork until the daemon is ready, or until nothing is left of it.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;
use nix::sys::socket::{Shutdown, shutdown};
use nix::sys::wait::WaitStatus;
use nix::unistd::Pid;

use crate::channel::{KILL, Line, Lines};
use crate::error::{Failure, Result, Step};
use crate::middle::Leftovers;
use crate::plan::Plan;
use crate::stdio::Tail;
use crate::sys::signal::Captured;
use crate::sys::{fd, fork, pidfd, process};

/// Time that the kernel may take to kill a daemon whose middle process was killed, and to free its lock.
const ORPHAN_EXIT_TIMEOUT: Duration = Duration::from_secs(5);

/// Start of a daemon that has a pid and is not ready yet. Dropping it kills the daemon, unless that has become ready.
#[derive(Debug)]
pub struct PendingStart {
    pid: i32,
    channel: OwnedFd,
    lines: Lines,
    middle: Option<Pid>,
    daemon: Option<OwnedFd>,
    signals: Option<Captured>,
    tail: Option<Tail>,
    leftovers: Leftovers,
    directory: PathBuf,
    program: PathBuf,
    pid_file: Option<PathBuf>,
    addresses: Vec<String>,
    outlives_launcher: bool,
    hints_as: Option<String>,
    /// What the daemon waits for, where it said so.
    waiting: Option<String>,
    /// Signal that the launcher got before the daemon had a pid.
    interrupted: Option<Signal>,
}

/// Result of a start.
#[derive(Debug)]
pub enum Outcome {
    Ready,
    /// The daemon exited with this code, or was killed by this signal, before it was ready.
    Ended {
        code: Option<i32>,
        signal: Option<Signal>,
        stderr: String,
    },
    /// The daemon was not ready in time and has been killed; `waiting` is what it said that it waits for.
    TimedOut {
        stderr: String,
        waiting: Option<String>,
    },
    /// The launcher got this signal. The daemon has been killed, and the signal raised again for the launcher's own
    /// handlers.
    Interrupted(Signal),
    /// The middle process was killed, and the daemon with it.
    MiddleLost {
        stderr: String,
    },
}

#[derive(PartialEq, Eq)]
enum Abort {
    Done,
    /// The daemon became ready at the same moment, and goes on running.
    TooLate,
}

/// Event that the launcher waits for.
enum Event {
    Line(Line),
    /// The middle process closed the channel.
    Closed,
    Timeout,
    Signal(Signal),
}

impl PendingStart {
    pub(crate) fn new(
        plan: &Plan,
        channel: OwnedFd,
        middle: Pid,
        signals: Option<Captured>,
        tail: Option<Tail>,
        leftovers: Leftovers,
        addresses: Vec<String>,
    ) -> Result<Self> {
        let mut start = Self {
            pid: 0,
            channel,
            lines: Lines::default(),
            middle: Some(middle),
            daemon: None,
            signals,
            outlives_launcher: plan.outlives_launcher,
            hints_as: plan.hints_as.clone(),
            waiting: None,
            tail,
            leftovers,
            directory: plan.directory.clone(),
            program: plan.program.clone(),
            pid_file: plan.pid_file.as_ref().map(|file| file.path.clone()),
            addresses,
            interrupted: None,
        };
        match start.next_event(None) {
            Event::Line(Line::Pid(pid)) => {
                start.pid = pid;
                start.daemon = pidfd::open(pid).ok();
                Ok(start)
            }
            Event::Line(Line::Failure(failure)) => Err(start.explain(failure).into()),
            Event::Signal(signal) => {
                start.interrupted = Some(signal);
                Ok(start)
            }
            Event::Line(_) | Event::Closed | Event::Timeout => Err(Failure::new(Step::Channel, "read", Errno::EPIPE)
                .because("the middle process, between launcher and daemon, was killed: start again")
                .into()),
        }
    }

    /// The daemon's pid; 0 if the launcher got a signal before there was one.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// The addresses of the daemon's sockets, in the plan's order.
    #[must_use]
    pub fn addresses(&self) -> &[String] {
        &self.addresses
    }

    /// Blocks until the daemon is ready, or until it has exited and its files are removed.
    pub fn wait(&mut self, timeout: Duration) -> Result<Outcome> {
        let event = match self.interrupted {
            Some(signal) => Event::Signal(signal),
            None => self.next_event(Instant::now().checked_add(timeout)),
        };
        if matches!(event, Event::Line(Line::Ready)) || self.abort() == Abort::TooLate {
            self.reap_middle();
            self.signals = None;
            return Ok(Outcome::Ready);
        }
        let stderr = self.tail.as_mut().map(Tail::read).unwrap_or_default();
        match event {
            Event::Line(Line::Failure(failure)) => Err(self.explain(failure).into()),
            Event::Line(Line::Ended(status)) => Ok(ended(status, stderr)),
            Event::Timeout | Event::Line(Line::TimedOut) => {
                Ok(Outcome::TimedOut { stderr, waiting: self.waiting.take() })
            }
            Event::Signal(signal) => {
                if let Some(signals) = self.signals.take() {
                    signals.pass_on(signal);
                }
                Ok(Outcome::Interrupted(signal))
            }
            Event::Line(_) | Event::Closed => Ok(Outcome::MiddleLost { stderr }),
        }
    }

    /// Has the daemon killed, and removes its files; unless it becomes ready at this very moment: then it goes on
    /// running.
    fn abort(&mut self) -> Abort {
        if self.middle.is_none() {
            return Abort::Done;
        }
        // The middle kills the daemon when this channel closes, as when the launcher dies, or when it reads the order.
        // What the middle wrote before that can still be read.
        if self.outlives_launcher {
            let _ = fd::send_all(self.channel.as_raw_fd(), KILL);
        }
        let _ = shutdown(self.channel.as_raw_fd(), Shutdown::Write);
        self.reap_middle();
        if self.is_ready_after_all() {
            return Abort::TooLate;
        }
        if let Some(daemon) = &self.daemon {
            // If the middle was killed, the kernel kills the daemon, a moment later.
            let timeout = PollTimeout::try_from(ORPHAN_EXIT_TIMEOUT).unwrap_or(PollTimeout::MAX);
            let _ = poll(&mut [PollFd::new(daemon.as_fd(), PollFlags::POLLIN)], timeout);
        }
        self.leftovers.remove();
        Abort::Done
    }

    /// Reads the rest of the channel, which the middle has closed: whether the daemon became ready before it was
    /// killed.
    fn is_ready_after_all(&mut self) -> bool {
        let mut buffer = [0; 512];
        while let Ok(length @ 1..) = fd::read(self.channel.as_raw_fd(), &mut buffer) {
            self.lines.feed(&buffer[..length]);
        }
        std::iter::from_fn(|| self.lines.next()).any(|line| matches!(line, Line::Ready))
    }

    fn reap_middle(&mut self) {
        if let Some(middle) = self.middle.take() {
            let _ = process::wait(middle);
        }
    }

    /// Blocks until a line can be read, or until something else happens that the launcher waits for.
    fn next_event(&mut self, deadline: Option<Instant>) -> Event {
        loop {
            match self.lines.next() {
                Some(
                    Line::Status(_)
                    | Line::Beat
                    | Line::Idle(_)
                    | Line::Bind(_)
                    | Line::Supervision(_)
                    | Line::Stopping,
                ) => continue, // for a supervisor, not for a launcher
                Some(Line::Waiting(what)) => {
                    self.hint(printable(&what));
                    continue;
                }
                Some(line) => return Event::Line(line),
                None => {}
            }
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            // Rounded up, since poll(2) counts whole milliseconds. After the deadline it still says what can be read.
            let timeout = left.map_or(PollTimeout::NONE, |left| {
                PollTimeout::try_from(left.as_micros().div_ceil(1000)).unwrap_or(PollTimeout::MAX)
            });
            let mut polled = vec![PollFd::new(self.channel.as_fd(), PollFlags::POLLIN)];
            if let Some(signals) = &self.signals {
                polled.push(PollFd::new(signals.descriptor(), PollFlags::POLLIN));
            }
            let _ = poll(&mut polled, timeout); // EINTR: the pipe says which signal it was
            let speaks = polled[0].revents().is_some_and(|events| !events.is_empty());
            if let Some(signal) = self.signals.as_ref().and_then(Captured::caught) {
                return Event::Signal(signal);
            }
            if !speaks && left == Some(Duration::ZERO) {
                return Event::Timeout;
            }
            if speaks {
                let mut buffer = [0; 512];
                match fd::read(self.channel.as_raw_fd(), &mut buffer) {
                    Ok(0) | Err(_) => return Event::Closed,
                    Ok(length) => self.lines.feed(&buffer[..length]),
                }
            }
        }
    }

    /// Notes what the daemon waits for, and prints it where the user looks on; once, however many workers say it.
    fn hint(&mut self, what: String) {
        if self.waiting.as_ref() == Some(&what) {
            return;
        }
        if let Some(name) = &self.hints_as {
            let _ = std::io::Write::write_all(
                &mut std::io::stderr(),
                format!("{name}: not ready yet: {what}\n").as_bytes(),
            );
        }
        self.waiting = Some(what);
    }

    /// Adds the path, which only the launcher knows, to a failure that came through the channel as numbers.
    fn explain(&self, failure: Failure) -> Failure {
        if failure.path.is_some() {
            return failure;
        }
        match failure.step {
            Step::SecondFork => fork_failure(failure.step, failure.errno),
            Step::Chdir => failure.at(&self.directory),
            Step::Exec => failure.at(&self.program),
            Step::PidFileLock | Step::PidFileWrite => match &self.pid_file {
                Some(path) => failure.at(path),
                None => failure,
            },
            _ => failure,
        }
    }
}

impl Drop for PendingStart {
    fn drop(&mut self) {
        self.abort();
    }
}

/// Replaces control characters: the daemon may run as another user, who must not steer the launcher's terminal.
fn printable(text: &str) -> String {
    text.replace(char::is_control, "?")
}

/// Reads exit code or signal out of a raw status of waitpid(2).
fn ended(status: i32, stderr: String) -> Outcome {
    let (code, signal) = match WaitStatus::from_raw(Pid::from_raw(0), status) {
        Ok(WaitStatus::Exited(_, code)) => (Some(code), None),
        Ok(WaitStatus::Signaled(_, signal, _)) => (None, Some(signal)),
        _ => (None, None),
    };
    Outcome::Ended { code, signal, stderr }
}

/// Describes a fork that failed; EAGAIN and ENOMEM are what remained after several tries.
pub fn fork_failure(step: Step, errno: Errno) -> Failure {
    let failure = Failure::new(step, "fork", errno);
    match errno {
        Errno::EAGAIN | Errno::ENOMEM => failure.because(format!("tried {} times", fork::tries())),
        _ => failure,
    }
}
