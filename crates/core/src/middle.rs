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
use crate::state::StateFile;
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
    pub state: Option<StateFile>,
    /// The launcher's end is none of the daemon's business: only its word ends the start.
    pub outlives_launcher: bool,
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
            // Before anyone hears of the daemon: who waits for it reads this.
            if let Some(state) = &middle.state {
                state.write(daemon);
            }
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
    process::fork_to_execute(process::fork_tries(), child::run, &middle.child, &middle.child_stack)
        .map_err(|errno| (Step::SecondFork, errno))
}

/// Passes on what the daemon says until it is ready or has ended; ends it if the launcher goes.
fn watch(middle: &Middle, daemon: Pid) {
    let launcher = middle.launcher.as_raw_fd();
    let process = pidfd::open(daemon.as_raw()).ok();
    let mut scan = ReadyScan::default();
    let mut silent = false;
    let mut alone = false;
    loop {
        let heard = [(!alone).then_some(&middle.launcher), (!silent).then_some(&middle.daemon), process.as_ref()];
        let mut seen = wait_for_event(middle, heard);
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
        if seen.launcher_gone && middle.outlives_launcher && has_closed(&middle.launcher) {
            alone = true;
        } else if seen.launcher_gone {
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

/// What of launcher, daemon and the daemon's end is to be heard; a poll with none of them looks at the daemon again.
/// The launcher's only word is an order to end: whatever comes from there is its end.
fn wait_for_event(middle: &Middle, heard: [Option<&OwnedFd>; 3]) -> Seen {
    // What is not to be heard is left out: polled descriptors report POLLHUP unasked.
    let mut all = [&middle.launcher; 3].map(|unused| PollFd::new(borrow(unused), PollFlags::empty()));
    let mut count = 0;
    for (polled, source) in all.iter_mut().zip(heard.iter().flatten()) {
        *polled = PollFd::new(borrow(source), PollFlags::POLLIN);
        count += 1;
    }
    let timeout = if heard[2].is_none() {
        PollTimeout::from(LOOK_EVERY)
    } else if middle.stderr_memory.is_some() {
        PollTimeout::from(FORGET_EVERY)
    } else {
        PollTimeout::NONE
    };
    let _ = poll(&mut all[..count], timeout); // EINTR: nothing seen, and round again
    let mut results = all.iter().map(|polled| polled.revents().is_some_and(|events| !events.is_empty()));
    let [launcher, daemon, _] = heard.map(|source| source.is_some() && results.next() == Some(true));
    Seen { daemon_speaks: daemon, launcher_gone: launcher }
}

/// Whether it has ended without a word.
fn has_closed(launcher: &OwnedFd) -> bool {
    !matches!(fd::read(launcher.as_raw_fd(), &mut [0]), Ok(1..))
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
            if fd::send_all(middle.launcher.as_raw_fd(), said).is_err() && !middle.outlives_launcher {
                return Passed::ToNobody;
            }
            if scan.feed(said) { Passed::Ready } else { Passed::Something }
        }
    }
}

fn borrow(fd: &OwnedFd) -> BorrowedFd<'_> {
    std::os::fd::AsFd::as_fd(fd)
}
