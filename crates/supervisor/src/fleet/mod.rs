//! The workers and what becomes of them: what to do for each event, by the phase of the fleet and the role of the
//! worker. Decisions only: processes, the clock and the log are behind [`World`].

#[cfg(test)]
mod model;
mod reload;
mod remains;
mod restart;
mod scale;
mod status_line;
mod stop;
#[cfg(test)]
mod tests;
mod timers;
mod worker;

use serde::{Deserialize, Serialize};

use self::reload::Reload;
use self::remains::Remains;
use self::restart::{START_TRIES, pause_after_refusal};
use self::worker::{Action, Clock, Event};
pub use self::worker::{Stage, Worker};
use crate::clock::Millis;
use crate::policy::{Exit, Supervision, signal_name};

/// A connection of the control socket, which waits for the result of its request.
pub type ClientId = u64;

/// What the fleet does to the world. Each `pid` is one that `start` returned, and that has not been reaped.
pub trait World {
    /// Reads the monotonic clock.
    fn now(&self) -> Millis;
    /// Starts a worker for a slot and returns its pid.
    fn start(&mut self, slot: usize) -> Result<i32, Refused>;
    /// Sends a signal to a worker. Fails with the reason for a person to read: a set-uid program may be out of reach.
    fn signal(&mut self, pid: i32, signal: i32) -> Result<(), String>;
    /// Asks a worker to stop as `signal` would have it, 0 for none: over its channel or, where it has none, by SIGTERM.
    /// Fails as [`signal`](Self::signal) does.
    fn ask_to_stop(&mut self, pid: i32, signal: i32) -> Result<(), String>;
    /// Whether the process group of a worker that has exited has other processes, which are to end with it.
    fn has_remains(&mut self, pid: i32) -> bool;
    /// Sends a signal to the process group of a worker that has exited.
    fn signal_group(&mut self, pid: i32, signal: i32) -> Result<(), String>;
    /// Reaps a worker that has exited: its pid may mean another process from here on.
    fn reap(&mut self, pid: i32);
    /// Names the processes that workers have started and that have left their workers' groups. Each is named once.
    fn escaped(&mut self) -> Vec<String>;
    /// Whether workers get their sockets from the supervisor, and bind none themselves.
    fn shares_sockets(&self) -> bool;
    /// Tells how a reload is to be done now.
    fn reload_way(&mut self) -> ReloadWay;
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
    /// Tells the service manager, if there is one, what the fleet does.
    fn announce(&mut self, what: Announcement);
}

/// Why no process could be started for a slot.
#[derive(Debug, Clone)]
pub struct Refused {
    /// The reason, for a person to read.
    pub reason: String,
    /// Whether the system lacks something just now: memory, processes, descriptors. Then the start is tried again.
    pub is_passing: bool,
}

/// How a reload is done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ReloadWay {
    /// Start a successor beside each worker, and ask the worker to stop when that has settled.
    RollOver,
    /// Send the workers this signal, at which their program reloads.
    Signal(i32),
    /// Stop each worker, then start the next: a successor beside it could not bind its port.
    Restart,
    /// Don't, for this reason.
    Refused(String),
}

/// How much a log line matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    Error,
    Warning,
    Info,
    Debug,
}

/// What a service manager is to know of the fleet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Announcement {
    /// The first start or a reload is over.
    Ready,
    /// A reload of so many workers begins.
    Reloading {
        workers: usize,
    },
    Stopping,
}

/// Who says that a worker is ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadyBy {
    /// The program, which knows best: by ready(), READY=1, or a newline on its descriptor.
    Program,
    /// The library or the supervisor, by what can be seen from outside. A first successor has to settle after it.
    Sight,
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

/// A place for one worker at a time. Its number is what the program sees as the worker's index.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Slot {
    /// Failures in a row.
    pub failures: u32,
    /// Starts in a row that came to no process. They make the pauses longer, and never the supervisor give up.
    refusals: u32,
    /// Restarts since the supervisor started.
    pub restarts: u32,
    pub last_exit: Option<String>,
    /// When the next worker is started, while the slot pauses after a failure.
    restart_at: Option<Millis>,
}

/// The exit that ended a daemon for good after it was ready: nothing is to restart it, or the supervisor gave up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Failure {
    pub exit_code: i32,
    /// How the last worker exited, with the last line of its stderr.
    pub last_exit: String,
    /// Failures in a row.
    pub failures: u32,
    /// Restarts of all workers, and the number of workers that there were to be.
    pub restarts: u32,
    pub workers: usize,
}

/// A slot whose worker exits again and again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Failing<'a> {
    /// Failures in a row.
    pub failures: u32,
    pub last_exit: Option<&'a str>,
    /// Milliseconds until its next worker is started; None while it has one.
    pub restart_in: Option<Millis>,
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
    /// The groups of workers that have exited.
    remains: Vec<Remains>,
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
    /// Why the daemon exits for good, if it has failed.
    #[serde(default)]
    pub failure: Option<Failure>,
    next_memory_check: Millis,
    /// When [`tick`](Self::tick) last ran.
    last_tick: Millis,
    /// The signal that asked to stop, and when it came.
    stop_signal: Option<(i32, Millis)>,
    /// Workers that had to be killed since the stop began: they did not exit when they were asked to.
    #[serde(default)]
    pub killed: Vec<i32>,
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
            remains: Vec::new(),
            reload: None,
            reload_again: false,
            waiting_clients: Vec::new(),
            last_failure: None,
            start_exit: None,
            failure: None,
            next_memory_check: now,
            last_tick: now,
            stop_signal: None,
            killed: Vec::new(),
        }
    }

    /// The code that the supervisor exits with, once nothing is left of the last worker.
    pub fn exit_code(&self) -> Option<i32> {
        match self.phase {
            Phase::Stopping { code } if self.workers.is_empty() && self.remains.is_empty() => Some(code),
            _ => None,
        }
    }

    /// Starts a worker for each slot, unless one of them fails.
    pub fn start_all(&mut self, world: &mut impl World) {
        for slot in 0..self.slots.len() {
            if self.phase == Phase::Starting {
                self.start(world, slot);
            }
        }
    }

    /// Notes that a worker is ready, and goes on with the start or reload that waits for it.
    pub fn worker_ready(&mut self, world: &mut impl World, pid: i32, by: ReadyBy) {
        if !self.worker(pid).is_some_and(|worker| worker.is_booting()) {
            return;
        }
        self.happens(world, pid, Event::Ready);
        let serving = self.workers.iter().filter(|worker| worker.is_serving()).count();
        if self.phase == Phase::Starting && serving == self.slots.len() {
            self.phase = Phase::Running;
            world.first_start_succeeded();
        }
        self.ready_in_reload(world, pid, by);
        self.show_title(world);
    }

    /// Decides what follows the exit of a worker, which is not reaped yet.
    pub fn worker_exited(&mut self, world: &mut impl World, pid: i32, exit: Exit) {
        let Some(index) = self.workers.iter().position(|worker| worker.pid == pid) else { return };
        let worker = self.workers.remove(index);
        let stderr = world.end_of_stderr(pid);
        let last_line = telling_line(&stderr);
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
        let fails_start = self.phase == Phase::Starting;
        match self.phase {
            Phase::Starting => self.fail_first_start(world, &worker, exit),
            Phase::Stopping { code } => self.exited_while_stopping(world, &worker, exit, code),
            Phase::Running if worker.is_retired() => world.log(Level::Info, &format!("pid {pid} {exit}")),
            Phase::Running if self.successor() == Some(pid) => self.successor_exited(world, &worker, exit, &stderr),
            Phase::Running => self.current_exited(world, &worker, exit, &stderr),
        }
        self.leave(world, &worker, fails_start);
        self.left_in_reload(world, worker.slot);
        self.reload_if_asked_again(world);
        self.show_title(world);
    }

    /// Keeps the status text of a worker, for status reports.
    pub fn set_status(&mut self, pid: i32, text: String) {
        if let Some(worker) = self.worker(pid) {
            worker.status = Some(text);
        }
    }

    /// Notes that the event loop of a worker has turned.
    pub fn heartbeat(&mut self, world: &mut impl World, pid: i32) {
        self.happens(world, pid, Event::Beat);
    }

    /// Notes whether a worker is idle, and stops the daemon if it is to stop when all are.
    pub fn set_idle(&mut self, world: &mut impl World, pid: i32, idle: bool) {
        if let Some(worker) = self.worker(pid) {
            worker.idle = idle;
        }
        self.stop_if_idle(world);
    }

    /// Stops the daemon if each slot has a worker, which serves and is idle. A slot in its pause is not idle.
    fn stop_if_idle(&mut self, world: &mut impl World) {
        let is_idle = |slot| {
            let mut current = self.workers.iter().filter(|worker| worker.slot == slot && self.is_current(worker));
            current.next().is_some_and(|worker| worker.is_serving() && worker.idle)
        };
        if self.terms.ends_idle && self.phase == Phase::Running && (0..self.slots.len()).all(is_idle) {
            world.log(Level::Info, "every worker is idle: stopping");
            self.stop(world, 0);
        }
    }

    /// Notes that a worker stops by its own decision: it has as much time as if the supervisor had asked it to.
    pub fn worker_stopping(&mut self, world: &mut impl World, pid: i32) {
        self.happens(world, pid, Event::Stopping);
    }

    /// Passes a signal on to all workers, to those that boot as soon as they are ready.
    pub fn pass_on(&mut self, world: &mut impl World, signal: i32) {
        for worker in &mut self.workers {
            if let Stage::Booting { signals, .. } = &mut worker.stage
                && !signals.contains(&signal)
            {
                signals.push(signal); // once, as the kernel keeps a pending signal: any number may come
            }
        }
        for pid in self.pids(Worker::is_ready) {
            send(world, pid, signal);
        }
    }

    /// Moves a worker on to the stage that follows on an event, and does what the table says.
    fn happens(&mut self, world: &mut impl World, pid: i32, event: Event) {
        self.happens_on(world, pid, event, 0);
    }

    /// Like [`happens`](Self::happens), where a signal to the supervisor is the reason that the worker hears.
    fn happens_on(&mut self, world: &mut impl World, pid: i32, event: Event, signal: i32) {
        let clock = Clock { now: world.now(), stop_timeout: self.terms.stop_timeout };
        let Some(worker) = self.worker(pid) else { return };
        match worker.on(event, clock) {
            Action::Nothing => {}
            Action::PassOn(signals) => signals.into_iter().for_each(|signal| send(world, pid, signal)),
            Action::Ask => {
                if let Err(why) = world.ask_to_stop(pid, signal) {
                    world.log(Level::Error, &format!("pid {pid} can't be asked to stop: {why}"));
                }
            }
            Action::Terminate => send(world, pid, libc::SIGTERM),
            Action::Abort => send(world, pid, libc::SIGABRT),
            Action::Kill => {
                if let Err(why) = world.signal(pid, libc::SIGKILL) {
                    world.log(Level::Error, &format!("pid {pid} can't be killed: {why}; trying again"));
                    self.happens(world, pid, Event::NotKilled);
                }
            }
        }
    }

    /// Whether a worker has its slot: it was not retired, and is no successor that waits beside another.
    fn is_current(&self, worker: &Worker) -> bool {
        !worker.is_retired() && self.successor() != Some(worker.pid)
    }

    /// Whether a worker has its slot, and is replaced when it exits; or is about to take it from another.
    fn counts_on(&self, slot: usize) -> bool {
        self.workers.iter().any(|worker| worker.slot == slot && !worker.is_retired())
    }

    fn worker(&mut self, pid: i32) -> Option<&mut Worker> {
        self.workers.iter_mut().find(|worker| worker.pid == pid)
    }

    fn pids(&self, which: impl Fn(&Worker) -> bool) -> Vec<i32> {
        self.workers.iter().filter(|worker| which(worker)).map(|worker| worker.pid).collect()
    }

    /// Restarts of all workers since the supervisor started.
    pub fn restarts(&self) -> u32 {
        self.slots.iter().map(|slot| slot.restarts).sum()
    }

    /// The slot that fails most, if any does: it has failed twice in a row, and has no worker that has run for long. After a
    /// first failure the next worker starts at once, and may well stay.
    pub fn failing(&self, now: Millis) -> Option<Failing<'_>> {
        let is_failing = |(index, slot): &(usize, &Slot)| {
            let mut workers = self.workers.iter().filter(|worker| worker.slot == *index && self.is_current(worker));
            let steady = self.terms.supervision.steady_after;
            let runs_steadily = workers.any(|worker| worker.is_serving() && now >= worker.started_at + steady);
            slot.failures + slot.refusals > 1 && !runs_steadily
        };
        let running = self.phase == Phase::Running;
        let slots = self.slots.iter().enumerate().filter(|each| running && is_failing(each));
        slots.map(|(_, slot)| slot).max_by_key(|slot| slot.failures + slot.refusals).map(|slot| Failing {
            failures: slot.failures + slot.refusals,
            last_exit: slot.last_exit.as_deref(),
            restart_in: slot.restart_at.map(|at| at.saturating_sub(now)),
        })
    }

    /// Shows in the process title how many workers there are, and the last failure while one counts.
    pub fn show_title(&self, world: &mut impl World) {
        let subject = match (self.slots.len(), self.workers.iter().find(|worker| self.is_current(worker))) {
            (1, Some(worker)) => format!("monitoring pid {}", worker.pid),
            (1, None) => "monitoring 1 worker".to_owned(),
            (count, _) => format!("monitoring {count} workers"),
        };
        let health = self.counting_failure().unwrap_or("healthy");
        world.set_title(&match self.phase {
            Phase::Stopping { .. } => "stopping".to_owned(),
            Phase::Starting => "starting".to_owned(),
            Phase::Running => format!("{subject} ({health})"),
        });
    }
}

/// The line that says most of the end of a stderr: the last one that is neither indented nor a bracket. Below the message
/// of an uncaught error, Node.js prints the stack, the error's properties and its own version.
fn telling_line(stderr: &str) -> &str {
    let tells = |line: &&str| !line.starts_with([' ', '\t', '}', ']']) && !line.starts_with("Node.js v");
    let lines = || stderr.lines().rev().filter(|line| !line.trim().is_empty());
    lines().find(tells).or_else(|| lines().next()).unwrap_or("").trim()
}

/// Sends a signal to a worker, and says so if that was not allowed.
fn send(world: &mut impl World, pid: i32, signal: i32) {
    if let Err(why) = world.signal(pid, signal) {
        world.log(Level::Error, &format!("pid {pid} can't be sent {}: {why}", signal_name(signal)));
    }
}
