//! Waiting for a pid file without polling: a thread blocks in fcntl(F_OFD_SETLKW) until the owner unlocks, exits or is
//! killed.

use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::errno::Errno;

use super::claim::{Attempt, Claim, attempt};
use super::held::{Held, own_awaited};
use super::kernel::{Kernel, RealKernel};
use super::layout::{RUNNING_AND_STARTING, STARTING, STARTING_AND_ENDING};
use super::look::pid_in_text;
use super::{orphan, replace, table};
use crate::error::{Error, Failure, Result, Step};
use crate::place::require_no_strange_link;
use crate::sys::interrupt::{self, Interruption};
use crate::sys::lock::{self, Span};
use crate::sys::path::c_path;
use crate::sys::process_handle::ProcessHandle;

/// Time that an exiting owner may take to close its sockets after its lock is gone.
const OWNER_EXIT_TIMEOUT: Duration = Duration::from_secs(5);
/// Time between two looks at the path while the lock is waited for: the file may have been removed or replaced, or only
/// a reader may be in the way.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

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
    require_no_strange_link(path, Step::PidFileCreate)?;
    let name = c_path(path, Step::PidFileLock)?;
    // The last owner before this process: the pid in the file's text when the lock was granted or last waited for. It may
    // have become the owner after this wait began, and may have unlinked the file by now.
    let mut last_owner = None;
    let _ticker = interrupt::every(LOOK_INTERVAL);
    loop {
        table::wait_for_release(path, interruption);
        if interruption.is_wanted() {
            break;
        }
        let taken = attempt(&RealKernel, path, &name, |file| {
            let locked = lock_when_free(file);
            let text = pid_in_text(&RealKernel, file);
            last_owner = text.and_then(|pid| ProcessHandle::open(pid).ok()).or(last_owner.take());
            locked
        });
        let taken = match taken {
            Ok(Attempt::Taken(file, identity)) => Some((file, identity)),
            Ok(Attempt::Lost) | Err(Error::Running { .. }) => None,
            Ok(Attempt::OnlyReaders(file, identity)) => {
                match replace::replace_unowned(&RealKernel, path, &name, &file, identity) {
                    Err(Error::Blocked { .. }) => None, // the reader may go
                    other => other?,
                }
            }
            Err(error) => return Err(error),
        };
        let Some((file, identity)) = taken else {
            // The descriptor just closed may have been of a file that this process holds.
            table::reassert_ownership();
            orphan::reassert(path);
            continue;
        };
        let claim = Claim { file, path: path.to_owned(), identity, mode, previous: None };
        if let Some(owner) = &last_owner {
            wait_for_exit(owner, interruption);
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

/// Blocks until bytes 1 and 2 are locked for this process. EAGAIN: it was interrupted, so that the caller looks again.
fn lock_when_free(file: &OwnedFd) -> nix::Result<()> {
    match lock::wait_to_write(file.as_raw_fd(), RUNNING_AND_STARTING) {
        Err(Errno::EINTR) => Err(Errno::EAGAIN),
        other => other,
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

/// If the process that owned the file before this one is exiting, waits until it has exited: the kernel closes its sockets
/// after its lock, and only then is their address free. A process that released the file and goes on running is not
/// waited for.
fn wait_for_exit(owner: &ProcessHandle, interruption: &Interruption) {
    let deadline = Instant::now() + OWNER_EXIT_TIMEOUT;
    while owner.is_exiting() && !interruption.is_wanted() && Instant::now() < deadline {
        let _ = owner.wait(Some(LOOK_INTERVAL));
    }
}
