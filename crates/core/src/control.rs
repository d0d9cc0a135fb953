//! Acting on the process that holds a pid file, and on no other.
//!
//! SACRED: what signals a process. Only the owner that the kernel names, read again after its pidfd was opened, so that
//! a pid recycled in between is never hit.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::error::{Error, Failure, Result, Step};
use crate::pidfile::{
    Owner, State, Sweep, c_path, holder, inspect, owner, remove_if_free, replace_alone, wait_until_started,
};
use crate::sys::pidfd;

/// A start has no owner from its lock to just before its exec: a few milliseconds, unless the machine is loaded.
const OWNER_PATIENCE: Duration = Duration::from_secs(2);
/// Even SIGKILL takes its time where a process waits for a disk.
const KILL_PATIENCE: Duration = Duration::from_secs(30);
/// How often it is looked at again then, and how often an end is looked for where the kernel has no pidfd.
const LOOK_EVERY: Duration = Duration::from_millis(5);

#[derive(Debug, Clone, Copy)]
pub struct Stopping {
    pub signal: Signal,
    /// From the signal to SIGKILL, or to giving up.
    pub timeout: Duration,
    pub force: bool,
    /// Stops nobody but this one; of several who want that at once, one does it, and the others wait.
    pub only: Option<i32>,
}

#[derive(Debug, Clone, Copy)]
pub struct Stopped {
    /// None: nothing was running.
    pub pid: Option<i32>,
    pub forced: bool,
    /// False if it outlived the timeout and `force` was not asked for.
    pub ended: bool,
}

/// The owner of a pid file, held so that its number can't become another's.
struct Target<'a> {
    path: &'a Path,
    pid: i32,
    process: Option<OwnedFd>,
}

/// Signals the owner, waits for its end, and removes what it left. Blocks: for a thread of its own.
pub fn stop(path: &Path, companions: &[std::path::PathBuf], how: Stopping) -> Result<Stopped> {
    match how.only {
        Some(_) => replace_alone(path, || stop_owner(path, companions, how)),
        None => stop_owner(path, companions, how),
    }
}

fn stop_owner(path: &Path, companions: &[std::path::PathBuf], how: Stopping) -> Result<Stopped> {
    let target = match Target::of(path) {
        Ok(target) if how.only.is_some_and(|only| only != target.pid) => {
            return Ok(Stopped { pid: None, forced: false, ended: true });
        }
        Ok(target) => target,
        Err(Error::NotRunning { .. }) => {
            remove_stale(path, companions);
            return Ok(Stopped { pid: None, forced: false, ended: true });
        }
        Err(error) => return Err(error),
    };
    let pid = Some(target.pid);
    target.signal(how.signal)?;
    let mut ended = target.wait(how.timeout);
    let forced = !ended && how.force;
    if forced {
        target.signal(Signal::SIGKILL)?;
        ended = target.wait(KILL_PATIENCE);
    }
    if ended {
        remove_stale(path, companions);
    }
    Ok(Stopped { pid, forced, ended })
}

/// Sends one signal to the owner. One that doesn't end a process waits until the daemon is ready: before it has its
/// handlers it would die of it. Blocks: for a thread of its own.
pub fn signal(path: &Path, signal: Signal) -> Result<()> {
    if !ENDING.contains(&signal) && patient_owner(path)?.state == State::Starting {
        wait_until_started(path)?;
    }
    Target::of(path)?.signal(signal)
}

/// What is sent to end a process, and is welcome at any time.
const ENDING: [Signal; 5] = [Signal::SIGTERM, Signal::SIGINT, Signal::SIGQUIT, Signal::SIGABRT, Signal::SIGKILL];

impl<'a> Target<'a> {
    fn of(path: &'a Path) -> Result<Self> {
        let Owner { pid, .. } = patient_owner(path)?;
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

    /// The kernel still names the same owner.
    fn verify(&self) -> Result<()> {
        match owner(self.path)? {
            Owner { pid, .. } if pid == self.pid => Ok(()),
            _ => Err(Error::NotRunning { path: self.path.to_owned() }),
        }
    }

    /// One signal. An owner that has ended by now needs none.
    fn signal(&self, signal: Signal) -> Result<()> {
        let sent = match &self.process {
            Some(process) => pidfd::send_signal(process, Some(signal)),
            // Without a pidfd the window is what lies between these two calls.
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

    /// True when it has ended, false if it still runs after `timeout`.
    fn wait(&self, timeout: Duration) -> bool {
        let deadline = Instant::now().checked_add(timeout);
        loop {
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            if let Some(process) = &self.process {
                let timeout = left.map_or(PollTimeout::NONE, |left| {
                    PollTimeout::try_from(left.as_millis() + 1).unwrap_or(PollTimeout::MAX)
                });
                let mut ended = [PollFd::new(process.as_fd(), PollFlags::POLLIN)];
                if poll(&mut ended, timeout).is_ok_and(|count| count > 0) {
                    return true;
                }
            } else {
                if matches!(self.verify(), Err(Error::NotRunning { .. })) {
                    return true;
                }
                std::thread::sleep(LOOK_EVERY);
            }
            if left == Some(Duration::ZERO) {
                return false;
            }
        }
    }
}

/// The owner, or the one that a start is about to have.
fn patient_owner(path: &Path) -> Result<Owner> {
    let deadline = Instant::now() + OWNER_PATIENCE;
    loop {
        match owner(path) {
            Err(Error::Unverified { .. }) if Instant::now() < deadline && inspect(path)?.state == State::Starting => {
                std::thread::sleep(LOOK_EVERY);
            }
            // Whoever it is that keeps it so.
            Err(Error::Unverified { path, pid: None, reason }) => {
                let pid = holder(&path);
                return Err(Error::Unverified { path, pid, reason });
            }
            other => return other,
        }
    }
}

fn remove_stale(path: &Path, companions: &[std::path::PathBuf]) {
    let Ok(name) = c_path(path) else { return };
    let companions = companions.iter().filter_map(|each| c_path(each).ok()).collect();
    remove_if_free(&Sweep { name, identity: None, companions });
}
