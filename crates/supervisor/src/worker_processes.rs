//! The workers as processes: what the supervisor holds of each, and what each says, no more of it in one turn of the
//! event loop than its share.

use std::collections::HashMap;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use daemonic_core::error::Failure;
use daemonic_core::lines::Lines;
use daemonic_core::stdio::Tail;
use daemonic_core::sys::fd;
use daemonic_core::worker_channel::WorkerLine;

use crate::clock::Millis;
use crate::readiness_probe::ReadinessProbe;

/// A worker's share of a turn of the event loop, in bytes and in lines. One that writes more is not read for
/// [`PAUSE_AFTER_SHARE`]: it waits, and neither the supervisor nor the other workers do.
const SHARE_OF_BYTES: usize = 16 * 1024;
const SHARE_OF_LINES: usize = 512;
/// Milliseconds for which a worker that has used up its share is not read. At 512 lines in 10 ms a program that reports
/// its status at every request never waits.
pub const PAUSE_AFTER_SHARE: Millis = 10;
/// Shares that are read of a worker that has exited: what it wrote before counts first.
pub const SHARES_AT_EXIT: usize = 8;

/// What the supervisor holds of a worker.
#[allow(clippy::struct_excessive_bools)] // what it has done so far, each on its own
pub struct WorkerProcess {
    /// The supervisor's end of the channel, until the worker closes its own.
    pub channel: Option<OwnedFd>,
    lines: Lines,
    /// Until when it is not read, since it has used up its share.
    quiet_until: Millis,
    /// Reads the end of what the worker wrote to stderr.
    pub tail: Option<Tail>,
    pub readiness: ReadinessProbe,
    /// The step that failed while the worker was being set up, before its exec or in its call of daemonize(). The first
    /// that it reports counts.
    pub failure: Option<Failure>,
    /// Outputs that could not be handed their new log file, and when the next try is due.
    pub lost_log: Option<(Vec<RawFd>, Millis)>,
    /// The log says so already.
    pub has_lost_log: bool,
    /// It has said what it waits for.
    pub has_hinted: bool,
    /// It has said what its program's call wants.
    has_wished: bool,
    /// It has exited. It is not reaped before its process group is empty.
    pub has_exited: bool,
}

impl WorkerProcess {
    /// Holds a worker that has said nothing.
    pub fn new(channel: Option<OwnedFd>, tail: Option<Tail>, readiness: ReadinessProbe) -> Self {
        let lines = Lines::default();
        Self {
            channel,
            lines,
            quiet_until: 0,
            tail,
            readiness,
            failure: None,
            lost_log: None,
            has_lost_log: false,
            has_hinted: false,
            has_wished: false,
            has_exited: false,
        }
    }

    /// Notes that it says what its program's call wants; true the first time.
    pub fn wishes_first(&mut self) -> bool {
        !std::mem::replace(&mut self.has_wished, true)
    }

    /// The channel, unless nothing is to be read from it now.
    pub fn readable_channel(&self, now: Millis) -> Option<BorrowedFd<'_>> {
        self.channel.as_ref().filter(|_| self.quiet_until <= now).map(AsFd::as_fd)
    }

    /// When the worker is read again that has used up its share.
    pub fn next_read(&self, now: Millis) -> Option<Millis> {
        Some(self.quiet_until).filter(|&until| until > now)
    }

    /// Reads a share of what the worker has written; nothing while it is to be quiet.
    pub fn read_share(&mut self, now: Millis) -> Vec<WorkerLine> {
        if self.quiet_until > now {
            return Vec::new();
        }
        let mut is_more = false;
        if !self.lines.has_next() {
            is_more = self.fill(now) == SHARE_OF_BYTES;
        }
        let mut said = Vec::new();
        for line in std::iter::from_fn(|| self.lines.next()).take(SHARE_OF_LINES) {
            match WorkerLine::parse(&line) {
                Some(WorkerLine::Failure(failure)) => drop(self.failure.get_or_insert(failure)),
                Some(line) => said.push(line),
                None => {}
            }
        }
        if is_more || self.lines.has_next() {
            self.quiet_until = now + PAUSE_AFTER_SHARE;
        }
        said
    }

    /// Reads a share of what a worker wrote that has exited, whether it was to be quiet or not.
    pub fn read_share_at_exit(&mut self, now: Millis) -> Vec<WorkerLine> {
        self.quiet_until = 0;
        self.read_share(now)
    }

    /// The part of a line that has arrived: the rest of it goes to the next image.
    pub fn unread(&self) -> String {
        String::from_utf8_lossy(self.lines.rest()).into_owned()
    }

    /// Goes on from what [`unread`](Self::unread) gave.
    pub fn resume_reading(&mut self, unread: &str) {
        self.lines.feed(unread.as_bytes());
    }

    fn fill(&mut self, now: Millis) -> usize {
        let Some(channel) = &self.channel else { return 0 };
        let mut buffer = [0; SHARE_OF_BYTES];
        match fd::read(channel.as_raw_fd(), &mut buffer) {
            Ok(0) => {
                self.channel = None;
                self.readiness.executed(now);
                0
            }
            Ok(length) => {
                self.lines.feed(&buffer[..length]);
                length
            }
            Err(_) => 0,
        }
    }
}

/// All workers that are not reaped, by pid.
#[derive(Default)]
pub struct WorkerProcesses(HashMap<i32, WorkerProcess>);

impl WorkerProcesses {
    /// Adds a worker that was started.
    pub fn insert(&mut self, pid: i32, process: WorkerProcess) {
        self.0.insert(pid, process);
    }

    /// Drops a worker that is about to be reaped: then the kernel may give its pid to another.
    pub fn remove(&mut self, pid: i32) {
        self.0.remove(&pid);
    }

    /// A worker that is not reaped.
    pub fn get(&self, pid: i32) -> Option<&WorkerProcess> {
        self.0.get(&pid)
    }

    /// A worker that is not reaped, to be changed.
    pub fn get_mut(&mut self, pid: i32) -> Option<&mut WorkerProcess> {
        self.0.get_mut(&pid)
    }

    /// Whether this is the pid of a worker that is not reaped.
    pub fn contains(&self, pid: i32) -> bool {
        self.0.contains_key(&pid)
    }

    /// The pids of all workers that are not reaped.
    pub fn pids(&self) -> Vec<i32> {
        self.0.keys().copied().collect()
    }

    /// Iterates over all workers that are not reaped.
    pub fn iter(&self) -> impl Iterator<Item = (i32, &WorkerProcess)> {
        self.0.iter().map(|(&pid, process)| (pid, process))
    }

    /// Iterates over all workers that are not reaped, to change them.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (i32, &mut WorkerProcess)> {
        self.0.iter_mut().map(|(&pid, process)| (pid, process))
    }
}
