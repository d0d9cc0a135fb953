//! The middle process, between launcher and daemon: leads the new session, starts the daemon, and exits when the daemon
//! is ready. It never execs.
//!
//! SACRED: runs in the child of a multithreaded process. Async-signal-safe calls on prepared memory only, no
//! allocation, no lock, no panic; leave with `exit_now`.

use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::Pid;

use crate::channel::{ReadyScan, send_ended, send_failure, send_pid};
use crate::child::{self, Child};
use crate::error::Step;
use crate::pidfile::{Sweep, remove_if_free};
use crate::sockets::SocketFile;
use crate::state_file::StateWriter;
use crate::stdio::STDERR_KEPT;
use crate::sys::{close, fd, fork, memory_file, pidfd, process, signal};

/// Time between two rounds of freeing the older part of a daemon's stderr that is a memory file, in milliseconds.
const STDERR_TRIM_INTERVAL: u16 = 1000;
/// Time between two looks at a daemon for which the kernel has no pidfd, in milliseconds.
const DAEMON_POLL_INTERVAL: u16 = 20;

/// Everything that the middle process and the daemon need, prepared by the launcher.
pub struct Middle {
    pub child: Child,
    pub child_stack: fork::Stack,
    /// Channel to the launcher. When the launcher closes it before the daemon is ready, the daemon is killed.
    pub launcher: OwnedFd,
    /// Channel from the daemon.
    pub daemon: OwnedFd,
    pub stderr_memory: Option<RawFd>,
    /// The numbers of the descriptors above, sorted: all others are closed.
    pub kept: Vec<RawFd>,
    pub leftovers: Leftovers,
    pub state: Option<StateWriter>,
    /// Whether the daemon outlives its launcher: then only the launcher's order kills it, not the closing of the
    /// channel.
    pub outlives_launcher: bool,
}

/// Files that are removed after a failed start.
#[derive(Debug, Clone, Default)]
pub struct Leftovers {
    pub pid_file: Option<Sweep>,
    pub sockets: Vec<SocketFile>,
}

impl Leftovers {
    /// Gives up the file that this start's pid file has replaced: the daemon is ready. Async-signal-safe.
    pub fn keep(&self) {
        if let Some(pid_file) = &self.pid_file {
            pid_file.forget_previous();
        }
    }

    /// Removes the files that are still those of this start. Async-signal-safe.
    pub fn remove(&self) {
        if let Some(pid_file) = &self.pid_file {
            remove_if_free(pid_file);
        }
        self.sockets.iter().for_each(SocketFile::remove);
    }
}

/// Runs the middle process: the body of the first fork.
pub fn run(middle: &Middle) -> ! {
    let launcher = middle.launcher.as_raw_fd();
    match start_daemon(middle) {
        Ok(daemon) => {
            close::close_all_but(&middle.kept);
            // Before the launcher learns the pid: whoever waits for the daemon reads this file then.
            if let Some(state) = &middle.state {
                state.write(daemon);
            }
            send_pid(launcher, daemon.as_raw());
            watch(middle, daemon);
        }
        Err((step, errno)) => send_failure(launcher, step, errno),
    }
    process::exit_now(0)
}

/// Leads a new session and starts the daemon in it.
fn start_daemon(middle: &Middle) -> Result<Pid, (Step, Errno)> {
    signal::restore_defaults().map_err(|errno| (Step::Sigprocmask, errno))?;
    nix::unistd::setsid().map_err(|errno| (Step::Setsid, errno))?;
    fork::fork_to_execute(fork::tries(), child::run, &middle.child, &middle.child_stack)
        .map_err(|errno| (Step::SecondFork, errno))
}

/// Forwards the daemon's lines to the launcher until the daemon is ready or has exited. Kills the daemon if the
/// launcher goes.
fn watch(middle: &Middle, daemon: Pid) {
    let launcher = middle.launcher.as_raw_fd();
    let process = pidfd::open(daemon.as_raw()).ok();
    let mut scan = ReadyScan::default();
    let mut daemon_closed = false;
    let mut launcher_closed = false;
    loop {
        let sources = [
            (!launcher_closed).then_some(&middle.launcher),
            (!daemon_closed).then_some(&middle.daemon),
            process.as_ref(),
        ];
        let mut seen = wait_for_event(middle, sources);
        if seen.daemon_wrote {
            match forward(middle, &mut scan) {
                Forwarded::Ready => return middle.leftovers.keep(),
                Forwarded::More => continue,
                Forwarded::Closed => daemon_closed = true,
                Forwarded::LauncherGone => seen.launcher_gone = true,
            }
        }
        if process::has_exited(daemon) {
            // The last line may say that the daemon was ready: then the processes that it started are left alone.
            while !daemon_closed {
                match forward(middle, &mut scan) {
                    Forwarded::Ready => return middle.leftovers.keep(),
                    Forwarded::More => {}
                    Forwarded::Closed | Forwarded::LauncherGone => daemon_closed = true,
                }
            }
            return send_ended(launcher, kill_and_reap(middle, daemon));
        }
        if seen.launcher_gone && middle.outlives_launcher && has_closed(&middle.launcher) {
            launcher_closed = true;
        } else if seen.launcher_gone {
            kill_and_reap(middle, daemon);
            return;
        }
        if let Some(memory) = middle.stderr_memory {
            memory_file::keep_last(memory, i64::from(STDERR_KEPT));
        }
    }
}

/// Kills the daemon if it still runs, and its children if they stayed in its process group; then removes its files.
/// Returns the status. The daemon is reaped only after its group was signalled: until then no other group gets its
/// number.
fn kill_and_reap(middle: &Middle, daemon: Pid) -> i32 {
    process::kill_child_and_group(daemon);
    let status = process::wait(daemon).unwrap_or(0);
    middle.leftovers.remove();
    status
}

/// Result of the poll.
struct Seen {
    daemon_wrote: bool,
    launcher_gone: bool,
}

/// Polls the sources that are given, out of the launcher's channel, the daemon's channel, the daemon's pidfd. Without a
/// pidfd it returns after a short while, so that the caller looks at the daemon. The launcher writes nothing but the
/// order to kill the daemon, so whatever comes from it means that it is gone.
fn wait_for_event(middle: &Middle, sources: [Option<&OwnedFd>; 3]) -> Seen {
    // Sources that are not given are left out of the poll: with no events asked for, they would still report POLLHUP.
    let mut all = [&middle.launcher; 3].map(|unused| PollFd::new(borrow(unused), PollFlags::empty()));
    let mut count = 0;
    for (polled, source) in all.iter_mut().zip(sources.iter().flatten()) {
        *polled = PollFd::new(borrow(source), PollFlags::POLLIN);
        count += 1;
    }
    let timeout = if sources[2].is_none() {
        PollTimeout::from(DAEMON_POLL_INTERVAL)
    } else if middle.stderr_memory.is_some() {
        PollTimeout::from(STDERR_TRIM_INTERVAL)
    } else {
        PollTimeout::NONE
    };
    let _ = poll(&mut all[..count], timeout); // EINTR: nothing is seen, and the caller polls again
    let mut results = all.iter().map(|polled| polled.revents().is_some_and(|events| !events.is_empty()));
    let [launcher, daemon, _] = sources.map(|source| source.is_some() && results.next() == Some(true));
    Seen { daemon_wrote: daemon, launcher_gone: launcher }
}

/// Whether the launcher has closed its end, rather than written the order.
fn has_closed(launcher: &OwnedFd) -> bool {
    !matches!(fd::read(launcher.as_raw_fd(), &mut [0]), Ok(1..))
}

enum Forwarded {
    Ready,
    More,
    /// The daemon has closed its end.
    Closed,
    /// The launcher has died: a daemon that becomes ready now must not go on running.
    LauncherGone,
}

/// Forwards what the daemon wrote to the launcher.
fn forward(middle: &Middle, scan: &mut ReadyScan) -> Forwarded {
    let mut buffer = [0; 512];
    match fd::read(middle.daemon.as_raw_fd(), &mut buffer) {
        Ok(0) | Err(_) => Forwarded::Closed,
        Ok(length) => {
            let bytes = &buffer[..length];
            if fd::send_all(middle.launcher.as_raw_fd(), bytes).is_err() && !middle.outlives_launcher {
                return Forwarded::LauncherGone;
            }
            if scan.feed(bytes) { Forwarded::Ready } else { Forwarded::More }
        }
    }
}

fn borrow(fd: &OwnedFd) -> BorrowedFd<'_> {
    std::os::fd::AsFd::as_fd(fd)
}
