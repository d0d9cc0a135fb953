//! Signals to the process that owns a pid file, and to no other.
//!
//! SACRED: signals only the owner that the kernel names. The owner is read again after its handle was opened: if the
//! process has exited in between and its pid was given to another, that other is not signalled.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::signal::Signal;

use crate::error::{Error, Failure, Result, Step};
use crate::pidfile::{
    Owner, PidFileState, Sweep, holder, inspect, named_process, owner, remove_if_free, replace_alone,
    wait_until_started,
};
use crate::sys::process_handle::ProcessHandle;

/// Time for which a pid file may be locked without an owner. A start has none from the lock to just before its exec: a
/// few milliseconds, unless the machine is loaded.
const OWNERLESS_TIMEOUT: Duration = Duration::from_secs(2);
/// Time that a process may take to die of SIGKILL: one that waits for a disk dies only when the disk answers.
const KILL_TIMEOUT: Duration = Duration::from_secs(30);
/// Time between two reads of the pid file while it has no owner.
const POLL_INTERVAL: Duration = Duration::from_millis(5);

/// Terms of a stop.
#[derive(Debug, Clone, Copy)]
pub struct StopRequest {
    /// Signal that asks the process to end.
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

/// Owner of a pid file, by a handle: its pid may be given to another process.
struct Target<'a> {
    path: &'a Path,
    process: ProcessHandle,
}

/// Signals the owner, waits until it has exited, and removes stale files. Blocks, so it runs in a thread of its own.
pub fn stop(path: &Path, companions: &[PathBuf], how: StopRequest) -> Result<Stopped> {
    match how.only {
        Some(_) => {
            let patience = how.timeout.saturating_add(KILL_TIMEOUT);
            replace_alone(path, patience, || stop_owner(path, companions, how))
        }
        None => stop_owner(path, companions, how),
    }
}

fn stop_owner(path: &Path, companions: &[PathBuf], how: StopRequest) -> Result<Stopped> {
    let target = match Target::of(path) {
        Ok(target) if how.only.is_some_and(|only| only != target.process.pid()) => {
            return Ok(Stopped { pid: None, forced: false, exited: true });
        }
        Ok(target) => target,
        Err(Error::NotRunning { .. }) => {
            if let Some(pid) = named_process(path) {
                let reason = "a live process is named in it and doesn't lock it, perhaps another system's daemon: \
                              stop it with its own command";
                return Err(Error::Unverified { path: path.to_owned(), pid: Some(pid), reason });
            }
            remove_stale(path, companions);
            return Ok(Stopped { pid: None, forced: false, exited: true });
        }
        Err(error) => return Err(error),
    };
    let pid = Some(target.process.pid());
    target.signal(how.signal)?;
    let mut exited = target.process.wait(Some(how.timeout));
    let forced = !exited && how.force;
    if forced {
        target.signal(Signal::SIGKILL)?;
        exited = target.process.wait(Some(KILL_TIMEOUT));
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
        let process = match ProcessHandle::open(pid) {
            Ok(process) => process,
            Err(Errno::ESRCH) => return Err(Error::NotRunning { path: path.to_owned() }),
            Err(errno) => return Err(Failure::new(Step::Signal, "pidfd_open", errno).at(path).into()),
        };
        let target = Self { path, process };
        target.verify()?;
        Ok(target)
    }

    /// Fails unless the kernel still names the same owner.
    fn verify(&self) -> Result<()> {
        match owner(self.path)? {
            Owner { pid, .. } if pid == self.process.pid() => Ok(()),
            _ => Err(Error::NotRunning { path: self.path.to_owned() }),
        }
    }

    /// Sends one signal. An owner that has exited by now needs none.
    fn signal(&self, signal: Signal) -> Result<()> {
        match self.process.signal(signal) {
            Ok(()) | Err(Errno::ESRCH) => Ok(()),
            Err(errno) => Err(Failure::new(Step::Signal, "kill", errno).at(self.path).into()),
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
