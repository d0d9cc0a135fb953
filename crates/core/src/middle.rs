//! The middle process: leads the new session, starts the daemon, stays until it is ready, never execs.
//!
//! SACRED: runs in the child of a multithreaded process. Async-signal-safe calls on prepared memory only, no
//! allocation, no lock, no panic; leave with `exit_now`.

use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::Pid;

use crate::channel::{ReadyScan, say_ended, say_failure, say_pid};
use crate::child::{self, Child};
use crate::error::Step;
use crate::pidfile::{Sweep, remove_if_free};
use crate::sockets::SocketFile;
use crate::stdio::STDERR_KEPT;
use crate::sys::{close, fd, memory_file, pidfd, process, signal};

/// How often memory that the daemon's stderr has outgrown is given back, in milliseconds.
const FORGET_EVERY: u16 = 1000;
/// How often the daemon is looked at where the kernel has no pidfd, in milliseconds.
const LOOK_EVERY: u16 = 20;

/// All that the middle and the daemon need, prepared by the launcher.
pub struct Middle {
    pub child: Child,
    pub child_stack: process::Stack,
    /// To the launcher: its end is ours too, unless the start is over.
    pub launcher: OwnedFd,
    /// From the daemon.
    pub daemon: OwnedFd,
    pub stderr_memory: Option<RawFd>,
    /// The descriptors above, sorted: all others are closed.
    pub kept: Vec<RawFd>,
    pub leftovers: Leftovers,
}

/// Files that a failed start removes.
#[derive(Debug, Clone, Default)]
pub struct Leftovers {
    pub pid_file: Option<Sweep>,
    pub sockets: Vec<SocketFile>,
}

impl Leftovers {
    /// Async-signal-safe.
    pub fn remove(&self) {
        if let Some(pid_file) = &self.pid_file {
            remove_if_free(pid_file);
        }
        self.sockets.iter().for_each(SocketFile::remove);
    }
}

/// The body of the first fork.
pub fn run(middle: &Middle) -> ! {
    let launcher = middle.launcher.as_raw_fd();
    match start_daemon(middle) {
        Ok(daemon) => {
            close::close_all_but(&middle.kept);
            say_pid(launcher, daemon.as_raw());
            watch(middle, daemon);
        }
        Err((step, errno)) => say_failure(launcher, step, errno),
    }
    process::exit_now(0)
}

fn start_daemon(middle: &Middle) -> Result<Pid, (Step, Errno)> {
    signal::restore_defaults().map_err(|errno| (Step::Sigprocmask, errno))?;
    nix::unistd::setsid().map_err(|errno| (Step::Setsid, errno))?;
    process::fork_to_execute(child::run, &middle.child, &middle.child_stack).map_err(|errno| (Step::SecondFork, errno))
}

/// Passes on what the daemon says until it is ready or has ended; ends it if the launcher goes.
fn watch(middle: &Middle, daemon: Pid) {
    let launcher = middle.launcher.as_raw_fd();
    let process = pidfd::open(daemon.as_raw()).ok();
    let mut scan = ReadyScan::default();
    let mut silent = false;
    loop {
        let mut seen = wait_for_event(middle, process.as_ref(), silent);
        if seen.daemon_speaks {
            match pass_on(middle, &mut scan) {
                Passed::Ready => return,
                Passed::Something => continue,
                Passed::End => silent = true,
                Passed::ToNobody => seen.launcher_gone = true,
            }
        }
        if process::has_ended(daemon) {
            // Its last words may be that it was ready: then what it started is none of our business.
            while !silent {
                match pass_on(middle, &mut scan) {
                    Passed::Ready => return,
                    Passed::Something => {}
                    Passed::End | Passed::ToNobody => silent = true,
                }
            }
            return say_ended(launcher, end(middle, daemon));
        }
        if seen.launcher_gone {
            end(middle, daemon);
            return;
        }
        if let Some(memory) = middle.stderr_memory {
            memory_file::forget_all_but(memory, i64::from(STDERR_KEPT));
        }
    }
}

/// Ends the daemon if it still lives, its children if they stayed in its process group, and removes what it left.
/// Returns its status: it is reaped after its group was signalled, so that the group's number is still its own.
fn end(middle: &Middle, daemon: Pid) -> i32 {
    process::kill_child_and_group(daemon);
    let status = process::wait(daemon).unwrap_or(0);
    middle.leftovers.remove();
    status
}

struct Seen {
    daemon_speaks: bool,
    launcher_gone: bool,
}

/// The launcher never writes: whatever comes from there is its end. `silent`: the daemon closed its side and lives.
fn wait_for_event(middle: &Middle, process: Option<&OwnedFd>, silent: bool) -> Seen {
    let nothing = PollFlags::empty();
    let heard = if silent { nothing } else { PollFlags::POLLIN };
    let launcher = PollFd::new(borrow(&middle.launcher), PollFlags::POLLIN);
    // Polled descriptors report POLLHUP unasked, so what is not to be heard is replaced by one that is.
    let daemon = PollFd::new(borrow(if silent { &middle.launcher } else { &middle.daemon }), heard);
    let ended = process.map_or_else(
        || PollFd::new(borrow(&middle.launcher), nothing),
        |process| PollFd::new(borrow(process), PollFlags::POLLIN),
    );
    let mut all = [launcher, daemon, ended];
    let timeout = if process.is_none() {
        PollTimeout::from(LOOK_EVERY)
    } else if middle.stderr_memory.is_some() {
        PollTimeout::from(FORGET_EVERY)
    } else {
        PollTimeout::NONE
    };
    let _ = poll(&mut all, timeout); // EINTR: nothing seen, and round again
    let happened = |polled: &PollFd<'_>| polled.revents().is_some_and(|events| !events.is_empty());
    Seen { daemon_speaks: !silent && happened(&all[1]), launcher_gone: happened(&all[0]) }
}

enum Passed {
    Ready,
    Something,
    End,
    /// The launcher is gone: a daemon that says it is ready now must not stay.
    ToNobody,
}

fn pass_on(middle: &Middle, scan: &mut ReadyScan) -> Passed {
    let mut buffer = [0; 512];
    match fd::read(middle.daemon.as_raw_fd(), &mut buffer) {
        Ok(0) | Err(_) => Passed::End,
        Ok(length) => {
            let said = &buffer[..length];
            if fd::send_all(middle.launcher.as_raw_fd(), said).is_err() {
                return Passed::ToNobody;
            }
            if scan.feed(said) { Passed::Ready } else { Passed::Something }
        }
    }
}

fn borrow(fd: &OwnedFd) -> BorrowedFd<'_> {
    std::os::fd::AsFd::as_fd(fd)
}
