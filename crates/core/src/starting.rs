//! A start under way, as its launcher sees it: from the fork to ready, or to a clean end.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;
use nix::sys::socket::{Shutdown, shutdown};
use nix::sys::wait::WaitStatus;
use nix::unistd::Pid;

use crate::channel::{END, Line, Lines};
use crate::error::{Failure, Result, Step};
use crate::launch::fork_failure;
use crate::middle::Leftovers;
use crate::plan::Plan;
use crate::stdio::Tail;
use crate::sys::signal::Captured;
use crate::sys::{fd, pidfd, process};

/// How long a daemon whose middle was killed may take to be killed by the kernel, and to free its lock.
const LAST_BREATH: Duration = Duration::from_secs(5);

/// The daemon has a pid, and is not ready yet. Dropped before it is, it is ended.
#[derive(Debug)]
pub struct Starting {
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
    /// A signal that came before the daemon had a pid.
    interrupted: Option<Signal>,
}

/// How a start went.
#[derive(Debug)]
pub enum Outcome {
    Ready,
    /// It ended before it was ready, with this exit code or by this signal.
    Ended {
        code: Option<i32>,
        signal: Option<Signal>,
        stderr: String,
    },
    TimedOut {
        stderr: String,
    },
    /// The launcher got a signal, which has been passed on by now.
    Interrupted(Signal),
    /// The process in between was killed, and the daemon with it.
    MiddleLost {
        stderr: String,
    },
}

#[derive(PartialEq, Eq)]
enum End {
    Ended,
    Ready,
}

enum Heard {
    Line(Line),
    End,
    Late,
    Signal(Signal),
}

impl Starting {
    pub(crate) fn new(
        plan: &Plan,
        channel: OwnedFd,
        middle: Pid,
        signals: Option<Captured>,
        tail: Option<Tail>,
        leftovers: Leftovers,
        addresses: Vec<String>,
    ) -> Result<Self> {
        let mut starting = Self {
            pid: 0,
            channel,
            lines: Lines::default(),
            middle: Some(middle),
            daemon: None,
            signals,
            outlives_launcher: plan.outlives_launcher,
            tail,
            leftovers,
            directory: plan.directory.clone(),
            program: plan.program.clone(),
            pid_file: plan.pid_file.as_ref().map(|file| file.path.clone()),
            addresses,
            interrupted: None,
        };
        match starting.hear(None) {
            Heard::Line(Line::Pid(pid)) => {
                starting.pid = pid;
                starting.daemon = pidfd::open(pid).ok();
                Ok(starting)
            }
            Heard::Line(Line::Failure(failure)) => Err(starting.explain(failure).into()),
            Heard::Signal(signal) => {
                starting.interrupted = Some(signal);
                Ok(starting)
            }
            Heard::Line(_) | Heard::End | Heard::Late => Err(Failure::new(Step::Channel, "read", Errno::EPIPE)
                .because("the process between launcher and daemon was killed")
                .into()),
        }
    }

    /// The daemon's.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// Where its sockets listen, in the plan's order.
    #[must_use]
    pub fn addresses(&self) -> &[String] {
        &self.addresses
    }

    /// Blocks until the daemon is ready, or until it and what it left is gone.
    pub fn wait(&mut self, timeout: Duration) -> Result<Outcome> {
        let heard = match self.interrupted {
            Some(signal) => Heard::Signal(signal),
            None => self.hear(Instant::now().checked_add(timeout)),
        };
        if matches!(heard, Heard::Line(Line::Ready)) || self.end() == End::Ready {
            self.reap_middle();
            self.signals = None;
            return Ok(Outcome::Ready);
        }
        let stderr = self.tail.as_mut().map(Tail::read).unwrap_or_default();
        match heard {
            Heard::Line(Line::Failure(failure)) => Err(self.explain(failure).into()),
            Heard::Line(Line::Ended(status)) => Ok(ended(status, stderr)),
            Heard::Late | Heard::Line(Line::TimedOut) => Ok(Outcome::TimedOut { stderr }),
            Heard::Signal(signal) => {
                if let Some(signals) = self.signals.take() {
                    signals.pass_on(signal);
                }
                Ok(Outcome::Interrupted(signal))
            }
            Heard::Line(_) | Heard::End => Ok(Outcome::MiddleLost { stderr }),
        }
    }

    /// Ends the daemon, and removes what it left; unless it has become ready in this very moment: then it stays.
    fn end(&mut self) -> End {
        if self.middle.is_none() {
            return End::Ended;
        }
        // The middle takes our end's end for the launcher's, or else a word. What it has passed on by then can still be
        // heard.
        if self.outlives_launcher {
            let _ = fd::send_all(self.channel.as_raw_fd(), END);
        }
        let _ = shutdown(self.channel.as_raw_fd(), Shutdown::Write);
        self.reap_middle();
        if self.is_ready_after_all() {
            return End::Ready;
        }
        if let Some(daemon) = &self.daemon {
            // If the middle was killed, the kernel ends the daemon on its own time.
            let timeout = PollTimeout::try_from(LAST_BREATH).unwrap_or(PollTimeout::MAX);
            let _ = poll(&mut [PollFd::new(daemon.as_fd(), PollFlags::POLLIN)], timeout);
        }
        self.leftovers.remove();
        End::Ended
    }

    /// Reads what is left of the channel, whose other end is closed.
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

    /// The next line, or what happened instead.
    fn hear(&mut self, deadline: Option<Instant>) -> Heard {
        loop {
            match self.lines.next() {
                Some(
                    Line::Status(_)
                    | Line::Beat
                    | Line::Idle(_)
                    | Line::Bind(_)
                    | Line::Supervision(_)
                    | Line::Stopping,
                ) => continue, // a supervisor's to hear
                Some(line) => return Heard::Line(line),
                None => {}
            }
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            // Rounded up: poll(2) counts in whole milliseconds. After the deadline it still tells what is there.
            let timeout = left.map_or(PollTimeout::NONE, |left| {
                PollTimeout::try_from(left.as_micros().div_ceil(1000)).unwrap_or(PollTimeout::MAX)
            });
            let mut polled = vec![PollFd::new(self.channel.as_fd(), PollFlags::POLLIN)];
            if let Some(signals) = &self.signals {
                polled.push(PollFd::new(signals.descriptor(), PollFlags::POLLIN));
            }
            let _ = poll(&mut polled, timeout); // EINTR: the pipe tells which signal
            let speaks = polled[0].revents().is_some_and(|events| !events.is_empty());
            if let Some(signal) = self.signals.as_ref().and_then(Captured::caught) {
                return Heard::Signal(signal);
            }
            if !speaks && left == Some(Duration::ZERO) {
                return Heard::Late;
            }
            if speaks {
                let mut buffer = [0; 512];
                match fd::read(self.channel.as_raw_fd(), &mut buffer) {
                    Ok(0) | Err(_) => return Heard::End,
                    Ok(length) => self.lines.feed(&buffer[..length]),
                }
            }
        }
    }

    /// Adds what only the launcher knows to a failure that crossed the channel as numbers.
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

impl Drop for Starting {
    fn drop(&mut self) {
        self.end();
    }
}

fn ended(status: i32, stderr: String) -> Outcome {
    let (code, signal) = match WaitStatus::from_raw(Pid::from_raw(0), status) {
        Ok(WaitStatus::Exited(_, code)) => (Some(code), None),
        Ok(WaitStatus::Signaled(_, signal, _)) => (None, Some(signal)),
        _ => (None, None),
    };
    Outcome::Ended { code, signal, stderr }
}
