//! The workers and what becomes of them: a table of phase and role against what happens, without a process in sight.
//! The kernel, the clock and the log are behind [`World`].

mod reload;
mod restart;
mod scale;
mod stop;
#[cfg(test)]
mod tests;
mod timers;

use serde::{Deserialize, Serialize};

use self::reload::Reload;
use crate::policy::{Exit, Millis, Supervision, Verdict};

/// Who waits for the result of a request: a connection of the control socket.
pub type Client = u64;

/// What the fleet does to the world. `pid`s are those that `start` gave, and not reaped yet.
pub trait World {
    fn now(&self) -> Millis;
    /// Starts a worker for a slot; Err: why not, as a sentence.
    fn start(&mut self, slot: usize) -> Result<i32, String>;
    fn signal(&mut self, pid: i32, signal: i32);
    /// Over its channel or, where it has none, by SIGTERM.
    fn ask_to_stop(&mut self, pid: i32, signal: i32);
    /// Every worker of the first start is ready.
    fn started(&mut self);
    /// The first start failed, by this worker if it was one: its stderr is what a person wants to see.
    fn start_failed(&mut self, pid: Option<i32>, reason: &str, late: bool);
    /// The end of what a worker wrote to stderr.
    fn last_words(&mut self, pid: i32) -> String;
    /// Bytes; None if it can't be told.
    fn resident(&mut self, pid: i32) -> Option<u64>;
    fn forbid_core_dumps(&mut self);
    /// Nothing is started any more: whoever wants a daemon waits for the next.
    fn ending(&mut self);
    /// The slot is no more.
    fn drop_slot(&mut self, slot: usize);
    fn reopen_logs(&mut self);
    fn reply(&mut self, client: Client, answer: Result<(), String>);
    fn say(&mut self, level: Level, text: &str);
    fn title(&mut self, text: &str);
    /// sd_notify(3), where a service manager listens.
    fn notify(&mut self, text: &str);
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    Error,
    Warning,
    Info,
    Debug,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    /// Until every worker of the first start is ready.
    Starting,
    Running,
    /// Ends with this code when the last worker has.
    Stopping {
        code: i32,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Role {
    /// The one that its slot counts on.
    Current,
    /// Started by a reload: takes the place of the current one when it is ready.
    Successor,
    /// Told to end; another has its place, or nobody shall.
    Retired,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Worker {
    pub pid: i32,
    pub slot: usize,
    pub role: Role,
    pub ready: bool,
    pub started: Millis,
    pub status: Option<String>,
    verdict: Option<Verdict>,
    /// When it is killed unless it is ready, or has ended, by then.
    deadline: Option<Millis>,
    last_beat: Option<Millis>,
    /// What would have killed it before it was ready.
    deferred: Vec<i32>,
    idle: bool,
    killed: bool,
}

/// A place for one worker at a time; its number is the worker's index.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Slot {
    /// In a row.
    pub failures: u32,
    /// In all.
    pub restarts: u32,
    pub last_exit: Option<String>,
    /// When the next worker is started, after a failure.
    restart_at: Option<Millis>,
}

/// What the fleet was told to be.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Terms {
    pub supervision: Supervision,
    pub start_timeout: Millis,
    pub stop_timeout: Millis,
    /// Ends when every worker is idle.
    pub ends_idle: bool,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Fleet {
    terms: Terms,
    pub phase: Phase,
    pub slots: Vec<Slot>,
    pub workers: Vec<Worker>,
    reload: Option<Reload>,
    /// Another reload was asked for meanwhile: what runs by then may be older than what it is to start.
    again: bool,
    #[serde(skip)]
    waiting: Vec<Client>,
    last_failure: Option<String>,
    /// How the worker ended that made the first start fail.
    pub start_exit: Option<Exit>,
    memory_at: Millis,
    /// When the clock was last looked at.
    looked_at: Millis,
}

impl Fleet {
    pub fn new(terms: Terms, now: Millis) -> Self {
        let slots = vec![Slot::default(); terms.supervision.workers];
        Self {
            terms,
            phase: Phase::Starting,
            slots,
            workers: Vec::new(),
            reload: None,
            again: false,
            waiting: Vec::new(),
            last_failure: None,
            start_exit: None,
            memory_at: now,
            looked_at: now,
        }
    }

    /// The code to end with, when all is over.
    pub fn outcome(&self) -> Option<i32> {
        match self.phase {
            Phase::Stopping { code } if self.workers.is_empty() => Some(code),
            _ => None,
        }
    }

    pub fn begin(&mut self, world: &mut impl World) {
        for slot in 0..self.slots.len() {
            if self.phase == Phase::Starting {
                self.start(world, slot, Role::Current);
            }
        }
    }

    pub fn ready(&mut self, world: &mut impl World, pid: i32) {
        let now = world.now();
        let Some(worker) = self.workers.iter_mut().find(|worker| worker.pid == pid && !worker.ready && !worker.killed)
        else {
            return;
        };
        worker.ready = true;
        worker.last_beat = Some(now);
        if worker.role == Role::Retired {
            return; // its deadline is its end's
        }
        worker.deadline = None;
        let slot = worker.slot;
        for signal in std::mem::take(&mut worker.deferred) {
            world.signal(pid, signal);
        }
        if worker.role == Role::Successor {
            worker.role = Role::Current;
            self.retire_predecessor(world, slot, pid);
        }
        if self.phase == Phase::Starting && self.workers.iter().all(|worker| worker.ready) {
            self.phase = Phase::Running;
            world.started();
        }
        if self.reload.as_ref().is_some_and(|reload| reload.waits_for == Some(pid)) {
            self.next_in_reload(world);
        }
        self.show(world);
    }

    pub fn ended(&mut self, world: &mut impl World, pid: i32, exit: Exit) {
        let Some(index) = self.workers.iter().position(|worker| worker.pid == pid) else { return };
        let worker = self.workers.remove(index);
        let words = world.last_words(pid);
        let last = words.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("").trim();
        // Of one that ended well it tells nothing.
        let description =
            if last.is_empty() || exit == Exit::Code(0) { exit.to_string() } else { format!("{exit}: {last}") };
        if let Some(slot) = self.slots.get_mut(worker.slot) {
            slot.last_exit = Some(description);
        }
        if exit.dumped_core() {
            world.forbid_core_dumps();
        }
        match (self.phase, worker.role) {
            (Phase::Starting, _) => self.fail_start(world, &worker, exit),
            (Phase::Stopping { code }, _) => self.ended_while_stopping(world, &worker, exit, code),
            (Phase::Running, Role::Current) => self.current_ended(world, &worker, exit),
            (Phase::Running, Role::Successor) => self.successor_ended(world, &worker, exit, &words),
            (Phase::Running, Role::Retired) => world.say(Level::Info, &format!("pid {pid} {exit}")),
        }
        self.show(world);
    }

    pub fn status(&mut self, pid: i32, text: String) {
        if let Some(worker) = self.worker(pid) {
            worker.status = Some(text);
        }
    }

    pub fn beat(&mut self, pid: i32, now: Millis) {
        if let Some(worker) = self.worker(pid) {
            worker.last_beat = Some(now);
        }
    }

    pub fn idle(&mut self, world: &mut impl World, pid: i32, idle: bool) {
        if let Some(worker) = self.worker(pid) {
            worker.idle = idle;
        }
        self.end_if_idle(world);
    }

    fn end_if_idle(&mut self, world: &mut impl World) {
        let mut current = self.workers.iter().filter(|worker| worker.role == Role::Current);
        if self.terms.ends_idle && self.phase == Phase::Running && current.all(|worker| worker.idle) {
            world.say(Level::Info, "idle, stopping");
            self.stop(world, 0);
        }
    }

    /// A worker ends by its own decision: its end is waited for as if we had asked.
    pub fn stopping(&mut self, world: &mut impl World, pid: i32) {
        let deadline = world.now() + self.terms.stop_timeout;
        if let Some(worker) = self.worker(pid) {
            worker.deadline.get_or_insert(deadline);
        }
    }

    /// A signal that is the workers' business.
    pub fn pass_on(&mut self, world: &mut impl World, signal: i32) {
        for worker in &mut self.workers {
            if worker.ready {
                world.signal(worker.pid, signal);
            } else {
                worker.deferred.push(signal);
            }
        }
    }

    fn worker(&mut self, pid: i32) -> Option<&mut Worker> {
        self.workers.iter_mut().find(|worker| worker.pid == pid)
    }

    fn pids(&self, which: impl Fn(&Worker) -> bool) -> Vec<i32> {
        self.workers.iter().filter(|worker| which(worker)).map(|worker| worker.pid).collect()
    }

    /// The process title: how many, and how they are.
    pub fn show(&self, world: &mut impl World) {
        let whom = match self.workers.iter().find(|worker| worker.role == Role::Current) {
            Some(worker) if self.slots.len() == 1 => format!("monitoring pid {}", worker.pid),
            _ => format!("monitoring {} workers", self.slots.len()),
        };
        let failing = self.slots.iter().any(|slot| slot.failures > 0);
        let how = self.last_failure.as_deref().filter(|_| failing).unwrap_or("healthy");
        world.title(&match self.phase {
            Phase::Stopping { .. } => "stopping".to_owned(),
            Phase::Starting => "starting".to_owned(),
            Phase::Running => format!("{whom} ({how})"),
        });
    }
}
