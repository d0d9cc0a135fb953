//! The workers and what becomes of them: what to do for each event, by the phase of the fleet and the role of the
//! worker. Decisions only: processes, the clock and the log are behind [`World`].

mod reload;
mod restart;
mod scale;
mod stop;
#[cfg(test)]
mod tests;
mod timers;

use serde::{Deserialize, Serialize};

use self::reload::Reload;
use crate::clock::Millis;
use crate::policy::{Exit, Supervision, Verdict};

/// A connection of the control socket, which waits for the result of its request.
pub type ClientId = u64;

/// What the fleet does to the world. Each `pid` is one that `start` returned, and that has not been reaped.
pub trait World {
    /// Reads the monotonic clock.
    fn now(&self) -> Millis;
    /// Starts a worker for a slot and returns its pid, or the reason for a person to read.
    fn start(&mut self, slot: usize) -> Result<i32, String>;
    /// Sends a signal to a worker.
    fn signal(&mut self, pid: i32, signal: i32);
    /// Asks a worker to stop as `signal` would have it, 0 for none: over its channel or, where it has none, by SIGTERM.
    fn ask_to_stop(&mut self, pid: i32, signal: i32);
    /// Reports to the launcher and the service manager that every worker of the first start is ready.
    fn first_start_succeeded(&mut self);
    /// Reports that the first start failed, with the stderr of the worker that made it fail; `late`: by startTimeout.
    fn first_start_failed(&mut self, pid: Option<i32>, reason: &str, late: bool);
    /// Reads the end of what a worker wrote to stderr, or says which step of its set-up failed.
    fn end_of_stderr(&mut self, pid: i32) -> String;
    /// Bytes of memory that a worker has resident; None if the kernel doesn't say.
    fn resident_memory(&mut self, pid: i32) -> Option<u64>;
    /// Sets the limit of core dumps to 0 where the configuration raised it: one core file tells enough.
    fn forbid_core_dumps(&mut self);
    /// Marks the pid file as one whose owner exits, so that the next start waits for that, and closes the listeners.
    fn begin_exit(&mut self);
    /// Closes the sockets of a slot that was removed.
    fn close_slot_sockets(&mut self, slot: usize);
    /// Opens all log files again, after a rotation.
    fn reopen_logs(&mut self);
    /// Answers the request of a control client.
    fn answer(&mut self, client: ClientId, answer: Result<(), String>);
    /// Writes a line to the log.
    fn log(&mut self, level: Level, text: &str);
    /// Shows `text` as the process title.
    fn set_title(&mut self, text: &str);
    /// Tells the service manager, if there is one, by sd_notify(3).
    fn notify(&mut self, text: &str);
}

/// How much a log line matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    Error,
    Warning,
    Info,
    Debug,
}

/// What the fleet as a whole is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    /// Until every worker of the first start is ready: one that fails ends the daemon.
    Starting,
    Running,
    /// Until the last worker has exited; then the supervisor exits with this code.
    Stopping {
        code: i32,
    },
}

/// What a worker is to its slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Role {
    /// Serves for its slot, and is replaced when it exits.
    Current,
    /// Was started by a reload: takes the place of the current worker as soon as it is ready.
    Successor,
    /// Was asked to stop, since another has its place, or the slot or the daemon is to go.
    Retired,
}

/// A process that was started and has not been reaped.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Worker {
    pub pid: i32,
    pub slot: usize,
    pub role: Role,
    pub ready: bool,
    pub started_at: Millis,
    pub status: Option<String>,
    verdict: Option<Verdict>,
    /// When the worker is killed: while it boots unless it is ready by then, afterwards unless it has exited.
    deadline: Option<Millis>,
    /// When its event loop last turned.
    last_beat: Option<Millis>,
    /// Signals to pass on once the worker is ready: earlier, without a handler, it would be killed by them.
    deferred_signals: Vec<i32>,
    idle: bool,
    killed: bool,
}

/// A place for one worker at a time. Its number is what the program sees as the worker's index.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Slot {
    /// Failures in a row.
    pub failures: u32,
    /// Restarts since the supervisor started.
    pub restarts: u32,
    pub last_exit: Option<String>,
    /// When the next worker is started, while the slot pauses after a failure.
    restart_at: Option<Millis>,
}

/// What the configuration says that a fleet decides by.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Terms {
    pub supervision: Supervision,
    pub start_timeout: Millis,
    pub stop_timeout: Millis,
    /// Whether the daemon stops when every worker is idle.
    pub ends_idle: bool,
}

/// All workers of a daemon.
#[derive(Debug, Serialize, Deserialize)]
pub struct Fleet {
    terms: Terms,
    pub phase: Phase,
    pub slots: Vec<Slot>,
    pub workers: Vec<Worker>,
    reload: Option<Reload>,
    /// Whether a reload was asked for during another. It follows that one, whose first successors may have read older
    /// files than the second request means.
    reload_again: bool,
    /// Clients that wait for the reload that follows.
    #[serde(skip)]
    waiting_clients: Vec<ClientId>,
    /// The last failure of a worker, for the process title.
    last_failure: Option<String>,
    /// How the worker exited that made the first start fail.
    pub start_exit: Option<Exit>,
    next_memory_check: Millis,
    /// When [`tick`](Self::tick) last ran.
    last_tick: Millis,
}

impl Fleet {
    /// Makes a fleet without workers.
    pub fn new(terms: Terms, now: Millis) -> Self {
        let slots = vec![Slot::default(); terms.supervision.workers];
        Self {
            terms,
            phase: Phase::Starting,
            slots,
            workers: Vec::new(),
            reload: None,
            reload_again: false,
            waiting_clients: Vec::new(),
            last_failure: None,
            start_exit: None,
            next_memory_check: now,
            last_tick: now,
        }
    }

    /// The code that the supervisor exits with, once the last worker has exited.
    pub fn exit_code(&self) -> Option<i32> {
        match self.phase {
            Phase::Stopping { code } if self.workers.is_empty() => Some(code),
            _ => None,
        }
    }

    /// Starts a worker for each slot, unless one of them fails.
    pub fn start_all(&mut self, world: &mut impl World) {
        for slot in 0..self.slots.len() {
            if self.phase == Phase::Starting {
                self.start(world, slot, Role::Current);
            }
        }
    }

    /// Notes that a worker is ready, and goes on with the start or reload that waits for it.
    pub fn worker_ready(&mut self, world: &mut impl World, pid: i32) {
        let now = world.now();
        let Some(worker) = self.workers.iter_mut().find(|worker| worker.pid == pid && !worker.ready && !worker.killed)
        else {
            return;
        };
        worker.ready = true;
        worker.last_beat = Some(now);
        if worker.role == Role::Retired {
            return; // the deadline is for stopping by now, no longer for getting ready
        }
        worker.deadline = None;
        let slot = worker.slot;
        for signal in std::mem::take(&mut worker.deferred_signals) {
            world.signal(pid, signal);
        }
        if worker.role == Role::Successor {
            worker.role = Role::Current;
            self.retire_predecessor(world, slot, pid);
        }
        if self.phase == Phase::Starting && self.workers.iter().all(|worker| worker.ready) {
            self.phase = Phase::Running;
            world.first_start_succeeded();
        }
        if self.reload.as_ref().is_some_and(|reload| reload.waits_for == Some(pid)) {
            self.next_in_reload(world);
        }
        self.show_title(world);
    }

    /// Decides what follows the exit of a worker.
    pub fn worker_exited(&mut self, world: &mut impl World, pid: i32, exit: Exit) {
        let Some(index) = self.workers.iter().position(|worker| worker.pid == pid) else { return };
        let worker = self.workers.remove(index);
        let stderr = world.end_of_stderr(pid);
        let last_line = stderr.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("").trim();
        // After an exit with 0 the last line on stderr explains nothing.
        let description = if last_line.is_empty() || exit == Exit::Code(0) {
            exit.to_string()
        } else {
            format!("{exit}: {last_line}")
        };
        if let Some(slot) = self.slots.get_mut(worker.slot) {
            slot.last_exit = Some(description);
        }
        if exit.dumped_core() {
            world.forbid_core_dumps();
        }
        match (self.phase, worker.role) {
            (Phase::Starting, _) => self.fail_first_start(world, &worker, exit),
            (Phase::Stopping { code }, _) => self.exited_while_stopping(world, &worker, exit, code),
            (Phase::Running, Role::Current) => self.current_exited(world, &worker, exit),
            (Phase::Running, Role::Successor) => self.successor_exited(world, &worker, exit, &stderr),
            (Phase::Running, Role::Retired) => world.log(Level::Info, &format!("pid {pid} {exit}")),
        }
        self.show_title(world);
    }

    /// Keeps the status text of a worker, for status reports.
    pub fn set_status(&mut self, pid: i32, text: String) {
        if let Some(worker) = self.worker(pid) {
            worker.status = Some(text);
        }
    }

    /// Notes that the event loop of a worker has turned.
    pub fn heartbeat(&mut self, pid: i32, now: Millis) {
        if let Some(worker) = self.worker(pid) {
            worker.last_beat = Some(now);
        }
    }

    /// Notes whether a worker is idle, and stops the daemon if it is to stop when all are.
    pub fn set_idle(&mut self, world: &mut impl World, pid: i32, idle: bool) {
        if let Some(worker) = self.worker(pid) {
            worker.idle = idle;
        }
        self.stop_if_idle(world);
    }

    fn stop_if_idle(&mut self, world: &mut impl World) {
        let mut current = self.workers.iter().filter(|worker| worker.role == Role::Current);
        if self.terms.ends_idle && self.phase == Phase::Running && current.all(|worker| worker.idle) {
            world.log(Level::Info, "every worker is idle: stopping");
            self.stop(world, 0);
        }
    }

    /// Notes that a worker stops by its own decision: it has as much time as if the supervisor had asked it to.
    pub fn worker_stopping(&mut self, world: &mut impl World, pid: i32) {
        let deadline = world.now() + self.terms.stop_timeout;
        if let Some(worker) = self.worker(pid) {
            worker.deadline.get_or_insert(deadline);
        }
    }

    /// Passes a signal on to all workers, to those that boot as soon as they are ready.
    pub fn pass_on(&mut self, world: &mut impl World, signal: i32) {
        for worker in &mut self.workers {
            if worker.ready {
                world.signal(worker.pid, signal);
            } else {
                worker.deferred_signals.push(signal);
            }
        }
    }

    fn worker(&mut self, pid: i32) -> Option<&mut Worker> {
        self.workers.iter_mut().find(|worker| worker.pid == pid)
    }

    fn pids(&self, which: impl Fn(&Worker) -> bool) -> Vec<i32> {
        self.workers.iter().filter(|worker| which(worker)).map(|worker| worker.pid).collect()
    }

    /// Shows in the process title how many workers there are, and the last failure while one counts.
    pub fn show_title(&self, world: &mut impl World) {
        let subject = match self.workers.iter().find(|worker| worker.role == Role::Current) {
            Some(worker) if self.slots.len() == 1 => format!("monitoring pid {}", worker.pid),
            _ => format!("monitoring {} workers", self.slots.len()),
        };
        let failing = self.slots.iter().any(|slot| slot.failures > 0);
        let health = self.last_failure.as_deref().filter(|_| failing).unwrap_or("healthy");
        world.set_title(&match self.phase {
            Phase::Stopping { .. } => "stopping".to_owned(),
            Phase::Starting => "starting".to_owned(),
            Phase::Running => format!("{subject} ({health})"),
        });
    }
}
