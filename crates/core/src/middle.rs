//! The middle process, between launcher and daemon: daemonic's own executable, in a role of its own. It leads the new
//! session, starts the daemon, and exits when the daemon is ready.

use std::collections::BTreeSet;
use std::ffi::CString;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::Pid;

use crate::channel::send_failure;
use crate::child::{self, Child, Parent};
use crate::error::Step;
use crate::middle_order::MiddleOrder;
use crate::packing::{BUILD, pack_fields};
use crate::pidfile::{Sweep, remove_if_free};
use crate::sockets::SocketFile;
use crate::start_channel::{StartLine, StartLines, say};
use crate::stdio::STDERR_KEPT;
use crate::sys::exec::Image;
use crate::sys::process_handle::ProcessHandle;
use crate::sys::{close, descendants, fd, fork, memory_file, process, signal};

/// First argument of the executable in this role. The numbers of the order and of the channel to the launcher follow.
const MIDDLE: &str = "--middle";

/// Time between two rounds of freeing the older part of a daemon's stderr that is a memory file, in milliseconds.
const STDERR_TRIM_INTERVAL: u16 = 1000;
/// Time between two looks at a daemon for which the kernel has no pidfd, in milliseconds.
const DAEMON_POLL_INTERVAL: u16 = 20;
/// Bytes that are read from the daemon at once.
const READ_SIZE: usize = 4096;

/// Files that are removed after a failed start.
#[derive(Debug, Clone, Default)]
pub struct Leftovers {
    /// Pid file, with the files beside it.
    pub pid_file: Option<Sweep>,
    /// Sockets in the file system.
    pub sockets: Vec<SocketFile>,
}

pack_fields!(Leftovers { pid_file, sockets });

impl Leftovers {
    /// Gives up the file that this start's pid file has replaced: the daemon is ready.
    fn keep(&self) {
        if let Some(pid_file) = &self.pid_file {
            pid_file.forget_previous();
        }
    }

    /// Removes the files that are still those of this start.
    pub fn remove(&self) {
        if let Some(pid_file) = &self.pid_file {
            remove_if_free(pid_file);
        }
        self.sockets.iter().for_each(SocketFile::remove);
    }
}

/// Arguments of the executable in this role.
pub fn arguments(executable: CString, order: RawFd, launcher: RawFd) -> Vec<CString> {
    let texts = [MIDDLE.to_owned(), order.to_string(), launcher.to_string()];
    [executable].into_iter().chain(texts.into_iter().filter_map(|text| CString::new(text).ok())).collect()
}

/// Runs the middle process if this very process was started as that; returns its exit code. `arguments` are those of the
/// process, without `argv[0]`. To be called before anything else: nothing of the program may run in this role.
pub fn run_if_asked(arguments: &[String]) -> Option<i32> {
    let [role, order, launcher] = arguments else { return None };
    if role != MIDDLE {
        return None;
    }
    Some(match (order.parse(), launcher.parse()) {
        (Ok(order), Ok(launcher)) => run(order, launcher),
        _ => 2,
    })
}

/// Runs the middle process; returns the exit code. The launcher blocked all signals.
fn run(order: RawFd, launcher: RawFd) -> i32 {
    process::set_name(c"daemonic-middle");
    // An order of another build can't be read, and its launcher doesn't go on when it reads this line.
    if !say(launcher, &format!("BUILD={BUILD}")) {
        return 1;
    }
    let Some(order) = MiddleOrder::read(&fd::adopt(order)) else { return 1 };
    close_inherited(&order);
    // Where that isn't possible, what a failed start leaves outside of the daemon's process group goes on.
    let _ = descendants::adopt_orphans();
    match start_daemon(&order) {
        Ok(daemon) => {
            close::close_all_but(&sorted([order.launcher, order.daemon].into_iter().chain(order.stderr_memory)));
            // Before the launcher learns the pid: whoever waits for the daemon reads this file then.
            if let Some(state) = &order.state {
                state.write(daemon);
            }
            say(order.launcher, &format!("MAINPID={daemon}"));
            Watch::new(&order, daemon).run();
        }
        Err((step, errno)) => send_failure(order.launcher, step, errno),
    }
    0
}

/// Closes what was not meant for this process: the caller's descriptors that are not marked to be closed at exec.
fn close_inherited(order: &MiddleOrder) {
    let own = [order.launcher, order.daemon].into_iter().chain(order.stderr_memory);
    close::close_all_but(&sorted(order.moves.iter().map(|&(source, _)| source).chain(own)));
}

fn sorted(numbers: impl Iterator<Item = RawFd>) -> Vec<RawFd> {
    let mut numbers: Vec<_> = numbers.collect();
    numbers.sort_unstable();
    numbers.dedup();
    numbers
}

/// Leads a new session and starts the daemon in it.
fn start_daemon(order: &MiddleOrder) -> Result<Pid, (Step, Errno)> {
    nix::unistd::setsid().map_err(|errno| (Step::Setsid, errno))?;
    // What came until now, such as the terminal's Ctrl-C, was sent to the launcher's process group: the launcher decides.
    signal::discard_pending();
    signal::restore_defaults().map_err(|errno| (Step::Sigprocmask, errno))?;
    let mut kept: Vec<_> = order.moves.iter().map(|&(_, target)| target).collect();
    kept.sort_unstable();
    let source_of =
        |wanted: RawFd| order.moves.iter().find(|&&(_, target)| target == wanted).map(|&(source, _)| source);
    let child = Child {
        image: Image::new(order.command.clone()),
        parent: Parent::Middle,
        leads_group: true,
        directory: order.directory.clone(),
        moves: order.moves.clone(),
        kept,
        channel: order.channel,
        channel_source: source_of(order.channel).unwrap_or(order.channel),
        channel_ends_at_exec: false,
        pid_file: order.pid_file,
        holds_signals: order.executes_supervisor,
        resources: order.resources.clone(),
        context: None,
    };
    fork::fork_to_execute(child::run, &child, &fork::Stack::allocate()).map_err(|errno| (Step::SecondFork, errno))
}

/// The daemon and its launcher, until the daemon is ready or has exited.
struct Watch<'a> {
    order: &'a MiddleOrder,
    daemon: Pid,
    process: ProcessHandle,
    lines: StartLines,
    /// The channels, until the other end is closed.
    from_launcher: Option<OwnedFd>,
    from_daemon: Option<OwnedFd>,
}

impl<'a> Watch<'a> {
    fn new(order: &'a MiddleOrder, daemon: Pid) -> Self {
        let [from_launcher, from_daemon] = [order.launcher, order.daemon].map(|number| Some(fd::adopt(number)));
        let process = ProcessHandle::of_child(daemon);
        Self { order, daemon, process, lines: StartLines::default(), from_launcher, from_daemon }
    }

    /// Passes the daemon's lines on to the launcher until the daemon is ready or has exited. Kills the daemon if the
    /// launcher goes.
    fn run(mut self) {
        loop {
            let Seen { daemon_wrote, mut launcher_gone } = self.wait_for_event();
            if daemon_wrote {
                match self.pass_on() {
                    Passed::Ready => return self.order.leftovers.keep(),
                    Passed::More => continue,
                    Passed::Closed => self.from_daemon = None,
                    Passed::LauncherGone => launcher_gone = true,
                }
            }
            if self.process.has_exited() {
                return self.report_end();
            }
            if launcher_gone && self.order.outlives_launcher && self.has_launcher_closed() {
                self.from_launcher = None;
            } else if launcher_gone {
                self.kill_and_reap();
                return;
            }
            if let Some(memory) = self.order.stderr_memory {
                memory_file::keep_last(memory, i64::from(STDERR_KEPT));
            }
        }
    }

    /// Blocks until something happens. Without a pidfd it returns after a short while, so that the caller looks at the
    /// daemon. The launcher writes nothing but the order to kill the daemon, so whatever comes from it means that it is
    /// gone.
    fn wait_for_event(&self) -> Seen {
        let channels = [&self.from_launcher, &self.from_daemon].map(|channel| channel.as_ref().map(AsFd::as_fd));
        let process = self.process.descriptor();
        let sources = [channels[0], channels[1], process];
        let mut polled: Vec<_> =
            sources.into_iter().flatten().map(|source| PollFd::new(source, PollFlags::POLLIN)).collect();
        let timeout = match (process, self.order.stderr_memory) {
            (None, _) => PollTimeout::from(DAEMON_POLL_INTERVAL),
            (Some(_), Some(_)) => PollTimeout::from(STDERR_TRIM_INTERVAL),
            (Some(_), None) => PollTimeout::NONE,
        };
        let _ = poll(&mut polled, timeout); // EINTR: nothing is seen, and the caller polls again
        let mut results = polled.iter().map(|polled| polled.revents().is_some_and(|events| !events.is_empty()));
        let [launcher_gone, daemon_wrote, _] = sources.map(|source| source.is_some() && results.next() == Some(true));
        Seen { daemon_wrote, launcher_gone }
    }

    /// Passes on what the daemon has written.
    fn pass_on(&mut self) -> Passed {
        let mut buffer = [0; READ_SIZE];
        let read = self.from_daemon.as_ref().map(|channel| fd::read(channel.as_raw_fd(), &mut buffer));
        let Some(Ok(length @ 1..)) = read else { return Passed::Closed };
        self.lines.feed(&buffer[..length]);
        while let Some((line, text)) = self.lines.take() {
            if line.is_from_daemon() && !self.tell(&text) && !self.order.outlives_launcher {
                return Passed::LauncherGone;
            }
            if matches!(line, StartLine::Ready) {
                return Passed::Ready;
            }
        }
        Passed::More
    }

    /// Reports how the daemon has exited. Its last line may say that it was ready: then the processes that it started
    /// are left alone.
    fn report_end(&mut self) {
        while self.from_daemon.is_some() {
            match self.pass_on() {
                Passed::Ready => return self.order.leftovers.keep(),
                Passed::More => {}
                Passed::Closed | Passed::LauncherGone => self.from_daemon = None,
            }
        }
        let status = self.kill_and_reap();
        self.tell(&format!("ENDED={status}"));
    }

    /// Writes a line to the launcher. False: it is gone.
    fn tell(&self, line: &str) -> bool {
        self.from_launcher.as_ref().is_some_and(|channel| say(channel.as_raw_fd(), line))
    }

    /// Kills the daemon if it still runs, with everything that it has started; then removes its files. Returns the status.
    /// The daemon is reaped only after its group was signalled: until then no other group gets its number.
    fn kill_and_reap(&self) -> i32 {
        process::kill_child_and_group(self.daemon);
        let status = process::wait(self.daemon).unwrap_or(0);
        descendants::end_children(&BTreeSet::new());
        self.order.leftovers.remove();
        status
    }

    /// Whether the launcher has closed its end, rather than written the order.
    fn has_launcher_closed(&self) -> bool {
        let channel = self.from_launcher.as_ref();
        !channel.is_some_and(|channel| matches!(fd::read(channel.as_raw_fd(), &mut [0]), Ok(1..)))
    }
}

/// Result of the poll.
struct Seen {
    daemon_wrote: bool,
    launcher_gone: bool,
}

/// Result of passing on what the daemon has written.
enum Passed {
    Ready,
    More,
    Closed,
    LauncherGone,
}
