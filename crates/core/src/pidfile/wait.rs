//! Waiting for a pid file without polling: a thread blocks in fcntl(F_OFD_SETLKW) until the owner unlocks, exits or is
//! killed.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::claim::{Claim, attempt};
use super::held::{Held, own_awaited};
use super::kernel::{Kernel, RealKernel};
use super::layout::{REPLACING, RUNNING_AND_STARTING, STARTING, STARTING_AND_ENDING};
use super::look::pid_in_text;
use super::table;
use crate::error::{Error, Failure, Result, Step};
use crate::sys::interrupt::{self, Interruption};
use crate::sys::lock::Span;
use crate::sys::path::c_path;
use crate::sys::{lock, pidfd};

/// Time that an exiting owner may take to close its sockets after its lock is gone.
const OWNER_EXIT_TIMEOUT: Duration = Duration::from_secs(5);

/// Wait under way in a thread of its own; cancelled when dropped.
#[derive(Debug)]
pub struct Waiting {
    interruption: Arc<Interruption>,
    thread: Option<JoinHandle<()>>,
}

impl Waiting {
    /// Waits for the file at `path`. `then` is called in the waiting thread with the file, or None after a
    /// cancellation.
    pub fn start(path: PathBuf, mode: u32, then: impl FnOnce(Result<Option<Held>>) + Send + 'static) -> Self {
        Self::spawn(move |interruption| wait(&path, mode, interruption), then)
    }

    /// Waits while the owner of the file at `path` is starting or stopping. `then` is called in the waiting thread with
    /// true, or false after a cancellation.
    pub fn until_settled(path: PathBuf, then: impl FnOnce(Result<bool>) + Send + 'static) -> Self {
        Self::spawn(move |interruption| wait_until_unlocked(&path, STARTING_AND_ENDING, interruption), then)
    }

    fn spawn<T>(
        work: impl FnOnce(&Interruption) -> Result<T> + Send + 'static,
        then: impl FnOnce(Result<T>) + Send + 'static,
    ) -> Self {
        let interruption = Arc::new(Interruption::default());
        let shared = Arc::clone(&interruption);
        let thread = std::thread::spawn(move || {
            let allowed = interrupt::allow().map_err(|errno| Failure::new(Step::Signal, "sigaction", errno).into());
            let result = allowed.and_then(|()| work(&shared));
            shared.acknowledge();
            then(result);
        });
        Self { interruption, thread: Some(thread) }
    }

    /// Cancels the wait. When this returns, the wait has either succeeded or never will.
    pub fn cancel(&mut self) {
        if let Some(thread) = &self.thread {
            self.interruption.request();
            table::wake();
            self.interruption.interrupt(thread);
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.cancel();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn wait(path: &Path, mode: u32, interruption: &Interruption) -> Result<Option<Held>> {
    let name = c_path(path, Step::PidFileLock)?;
    // The last owner before this process: the pid in the file's text at the moment when the lock is granted. It may
    // have become the owner after this wait began, and may have unlinked the file by now.
    let mut last_owner = None;
    loop {
        table::wait_for_release(path, interruption);
        if interruption.is_wanted() {
            break;
        }
        let taken = attempt(&RealKernel, path, &name, mode, |file| {
            lock_when_free(file, interruption)?;
            last_owner = pid_in_text(&RealKernel, file).and_then(PreviousOwner::open).or(last_owner.take());
            Ok(())
        });
        let claim = match taken {
            Ok(Some((file, identity))) => Claim { file, path: path.to_owned(), identity },
            Ok(None) => {
                // The descriptor just closed may have been of a file that this process holds.
                table::reassert_ownership();
                continue;
            }
            Err(Error::System(Failure { errno: Errno::EINTR, .. })) => break,
            Err(error) => return Err(error),
        };
        if let Some(owner) = last_owner {
            owner.wait_for_exit(interruption);
        }
        // The wait was cancelled just when the lock was granted: give the file up, so that no cancelled wait succeeds.
        if interruption.is_wanted() {
            claim.abandon();
            break;
        }
        return own_awaited(claim).map(Some);
    }
    table::reassert_ownership();
    Ok(None)
}

/// Blocks until bytes 1 and 2 are locked for this process. EINTR: the wait was interrupted.
fn lock_when_free(file: &OwnedFd, interruption: &Interruption) -> nix::Result<()> {
    loop {
        if interruption.is_wanted() {
            return Err(Errno::EINTR);
        }
        match lock::wait_to_write(file.as_raw_fd(), RUNNING_AND_STARTING) {
            Err(Errno::EINTR) => {}
            other => return other,
        }
    }
}

/// Blocks while the file's owner is starting. It can't be interrupted: a start has its own timeout.
pub fn wait_until_started(path: &Path) -> Result<()> {
    wait_until_unlocked(path, STARTING, &Interruption::default()).map(drop)
}

/// Blocks until no process has a write lock on the span of the file at `path`. False: the wait was interrupted.
fn wait_until_unlocked(path: &Path, span: Span, interruption: &Interruption) -> Result<bool> {
    let flags = libc::O_RDONLY | libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY;
    let waited = match RealKernel.open(&c_path(path, Step::PidFileLock)?, flags) {
        // Without the file, no daemon is starting.
        Err(Errno::ENOENT) => return Ok(true),
        Ok(file) => loop {
            match lock::wait_to_read(file.as_raw_fd(), span) {
                Err(Errno::EINTR) if interruption.is_wanted() => break Ok(false),
                Err(Errno::EINTR) => {}
                other => break other.map(|()| true).map_err(|errno| ("fcntl", errno)),
            }
        },
        Err(errno) => Err(("open", errno)),
    };
    table::reassert_ownership();
    Ok(waited.map_err(|(syscall, errno)| Failure::new(Step::PidFileLock, syscall, errno).at(path))?)
}

/// Runs `action` under the lock on byte 4, so that of several processes that want to replace the owner of the file at
/// `path`, one does it and the others block meanwhile.
pub fn replace_alone<T>(path: &Path, action: impl FnOnce() -> Result<T>) -> Result<T> {
    let failed = |syscall, errno| Failure::new(Step::PidFileLock, syscall, errno).at(path);
    let flags = libc::O_RDWR | libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY;
    let _file = match RealKernel.open(&c_path(path, Step::PidFileLock)?, flags) {
        Ok(file) => {
            while let Err(errno) = lock::wait_to_write(file.as_raw_fd(), REPLACING) {
                if errno != Errno::EINTR {
                    return Err(failed("fcntl", errno).into());
                }
            }
            Some(file)
        }
        Err(Errno::ENOENT) => None,
        Err(errno) => return Err(failed("open", errno).into()),
    };
    action()
}

/// Process that owned the file before this one.
struct PreviousOwner {
    pid: i32,
    process: OwnedFd,
}

impl PreviousOwner {
    fn open(pid: i32) -> Option<Self> {
        Some(Self { pid, process: pidfd::open(pid).ok()? })
    }

    /// If the process is exiting, waits until it has exited: the kernel closes its sockets after its lock, and only
    /// then is their address free. A process that released the file and goes on running is not waited for.
    fn wait_for_exit(&self, interruption: &Interruption) {
        if !is_exiting(self.pid) {
            return;
        }
        let timeout = PollTimeout::try_from(OWNER_EXIT_TIMEOUT).unwrap_or(PollTimeout::MAX);
        let mut exited = [PollFd::new(self.process.as_fd(), PollFlags::POLLIN)];
        while poll(&mut exited, timeout) == Err(Errno::EINTR) && !interruption.is_wanted() {}
    }
}

/// Whether the process has PF_EXITING among the flags in /proc/PID/stat (proc_pid_stat(5)), which the kernel sets
/// before it closes the descriptors.
fn is_exiting(pid: i32) -> bool {
    const PF_EXITING: u32 = 4;
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let flags = stat.rsplit(')').next().and_then(|fields| fields.split_whitespace().nth(6)?.parse::<u32>().ok());
    flags.is_some_and(|flags| flags & PF_EXITING != 0)
}
