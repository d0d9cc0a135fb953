//! Waiting for a pid file without polling: a thread blocks in fcntl(F_OFD_SETLKW) until its owner lets go, however.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::claim::{Claim, attempt, c_path};
use super::held::{self, Held, hold_awaited};
use super::inspect::text_of;
use super::kernel::{Host, Kernel};
use super::{REPLACING, RUNNING_AND_STARTING, STARTING, STARTING_AND_ENDING};
use crate::error::{Error, Failure, Result, Step};
use crate::sys::interrupt::{self, Interruption};
use crate::sys::lock::Span;
use crate::sys::{lock, pidfd};

/// How long a dying owner's sockets may take to follow its lock.
const LAST_BREATH: Duration = Duration::from_secs(5);

/// A wait under way in a thread of its own.
#[derive(Debug)]
pub struct Waiting {
    interruption: Arc<Interruption>,
    thread: Option<JoinHandle<()>>,
}

impl Waiting {
    /// Waits for the file at `path`; `then` gets it in the waiting thread, or None if the wait was cancelled.
    pub fn start(path: PathBuf, mode: u32, then: impl FnOnce(Result<Option<Held>>) + Send + 'static) -> Self {
        Self::spawn(move |interruption| wait(&path, mode, interruption), then)
    }

    /// Waits while the owner of the file at `path` is starting or ending; `then` gets false if that was cancelled.
    pub fn until_settled(path: PathBuf, then: impl FnOnce(Result<bool>) + Send + 'static) -> Self {
        Self::spawn(move |interruption| wait_until(&path, STARTING_AND_ENDING, interruption), then)
    }

    fn spawn<T>(
        work: impl FnOnce(&Interruption) -> Result<T> + Send + 'static,
        then: impl FnOnce(Result<T>) + Send + 'static,
    ) -> Self {
        let interruption = Arc::new(Interruption::default());
        let theirs = Arc::clone(&interruption);
        let thread = std::thread::spawn(move || {
            let allowed = interrupt::allow().map_err(|errno| Failure::new(Step::Signal, "sigaction", errno).into());
            let result = allowed.and_then(|()| work(&theirs));
            theirs.notice();
            then(result);
        });
        Self { interruption, thread: Some(thread) }
    }

    /// Ends the wait: when this returns it has been won, or never will be.
    pub fn cancel(&mut self) {
        if let Some(thread) = &self.thread {
            self.interruption.request();
            held::wake();
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
    let name = c_path(path)?;
    // Whoever had the file last, of all that we waited for. What its text says when it is free is who had it, also
    // where that one came after we began to wait, and where it has unlinked the file by now.
    let mut last_owner = None;
    loop {
        held::wait_for_release(path, interruption);
        if interruption.is_wanted() {
            break;
        }
        let taken = attempt(&Host, path, &name, mode, |file| {
            block(file, interruption)?;
            last_owner = text_of(&Host, file).and_then(Owner::of).or(last_owner.take());
            Ok(())
        });
        let claim = match taken {
            Ok(Some((file, identity))) => Claim { file, path: path.to_owned(), identity },
            Ok(None) => {
                held::assert_all(); // a descriptor of a file that is ours may just have been closed
                continue;
            }
            Err(Error::System(Failure { errno: Errno::EINTR, .. })) => break,
            Err(error) => return Err(error),
        };
        if let Some(owner) = last_owner {
            owner.outlive(interruption);
        }
        // Granted and cancelled at once: given up, so that a cancelled wait never wins.
        if interruption.is_wanted() {
            claim.abandon();
            break;
        }
        return hold_awaited(claim).map(Some);
    }
    held::assert_all();
    Ok(None)
}

/// Bytes 1 and 2, when their owner lets go; EINTR for an interruption.
fn block(file: &OwnedFd, interruption: &Interruption) -> nix::Result<()> {
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

/// Waits while the file's owner is starting; at once if it is not. Blocks, uninterruptibly: a start has its own timeout.
pub fn wait_until_started(path: &Path) -> Result<()> {
    wait_until(path, STARTING, &Interruption::default()).map(drop)
}

/// Waits until nobody writes to the span of the file at `path`, if it is there; false: interrupted.
fn wait_until(path: &Path, span: Span, interruption: &Interruption) -> Result<bool> {
    let flags = libc::O_RDONLY | libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY;
    let waited = match Host.open(&c_path(path)?, flags) {
        // Nobody is starting, or we are ourselves.
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
    held::assert_all();
    Ok(waited.map_err(|(syscall, errno)| Failure::new(Step::PidFileLock, syscall, errno).at(path))?)
}

/// Runs `action` while none of the others who replace the owner of the file at `path` does. Blocks meanwhile.
pub fn replace_alone<T>(path: &Path, action: impl FnOnce() -> Result<T>) -> Result<T> {
    let failed = |syscall, errno| Failure::new(Step::PidFileLock, syscall, errno).at(path);
    let flags = libc::O_RDWR | libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY;
    let _file = match Host.open(&c_path(path)?, flags) {
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

/// Whoever had the file before us.
struct Owner {
    pid: i32,
    process: OwnedFd,
}

impl Owner {
    fn of(pid: i32) -> Option<Self> {
        Some(Self { pid, process: pidfd::open(pid).ok()? })
    }

    /// If it is ending, waits until it has: a process's sockets close after its lock, and what they listened on is
    /// free only then. An owner that released the file and lives on is none of our business.
    fn outlive(&self, interruption: &Interruption) {
        if !is_exiting(self.pid) {
            return;
        }
        let timeout = PollTimeout::try_from(LAST_BREATH).unwrap_or(PollTimeout::MAX);
        let mut ended = [PollFd::new(self.process.as_fd(), PollFlags::POLLIN)];
        while poll(&mut ended, timeout) == Err(Errno::EINTR) && !interruption.is_wanted() {}
    }
}

/// PF_EXITING among the flags in /proc/PID/stat (proc_pid_stat(5)): set before the kernel closes its descriptors.
fn is_exiting(pid: i32) -> bool {
    const PF_EXITING: u32 = 4;
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let flags = stat.rsplit(')').next().and_then(|fields| fields.split_whitespace().nth(6)?.parse::<u32>().ok());
    flags.is_some_and(|flags| flags & PF_EXITING != 0)
}
