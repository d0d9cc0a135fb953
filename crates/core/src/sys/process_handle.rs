//! A process that can't be mistaken for a later one with the same pid: by its pidfd or, where the kernel or a sandbox has
//! none, looked at from time to time, by its pid and the moment of its start, or as a child that is not reaped yet.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::proc_stat::ProcStat;
use super::{pidfd, process};

/// Time between two looks at a process that has no pidfd.
const LOOK_INTERVAL: Duration = Duration::from_millis(5);

/// Process that was alive, or an unreaped child, when this was opened.
#[derive(Debug)]
pub struct ProcessHandle {
    pid: i32,
    known_by: KnownBy,
}

/// What tells the process from a later one with its pid.
#[derive(Debug)]
enum KnownBy {
    Descriptor(OwnedFd),
    /// The moment of its start in clock ticks since boot; None where /proc doesn't show it.
    Start(Option<u64>),
    /// It is a child of this process, which reaps it only after it has dropped this handle.
    Parentage,
}

impl ProcessHandle {
    /// Opens the process that has this pid now. ESRCH: there is none, or it has exited and waits to be reaped.
    pub fn open(pid: i32) -> nix::Result<Self> {
        let known_by = match pidfd::open(pid) {
            Ok(descriptor) => KnownBy::Descriptor(descriptor),
            // Not known before Linux 5.3 and on other systems, or forbidden by a sandbox.
            Err(Errno::ENOSYS | Errno::EPERM | Errno::EACCES | Errno::EINVAL) => {
                KnownBy::Start(ProcStat::read(pid).map(|stat| stat.start))
            }
            Err(errno) => return Err(errno),
        };
        let handle = Self { pid, known_by };
        if handle.has_exited() { Err(Errno::ESRCH) } else { Ok(handle) }
    }

    /// Gives a handle on a child of this process that is not reaped yet, whether it runs or has exited.
    #[must_use]
    pub fn of_child(child: Pid) -> Self {
        let pid = child.as_raw();
        Self { pid, known_by: pidfd::open(pid).map_or(KnownBy::Parentage, KnownBy::Descriptor) }
    }

    /// Pid that it was opened by.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// Descriptor that polls as readable once the process has exited; None where it must be looked at by
    /// [`ProcessHandle::has_exited`].
    #[must_use]
    pub fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        match &self.known_by {
            KnownBy::Descriptor(descriptor) => Some(descriptor.as_fd()),
            KnownBy::Start(_) | KnownBy::Parentage => None,
        }
    }

    /// Signals the process. ESRCH: it has exited. Without a pidfd the pid could be given to another process only between
    /// the look at its start and kill(2), which follows at once.
    pub fn signal(&self, signal: Signal) -> nix::Result<()> {
        match &self.known_by {
            KnownBy::Descriptor(descriptor) => match pidfd::send_signal(descriptor, Some(signal)) {
                Err(Errno::ENOSYS) => self.signal_by_pid(signal),
                other => other,
            },
            KnownBy::Start(_) | KnownBy::Parentage => self.signal_by_pid(signal),
        }
    }

    fn signal_by_pid(&self, signal: Signal) -> nix::Result<()> {
        if self.has_exited() {
            return Err(Errno::ESRCH);
        }
        kill(Pid::from_raw(self.pid), signal)
    }

    /// Whether the process has exited: its descriptors are closed and its locks gone. A zombie has exited.
    #[must_use]
    pub fn has_exited(&self) -> bool {
        match &self.known_by {
            KnownBy::Descriptor(descriptor) => poll_until(descriptor.as_fd(), PollTimeout::ZERO),
            KnownBy::Start(start) => match ProcStat::read(self.pid) {
                Some(stat) => stat.has_exited() || start.is_some_and(|start| start != stat.start),
                // No /proc, or none that shows this process: EPERM means that it is there.
                None => kill(Pid::from_raw(self.pid), None) == Err(Errno::ESRCH),
            },
            KnownBy::Parentage => process::has_exited(Pid::from_raw(self.pid)),
        }
    }

    /// Whether the process is exiting, and may still have files and sockets open.
    #[must_use]
    pub fn is_exiting(&self) -> bool {
        !self.has_exited() && ProcStat::read(self.pid).is_some_and(|stat| stat.is_exiting())
    }

    /// Blocks until the process has exited; false if it still runs after `timeout`. None waits for ever.
    #[must_use]
    pub fn wait(&self, timeout: Option<Duration>) -> bool {
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        loop {
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            let descriptor = self.descriptor();
            let has_exited = match descriptor {
                Some(descriptor) => poll_until(descriptor, milliseconds(left)),
                None => self.has_exited(),
            };
            if has_exited || left == Some(Duration::ZERO) {
                return has_exited;
            }
            if descriptor.is_none() {
                std::thread::sleep(left.map_or(LOOK_INTERVAL, |left| left.min(LOOK_INTERVAL)));
            }
        }
    }
}

/// Whether the descriptor is readable within the timeout. EINTR: not yet.
fn poll_until(descriptor: BorrowedFd<'_>, timeout: PollTimeout) -> bool {
    poll(&mut [PollFd::new(descriptor, PollFlags::POLLIN)], timeout).is_ok_and(|count| count > 0)
}

/// Rounds up, so that a poll doesn't return before the deadline.
fn milliseconds(left: Option<Duration>) -> PollTimeout {
    left.map_or(PollTimeout::NONE, |left| match left {
        Duration::ZERO => PollTimeout::ZERO,
        left => PollTimeout::try_from(left.as_millis() + 1).unwrap_or(PollTimeout::MAX),
    })
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// Gives a handle by pid and start time, as on a kernel without pidfds.
    fn by_start(pid: i32) -> ProcessHandle {
        ProcessHandle { pid, known_by: KnownBy::Start(ProcStat::read(pid).map(|stat| stat.start)) }
    }

    /// Gives a handle on a child, as on a kernel without pidfds.
    fn by_parentage(pid: i32) -> ProcessHandle {
        ProcessHandle { pid, known_by: KnownBy::Parentage }
    }

    #[test]
    fn a_process_has_exited_before_it_is_reaped_with_or_without_a_descriptor() {
        let mut child = Command::new("sleep").arg("1000").spawn().unwrap();
        let pid = child.id().cast_signed();
        let of_child = ProcessHandle::of_child(Pid::from_raw(pid));
        let handles = [ProcessHandle::open(pid).unwrap(), by_start(pid), of_child, by_parentage(pid)];
        for handle in &handles {
            assert!(!handle.has_exited());
            assert!(!handle.wait(Some(Duration::from_millis(20))));
        }
        handles[1].signal(Signal::SIGKILL).unwrap();
        for handle in &handles {
            assert!(handle.wait(None));
            assert!(!handle.is_exiting());
        }
        assert_eq!(by_start(pid).signal(Signal::SIGTERM), Err(Errno::ESRCH));
        assert_eq!(ProcessHandle::open(pid).err(), Some(Errno::ESRCH));
        let of_zombie = ProcessHandle::of_child(Pid::from_raw(pid));
        assert!(of_zombie.has_exited());
        child.wait().unwrap();
        assert!(handles[..2].iter().all(ProcessHandle::has_exited));
    }

    #[test]
    fn a_later_process_with_the_same_pid_is_another_one() {
        let own = std::process::id().cast_signed();
        let earlier = ProcessHandle { pid: own, known_by: KnownBy::Start(Some(1)) };
        assert!(earlier.has_exited());
        assert_eq!(earlier.signal(Signal::SIGKILL), Err(Errno::ESRCH));
    }
}
