//! A start under way, as its launcher sees it: from the first process until the daemon is ready, or until nothing is left of it.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;
use nix::sys::socket::{Shutdown, shutdown};
use nix::sys::wait::WaitStatus;
use nix::unistd::Pid;

use crate::error::{Failure, Result, Step};
use crate::log_file::MadeLog;
use crate::middle::Leftovers;
use crate::packing::BUILD;
use crate::plan::Plan;
use crate::process_facts::status_field;
use crate::start_channel::{KILL, StartLine as Line, StartLines};
use crate::stdio::Tail;
use crate::sys::process_handle::ProcessHandle;
use crate::sys::signal::Captured;
use crate::sys::{fd, fork, process};

/// Time that the middle process may take to kill the daemon, remove its files and exit. Then it is killed: it may wait for
/// a file system that doesn't answer.
const MIDDLE_EXIT_TIMEOUT: Duration = Duration::from_secs(5);
/// Time that the kernel may take to kill a daemon whose middle process was killed, and to free its lock.
const ORPHAN_EXIT_TIMEOUT: Duration = Duration::from_secs(5);

/// Start of a daemon that is not ready yet. Dropping it kills the daemon, unless that has become ready.
#[derive(Debug)]
pub struct PendingStart {
    pid: i32,
    channel: OwnedFd,
    lines: StartLines,
    /// Whether the middle process has said which build it is of.
    speaks: bool,
    deadline: Option<Instant>,
    middle: Option<Pid>,
    daemon: Option<ProcessHandle>,
    signals: Option<Captured>,
    tail: Option<Tail>,
    leftovers: Leftovers,
    /// Logs that were not there before this start.
    made: Vec<MadeLog>,
    executable: PathBuf,
    directory: PathBuf,
    program: PathBuf,
    pid_file: Option<PathBuf>,
    addresses: Vec<String>,
    /// Processes that the last daemon may have left, and that go on.
    pub(crate) in_the_way: Vec<i32>,
    outlives_launcher: bool,
    /// Whether the daemon is ready, or nothing is left of it.
    is_over: bool,
    hints_as: Option<String>,
    /// What the daemon waits for, where it said so.
    waiting: Option<String>,
    /// What ended the start before the daemon had a pid.
    early_end: Option<Event>,
    /// Ends the start when its other end is closed.
    cancel: Option<OwnedFd>,
}

/// Result of a start.
#[derive(Debug)]
pub enum Outcome {
    /// The daemon is ready.
    Ready,
    /// The daemon exited with this code, or was killed by this signal, before it was ready.
    Ended {
        /// Exit code, if it exited.
        code: Option<i32>,
        /// Signal, if one ended it.
        signal: Option<Signal>,
        /// Last text that it wrote to stderr.
        stderr: String,
    },
    /// The daemon was not ready in time and has been killed; `waiting` is what it said that it waits for.
    TimedOut {
        /// Last text that the daemon wrote to stderr.
        stderr: String,
        /// Sentence that says what it waited for.
        waiting: Option<String>,
    },
    /// The launcher got this signal. The daemon has been killed, and the signal raised again for the launcher's own
    /// handlers.
    Interrupted(Signal),
    /// The launcher no longer wanted the daemon, which has been killed.
    Cancelled,
    /// The middle process was killed, and the daemon with it.
    MiddleLost {
        /// Last text that the daemon wrote to stderr.
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
#[derive(Debug)]
enum Event {
    Line(Line),
    /// The middle process closed the channel.
    Closed,
    Timeout,
    Signal(Signal),
    Cancelled,
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
    ) -> Self {
        Self {
            pid: 0,
            channel,
            lines: StartLines::default(),
            speaks: false,
            deadline: None,
            middle: Some(middle),
            daemon: None,
            signals,
            outlives_launcher: plan.outlives_launcher,
            hints_as: plan.hints_as.clone(),
            waiting: None,
            tail,
            leftovers,
            made: Vec::new(),
            executable: plan.executable.clone(),
            directory: plan.directory.clone(),
            program: plan.program.clone(),
            pid_file: plan.pid_file.as_ref().map(|file| file.path.clone()),
            addresses,
            in_the_way: Vec::new(),
            is_over: false,
            early_end: None,
            cancel: None,
        }
    }

    /// Blocks until the daemon has a pid, or until a signal or the end of `timeout` has ended the start. `made` are the logs
    /// that go with a start that fails.
    pub(crate) fn with_pid(mut self, made: Vec<MadeLog>, timeout: Duration) -> Result<Self> {
        self.made = made;
        self.deadline = Instant::now().checked_add(timeout);
        loop {
            match self.next_event() {
                Event::Line(Line::Build(build)) if build == BUILD => self.speaks = true,
                Event::Line(Line::Build(build)) => return Err(self.other_build(&build).into()),
                Event::Line(Line::Pid(pid)) => {
                    self.pid = pid;
                    self.daemon = ProcessHandle::open(pid).ok();
                    return Ok(self);
                }
                Event::Line(Line::Failure(failure)) => return Err(self.explain(failure).into()),
                Event::Line(_) => {}
                Event::Closed => return Err(self.middle_ended().into()),
                event @ (Event::Signal(_) | Event::Timeout | Event::Cancelled) => {
                    self.early_end = Some(event);
                    return Ok(self);
                }
            }
        }
    }

    /// Describes an executable that was replaced after this process had begun.
    fn other_build(&self, build: &str) -> Failure {
        let why = format!("it is of build {build}, this program has loaded {BUILD}: start this program again");
        Failure::new(Step::Executable, "read", Errno::ENOEXEC).at(&self.executable).because(why)
    }

    /// Describes a middle process that closed the channel before the daemon had a pid.
    fn middle_ended(&mut self) -> Failure {
        let status = self.reap_middle();
        if self.speaks {
            return Failure::new(Step::Channel, "read", Errno::EPIPE)
                .because("the middle process, between launcher and daemon, was killed: start again");
        }
        let how = match status.map(exit_of) {
            Some((Some(code), _)) => format!("exited with {code}"),
            Some((_, Some(signal))) => format!("was killed by {signal}"),
            _ => "ended".to_owned(),
        };
        Failure::new(Step::Executable, "read", Errno::EPIPE)
            .at(&self.executable)
            .because(format!("it {how} before it did anything: it may be damaged, or forbidden here"))
    }

    /// The daemon's pid; 0 if the start ended before there was one.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// The addresses of the daemon's sockets, in the plan's order.
    #[must_use]
    pub fn addresses(&self) -> &[String] {
        &self.addresses
    }

    /// Pids of processes that the last daemon may have left, and that go on.
    #[must_use]
    pub fn in_the_way(&self) -> &[i32] {
        &self.in_the_way
    }

    /// Ends the start, and the daemon, when the other end of this socket is closed before the daemon is ready.
    pub fn cancel_with(&mut self, socket: OwnedFd) {
        self.cancel = Some(socket);
    }

    /// Blocks until the daemon is ready, or until it has exited and its files are removed.
    pub fn wait(&mut self) -> Result<Outcome> {
        let event = self.early_end.take().unwrap_or_else(|| self.next_event());
        if matches!(event, Event::Line(Line::Ready)) || self.abort() == Abort::TooLate {
            self.is_over = true;
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
            Event::Cancelled => Ok(Outcome::Cancelled),
            Event::Line(_) | Event::Closed => Ok(Outcome::MiddleLost { stderr }),
        }
    }

    /// Has the daemon killed, and removes its files; unless it becomes ready at this very moment: then it goes on
    /// running.
    fn abort(&mut self) -> Abort {
        if std::mem::replace(&mut self.is_over, true) {
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
            let _ = daemon.wait(Some(ORPHAN_EXIT_TIMEOUT));
        }
        self.leftovers.remove();
        self.made.iter().for_each(MadeLog::remove_if_empty);
        Abort::Done
    }

    /// Reads what the middle, which has exited, left in the channel: whether the daemon became ready before it was killed.
    /// Doesn't wait for the channel's end, which whoever else might hold a copy of the far end would keep away.
    fn is_ready_after_all(&mut self) -> bool {
        let mut buffer = [0; 512];
        loop {
            let mut polled = [PollFd::new(self.channel.as_fd(), PollFlags::POLLIN)];
            if !matches!(poll(&mut polled, PollTimeout::ZERO), Ok(1..)) {
                break;
            }
            let Ok(length @ 1..) = fd::read(self.channel.as_raw_fd(), &mut buffer) else { break };
            self.lines.feed(&buffer[..length]);
        }
        std::iter::from_fn(|| self.lines.take()).any(|(line, _)| matches!(line, Line::Ready))
    }

    /// Reaps the middle process, and returns its status.
    fn reap_middle(&mut self) -> Option<i32> {
        let middle = self.middle.take()?;
        if !ProcessHandle::of_child(middle).wait(Some(MIDDLE_EXIT_TIMEOUT)) {
            // The daemon then dies with it, as long as that isn't ready.
            let _ = process::signal_child(middle, libc::SIGKILL, false);
        }
        process::wait(middle).ok()
    }

    /// Blocks until a line can be read, or until something else happens that the launcher waits for.
    fn next_event(&mut self) -> Event {
        loop {
            match self.lines.take() {
                Some((Line::Waiting(what), _)) => {
                    self.hint(printable(&what));
                    continue;
                }
                Some((line, _)) => return Event::Line(line),
                None => {}
            }
            let left = self.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            // Rounded up, since poll(2) counts whole milliseconds. After the deadline it still says what can be read.
            let timeout = left.map_or(PollTimeout::NONE, |left| {
                PollTimeout::try_from(left.as_micros().div_ceil(1000)).unwrap_or(PollTimeout::MAX)
            });
            let mut polled = vec![PollFd::new(self.channel.as_fd(), PollFlags::POLLIN)];
            if let Some(signals) = &self.signals {
                polled.push(PollFd::new(signals.descriptor(), PollFlags::POLLIN));
            }
            if let Some(cancel) = &self.cancel {
                polled.push(PollFd::new(cancel.as_fd(), PollFlags::POLLIN));
            }
            let _ = poll(&mut polled, timeout); // EINTR: the pipe says which signal it was
            let happened = |polled: &PollFd| polled.revents().is_some_and(|events| !events.is_empty());
            let speaks = happened(&polled[0]);
            let is_cancelled = self.cancel.is_some() && polled.last().is_some_and(happened);
            if let Some(signal) = self.signals.as_ref().and_then(Captured::caught) {
                return Event::Signal(signal);
            }
            if is_cancelled {
                return Event::Cancelled;
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
            Step::SecondFork => fork::failure(failure.step, failure.errno),
            Step::Chdir => failure.at(&self.directory),
            Step::Exec => failure.at(&self.program),
            Step::PidFileLock | Step::PidFileWrite => match &self.pid_file {
                Some(path) => failure.at(path),
                None => failure,
            },
            Step::Nice | Step::IoPriority | Step::OomScoreAdjust | Step::Limits if has_own_capabilities() => {
                failure.because("capabilities that this Node has by setcap don't pass to the processes it starts")
            }
            _ => failure,
        }
    }
}

/// Whether this process has capabilities that no process gets which it executes: those of its executable (setcap(8)).
fn has_own_capabilities() -> bool {
    let bits = |field: &str| status_field("self", field).and_then(|bits| u64::from_str_radix(&bits, 16).ok());
    let passed = bits("CapAmb:").unwrap_or(0);
    !nix::unistd::geteuid().is_root() && bits("CapEff:").is_some_and(|effective| effective & !passed != 0)
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
fn exit_of(status: i32) -> (Option<i32>, Option<Signal>) {
    match WaitStatus::from_raw(Pid::from_raw(0), status) {
        Ok(WaitStatus::Exited(_, code)) => (Some(code), None),
        Ok(WaitStatus::Signaled(_, signal, _)) => (None, Some(signal)),
        _ => (None, None),
    }
}

fn ended(status: i32, stderr: String) -> Outcome {
    let (code, signal) = exit_of(status);
    Outcome::Ended { code, signal, stderr }
}
