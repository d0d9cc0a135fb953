//! Signals to the process that owns a pid file, and to no other.
//!
//! SACRED: signals only the owner that the kernel names. The owner is read again after its pidfd was opened: if the
//! process has exited in between and its pid was given to another, that other is not signalled.

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::error::{Error, Failure, Result, Step};
use crate::pidfile::{
    Owner, PidFileState, Sweep, holder, inspect, owner, remove_if_free, replace_alone, wait_until_started,
};
use crate::sys::pidfd;

/// Time for which a pid file may be locked without an owner. A start has none from the lock to just before its exec: a
/// few milliseconds, unless the machine is loaded.
const OWNERLESS_TIMEOUT: Duration = Duration::from_secs(2);
/// Time that a process may take to die of SIGKILL: one that waits for a disk dies only when the disk answers.
const KILL_TIMEOUT: Duration = Duration::from_secs(30);
/// Time between two reads of the pid file while it has no owner, and while an owner stops where the kernel has no
/// pidfd.
const POLL_INTERVAL: Duration = Duration::from_millis(5);

/// Terms of a stop.
#[derive(Debug, Clone, Copy)]
pub struct StopRequest {
    pub signal: Signal,
    /// Time from the signal to SIGKILL, or to giving up.
    pub timeout: Duration,
    /// Whether to send SIGKILL after the timeout.
    pub force: bool,
    /// Pid of the only owner to stop: any other is left alone. If several processes want to stop the same owner, one
    /// does it and the others wait.
    pub only: Option<i32>,
}

/// Result of a stop.
#[derive(Debug, Clone, Copy)]
pub struct Stopped {
    /// Pid of the owner; None if nothing was running.
    pub pid: Option<i32>,
    /// Whether SIGKILL was sent.
    pub forced: bool,
    /// Whether the owner has exited. False if it outlived the timeout.
    pub exited: bool,
}

/// Owner of a pid file, with a pidfd: the pid may be given to another process, the pidfd can't.
struct Target<'a> {
    path: &'a Path,
    pid: i32,
    process: Option<OwnedFd>,
}

/// Signals the owner, waits until it has exited, and removes stale files. Blocks, so it runs in a thread of its own.
pub fn stop(path: &Path, companions: &[PathBuf], how: StopRequest) -> Result<Stopped> {
    match how.only {
        Some(_) => replace_alone(path, || stop_owner(path, companions, how)),
        None => stop_owner(path, companions, how),
    }
}

fn stop_owner(path: &Path, companions: &[PathBuf], how: StopRequest) -> Result<Stopped> {
    let target = match Target::of(path) {
        Ok(target) if how.only.is_some_and(|only| only != target.pid) => {
            return Ok(Stopped { pid: None, forced: false, exited: true });
        }
        Ok(target) => target,
        Err(Error::NotRunning { .. }) => {
            remove_stale(path, companions);
            return Ok(Stopped { pid: None, forced: false, exited: true });
        }
        Err(error) => return Err(error),
    };
    let pid = Some(target.pid);
    target.signal(how.signal)?;
    let mut exited = target.wait(how.timeout);
    let forced = !exited && how.force;
    if forced {
        target.signal(Signal::SIGKILL)?;
        exited = target.wait(KILL_TIMEOUT);
    }
    if exited {
        remove_stale(path, companions);
    }
    Ok(Stopped { pid, forced, exited })
}

/// Sends one signal to the owner. A signal that isn't meant to end the daemon, such as SIGHUP, is held back until the
/// daemon is ready: before its handlers are installed, the signal would kill it. Blocks, so it runs in a thread of its
/// own.
pub fn signal(path: &Path, signal: Signal) -> Result<()> {
    if !ENDING.contains(&signal) && wait_for_owner(path)?.state == PidFileState::Starting {
        wait_until_started(path)?;
    }
    Target::of(path)?.signal(signal)
}

/// Signals that are meant to end a process, and may be sent at any time.
const ENDING: [Signal; 5] = [Signal::SIGTERM, Signal::SIGINT, Signal::SIGQUIT, Signal::SIGABRT, Signal::SIGKILL];

impl<'a> Target<'a> {
    fn of(path: &'a Path) -> Result<Self> {
        let Owner { pid, .. } = wait_for_owner(path)?;
        let process = match pidfd::open(pid) {
            Ok(process) => Some(process),
            Err(Errno::ENOSYS | Errno::EPERM | Errno::EINVAL) => None,
            Err(Errno::ESRCH) => return Err(Error::NotRunning { path: path.to_owned() }),
            Err(errno) => return Err(Failure::new(Step::Signal, "pidfd_open", errno).at(path).into()),
        };
        let target = Self { path, pid, process };
        target.verify()?;
        Ok(target)
    }

    /// Fails unless the kernel still names the same owner.
    fn verify(&self) -> Result<()> {
        match owner(self.path)? {
            Owner { pid, .. } if pid == self.pid => Ok(()),
            _ => Err(Error::NotRunning { path: self.path.to_owned() }),
        }
    }

    /// Sends one signal. An owner that has exited by now needs none.
    fn signal(&self, signal: Signal) -> Result<()> {
        let sent = match &self.process {
            Some(process) => pidfd::send_signal(process, Some(signal)),
            // Without a pidfd, the pid could be given to another process only between these two calls.
            None => match self.verify() {
                Ok(()) => kill(Pid::from_raw(self.pid), signal),
                Err(Error::NotRunning { .. }) => Ok(()),
                Err(error) => return Err(error),
            },
        };
        match sent {
            Ok(()) | Err(Errno::ESRCH) => Ok(()),
            Err(errno) => Err(Failure::new(Step::Signal, "kill", errno).at(self.path).into()),
        }
    }

    /// Blocks until the owner has exited; false if it still runs after `timeout`.
    fn wait(&self, timeout: Duration) -> bool {
        let deadline = Instant::now().checked_add(timeout);
        loop {
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            if let Some(process) = &self.process {
                let timeout = left.map_or(PollTimeout::NONE, |left| {
                    PollTimeout::try_from(left.as_millis() + 1).unwrap_or(PollTimeout::MAX)
                });
                let mut polled = [PollFd::new(process.as_fd(), PollFlags::POLLIN)];
                if poll(&mut polled, timeout).is_ok_and(|count| count > 0) {
                    return true;
                }
            } else {
                if matches!(self.verify(), Err(Error::NotRunning { .. })) {
                    return true;
                }
                std::thread::sleep(POLL_INTERVAL);
            }
            if left == Some(Duration::ZERO) {
                return false;
            }
        }
    }
}

/// Finds the owner; while a start is about to have one, waits for it.
fn wait_for_owner(path: &Path) -> Result<Owner> {
    let deadline = Instant::now() + OWNERLESS_TIMEOUT;
    loop {
        match owner(path) {
            Err(Error::Unverified { .. })
                if Instant::now() < deadline && inspect(path)?.state == PidFileState::Starting =>
            {
                std::thread::sleep(POLL_INTERVAL);
            }
            // Orphaned lock: name a process that holds it.
            Err(Error::Unverified { path, pid: None, reason }) => {
                let pid = holder(&path);
                return Err(Error::Unverified { path, pid, reason });
            }
            other => return other,
        }
    }
}

/// Removes the pid file and its companions, if no daemon holds the file by now.
fn remove_stale(path: &Path, companions: &[PathBuf]) {
    if let Some(stale) = Sweep::of(path, None, companions) {
        remove_if_free(&stale);
    }
}
