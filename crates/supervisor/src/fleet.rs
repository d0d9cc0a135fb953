//! The workers and what becomes of them: a table of phase and role against what happens, without a process in sight.
//! The kernel, the clock and the log are behind [`World`].

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::policy::{Exit, Millis, Supervision, Verdict, signal_name};

/// From SIGABRT, which may dump a core, to SIGKILL.
const ABORT_GRACE: Millis = 1_000;
/// How often resident memory is looked at.
const MEMORY_EVERY: Millis = 1_000;
/// A worker of which this much too late is heard had no time: we didn't run, or nothing did.
const STANDSTILL: Millis = 1_000;
/// As many as the `workers` option may be.
const MOST_WORKERS: usize = 1024;

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
    asked_to_stop: bool,
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

#[derive(Debug, Default, Serialize, Deserialize)]
struct Reload {
    queue: VecDeque<usize>,
    waits_for: Option<i32>,
    #[serde(skip)]
    clients: Vec<Client>,
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

    // ── What happens ─────────────────────────────────────────────────────────────────────

    pub fn begin(&mut self, world: &mut impl World) {
        for slot in 0..self.slots.len() {
            if self.phase == Phase::Starting {
                self.start(world, slot, Role::Current);
            }
        }
    }

    pub fn ready(&mut self, world: &mut impl World, pid: i32) {
        let now = world.now();
        let Some(worker) = self.workers.iter_mut().find(|worker| worker.pid == pid && !worker.ready) else { return };
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
        let description = if last.is_empty() { exit.to_string() } else { format!("{exit}: {last}") };
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

    /// Asks all to end, gracefully; 0: because of no signal. What is asked for once counts once.
    pub fn stop(&mut self, world: &mut impl World, signal: i32) {
        if matches!(self.phase, Phase::Stopping { .. }) {
            return;
        }
        if signal != 0 {
            world.say(Level::Info, &format!("stopping on {}", signal_name(signal)));
        }
        self.end_with(world, 0, signal);
    }

    pub fn reload(&mut self, world: &mut impl World, client: Option<Client>) {
        match self.phase {
            Phase::Running if self.reload.is_none() => self.begin_reload(world, client.into_iter().collect()),
            Phase::Running => {
                self.again = true;
                self.waiting.extend(client);
            }
            Phase::Starting => refuse(world, client, "it is starting"),
            Phase::Stopping { .. } => refuse(world, client, "it is stopping"),
        }
    }

    pub fn scale(&mut self, world: &mut impl World, to: usize) -> Result<(), String> {
        if !self.terms.supervision.scalable {
            return Err("it has no `workers` option".to_owned());
        }
        if self.phase != Phase::Running {
            return Err("it is starting or stopping".to_owned());
        }
        if !(1..=MOST_WORKERS).contains(&to) {
            return Err(format!("expected 1 to {MOST_WORKERS} workers, got {to}"));
        }
        if to != self.slots.len() {
            world.say(Level::Info, &format!("{} workers instead of {}", to, self.slots.len()));
        }
        while self.slots.len() < to {
            self.slots.push(Slot::default());
            self.start(world, self.slots.len() - 1, Role::Current);
        }
        while self.slots.len() > to {
            self.slots.pop();
            let slot = self.slots.len();
            self.leave_reload(world, slot);
            for pid in self.pids(|worker| worker.slot == slot && worker.role != Role::Retired) {
                self.retire(world, pid, 0);
            }
            world.drop_slot(slot);
        }
        self.show(world);
        Ok(())
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

    /// What is due by now. Call it after all that can be heard was heard.
    pub fn tick(&mut self, world: &mut impl World) {
        let now = world.now();
        self.forgive_standstill(now);
        for pid in self.pids(|worker| worker.deadline.is_some_and(|deadline| deadline <= now)) {
            self.overdue(world, pid);
        }
        if let Some(limit) = self.terms.supervision.watchdog {
            let hangs = |worker: &Worker| {
                worker.ready && worker.verdict.is_none() && worker.last_beat.is_some_and(|beat| beat + limit < now)
            };
            for pid in self.pids(hangs) {
                world.say(Level::Error, &format!("pid {pid} has not turned its event loop for {limit} ms"));
                self.condemn(pid, Verdict::Hung, now + ABORT_GRACE);
                world.signal(pid, libc::SIGABRT);
            }
        }
        self.look_at_memory(world, now);
        self.settle(world, now);
        let due: Vec<usize> =
            (0..self.slots.len()).filter(|&slot| self.slots[slot].restart_at.is_some_and(|at| at <= now)).collect();
        for slot in due {
            self.restart(world, slot);
        }
        self.looked_at = now;
    }

    /// When tick() has something to do again.
    pub fn next_deadline(&self) -> Option<Millis> {
        let workers = self.workers.iter().flat_map(|worker| {
            let beat = self.terms.supervision.watchdog.zip(worker.last_beat).filter(|_| worker.verdict.is_none());
            [worker.deadline, beat.map(|(limit, beat)| beat + limit + 1)]
        });
        let slots = self.slots.iter().map(|slot| slot.restart_at);
        let memory = self.terms.supervision.max_memory.map(|_| self.memory_at);
        let settled = self.workers.iter().map(|worker| self.settles_at(worker));
        workers.chain(slots).chain(settled).chain([memory]).flatten().min()
    }

    // ── Starts and ends ──────────────────────────────────────────────────────────────────

    fn start(&mut self, world: &mut impl World, slot: usize, role: Role) {
        let started = world.now();
        match world.start(slot) {
            Ok(pid) => {
                world.say(Level::Debug, &format!("started pid {pid}"));
                self.workers.push(Worker {
                    pid,
                    slot,
                    role,
                    ready: false,
                    started,
                    status: None,
                    verdict: None,
                    deadline: Some(started + self.terms.start_timeout),
                    last_beat: None,
                    deferred: Vec::new(),
                    idle: false,
                    killed: false,
                    asked_to_stop: false,
                });
                if let Some(reload) = self.reload.as_mut().filter(|_| role == Role::Successor) {
                    reload.waits_for = Some(pid);
                }
            }
            Err(reason) => self.could_not_start(world, slot, role, &reason),
        }
    }

    fn could_not_start(&mut self, world: &mut impl World, slot: usize, role: Role, reason: &str) {
        match (self.phase, role) {
            (Phase::Starting, _) => {
                world.start_failed(None, reason, false);
                self.end_with(world, 1, 0);
            }
            (_, Role::Successor) => self.fail_reload(world, reason),
            _ => {
                self.slots[slot].last_exit = Some(reason.to_owned());
                self.try_again(world, slot, reason);
            }
        }
    }

    fn fail_start(&mut self, world: &mut impl World, worker: &Worker, exit: Exit) {
        let late = worker.verdict == Some(Verdict::Late);
        let reason = if late { "was not ready in time".to_owned() } else { exit.to_string() };
        world.start_failed(Some(worker.pid), &format!("pid {} {reason}", worker.pid), late);
        let code = if late { 124 } else { exit.code() };
        self.start_exit = Some(exit).filter(|_| !late);
        // What ended before it was ready has failed, even with 0.
        self.end_with(world, code.max(1), 0);
        for pid in self.pids(|_| true) {
            self.kill(world, pid);
        }
    }

    fn current_ended(&mut self, world: &mut impl World, worker: &Worker, exit: Exit) {
        let slot = worker.slot;
        if self.reload_waits_for(worker.pid) {
            self.fail_reload(world, &format!("pid {} {exit}", worker.pid));
        }
        if let Some(successor) = self.workers.iter_mut().find(|each| each.slot == slot && each.role == Role::Successor)
        {
            successor.role = Role::Current;
            return world.say(Level::Warning, &format!("pid {} {exit}, its successor is on its way", worker.pid));
        }
        if !self.terms.supervision.restarts(exit, worker.verdict) {
            world.say(Level::Info, &format!("pid {} {exit}, exiting", worker.pid));
            return self.end_with(world, exit.code(), 0);
        }
        let ran = world.now().saturating_sub(worker.started);
        if ran >= self.terms.supervision.steady_after {
            self.slots[slot].failures = 0;
        }
        let what = format!("pid {} {exit}", worker.pid);
        if self.terms.supervision.max_failures.is_some_and(|most| self.slots[slot].failures + 1 >= most) {
            world.say(Level::Error, &format!("{}, giving up", failures(self.slots[slot].failures + 1, &what)));
            return self.end_with(world, exit.code().max(1), 0);
        }
        self.try_again(world, slot, &what);
    }

    /// One failure more; the slot's next worker starts at once, or after a pause.
    fn try_again(&mut self, world: &mut impl World, slot: usize, what: &str) {
        self.slots[slot].failures = self.slots[slot].failures.saturating_add(1);
        let count = self.slots[slot].failures;
        let delay = self.terms.supervision.delay(count);
        let line = failures(count, what);
        let pause = if delay > 0 { format!(", waiting {delay} ms") } else { String::new() };
        world.say(Level::Warning, &format!("{line}{pause}"));
        self.last_failure = Some(line);
        self.slots[slot].restart_at = Some(world.now() + delay);
    }

    fn restart(&mut self, world: &mut impl World, slot: usize) {
        self.slots[slot].restart_at = None;
        self.slots[slot].restarts += 1;
        world.say(Level::Info, "restarting");
        self.start(world, slot, Role::Current);
        self.show(world);
    }

    fn overdue(&mut self, world: &mut impl World, pid: i32) {
        let start_timeout = self.terms.start_timeout;
        let Some(worker) = self.worker(pid) else { return };
        let booting = !worker.ready && worker.role != Role::Retired && !worker.asked_to_stop;
        if booting && worker.verdict.is_none() {
            worker.verdict = Some(Verdict::Late);
            if self.phase != Phase::Starting {
                world.say(Level::Error, &format!("pid {pid} was not ready after {start_timeout} ms: killing it"));
            }
        } else {
            world.say(Level::Error, &format!("pid {pid} has not ended: killing it"));
        }
        self.kill(world, pid);
    }

    fn kill(&mut self, world: &mut impl World, pid: i32) {
        if let Some(worker) = self.worker(pid) {
            worker.deadline = None;
            worker.killed = true;
            world.signal(pid, libc::SIGKILL);
        }
    }

    fn condemn(&mut self, pid: i32, verdict: Verdict, deadline: Millis) {
        if let Some(worker) = self.worker(pid) {
            worker.verdict = Some(verdict);
            worker.deadline = Some(deadline);
        }
    }

    fn look_at_memory(&mut self, world: &mut impl World, now: Millis) {
        let Some(limit) = self.terms.supervision.max_memory.filter(|_| self.memory_at <= now) else { return };
        self.memory_at = now + MEMORY_EVERY;
        for pid in self.pids(|worker| worker.role == Role::Current && worker.ready && worker.verdict.is_none()) {
            let Some(resident) = world.resident(pid).filter(|&resident| resident > limit) else { continue };
            world.say(Level::Warning, &format!("pid {pid} has {resident} bytes resident, {limit} are allowed"));
            self.condemn(pid, Verdict::TooLarge, now + self.terms.stop_timeout);
            world.ask_to_stop(pid, 0);
        }
    }

    /// Those that have run long enough are healthy again.
    fn settle(&mut self, world: &mut impl World, now: Millis) {
        let settled: Vec<usize> = self
            .workers
            .iter()
            .filter(|worker| self.settles_at(worker).is_some_and(|at| at <= now))
            .map(|worker| worker.slot)
            .collect();
        for &slot in &settled {
            self.slots[slot].failures = 0;
        }
        if !settled.is_empty() {
            self.show(world);
        }
    }

    fn settles_at(&self, worker: &Worker) -> Option<Millis> {
        let failed = self.slots.get(worker.slot).is_some_and(|slot| slot.failures > 0);
        (failed && worker.ready && worker.role == Role::Current)
            .then_some(worker.started + self.terms.supervision.steady_after)
    }

    /// If nothing was looked at for long, we were stopped, or the machine slept: the workers as well, perhaps.
    fn forgive_standstill(&mut self, now: Millis) {
        let expected = self.next_deadline().unwrap_or(now).max(self.looked_at);
        if now > expected + STANDSTILL {
            for worker in &mut self.workers {
                worker.last_beat = worker.last_beat.map(|_| now);
            }
        }
    }

    // ── Stopping ─────────────────────────────────────────────────────────────────────────

    /// Nothing is started from here on.
    fn end_with(&mut self, world: &mut impl World, code: i32, signal: i32) {
        self.phase = Phase::Stopping { code };
        world.notify("STOPPING=1");
        for slot in &mut self.slots {
            slot.restart_at = None;
        }
        if self.reload.is_some() {
            self.again = false;
            self.fail_reload(world, "it is stopping");
        }
        for client in std::mem::take(&mut self.waiting) {
            world.reply(client, Err("it is stopping".to_owned()));
        }
        for pid in self.pids(|worker| !worker.asked_to_stop) {
            self.retire(world, pid, signal);
        }
    }

    /// Asks a worker to end, and counts on it no more.
    fn retire(&mut self, world: &mut impl World, pid: i32, signal: i32) {
        let deadline = world.now() + self.terms.stop_timeout;
        let Some(worker) = self.worker(pid) else { return };
        worker.role = Role::Retired;
        worker.asked_to_stop = true;
        worker.deadline = Some(deadline);
        if worker.ready {
            world.ask_to_stop(pid, signal);
        } else {
            world.signal(pid, libc::SIGTERM); // it has no handler yet, and nothing to finish
        }
    }

    fn ended_while_stopping(&mut self, world: &mut impl World, worker: &Worker, exit: Exit, code: i32) {
        world.say(Level::Info, &format!("pid {} {exit}", worker.pid));
        let own = match exit {
            _ if worker.killed => 1,
            // Nothing else was asked of it.
            Exit::Signal { number: libc::SIGTERM | libc::SIGINT | libc::SIGQUIT | libc::SIGHUP, .. } => 0,
            other => other.code(),
        };
        self.phase = Phase::Stopping { code: if code == 0 { own } else { code } };
    }

    // ── Reload ───────────────────────────────────────────────────────────────────────────

    fn begin_reload(&mut self, world: &mut impl World, clients: Vec<Client>) {
        world.say(Level::Info, "reloading");
        world.notify("RELOADING=1");
        world.reopen_logs();
        let queue = (0..self.slots.len()).collect();
        self.reload = Some(Reload { queue, waits_for: None, clients });
        self.next_in_reload(world);
    }

    fn next_in_reload(&mut self, world: &mut impl World) {
        let Some(reload) = &mut self.reload else { return };
        reload.waits_for = None;
        let Some(slot) = reload.queue.pop_front() else { return self.finish_reload(world) };
        // One that waits for its next try gets it now, and one that boots is as new as can be.
        let booting =
            self.workers.iter().find(|worker| worker.slot == slot && worker.role == Role::Current && !worker.ready);
        match booting.map(|worker| worker.pid) {
            Some(pid) => reload.waits_for = Some(pid),
            None => {
                self.slots[slot].restart_at = None;
                self.start(world, slot, Role::Successor);
            }
        }
    }

    fn finish_reload(&mut self, world: &mut impl World) {
        let Some(reload) = self.reload.take() else { return };
        world.say(Level::Info, "reloaded");
        world.notify("READY=1");
        for client in reload.clients {
            world.reply(client, Ok(()));
        }
        self.reload_again(world);
    }

    fn successor_ended(&mut self, world: &mut impl World, worker: &Worker, exit: Exit, words: &str) {
        let how = match worker.verdict {
            Some(Verdict::Late) => format!("was not ready after {} ms", self.terms.start_timeout),
            _ => exit.to_string(),
        };
        let text = words.trim_end();
        let wrote = if text.is_empty() { String::new() } else { format!("; it wrote:\n{text}") };
        self.fail_reload(world, &format!("the new worker (pid {}) {how}{wrote}", worker.pid));
    }

    fn fail_reload(&mut self, world: &mut impl World, reason: &str) {
        let Some(reload) = self.reload.take() else { return };
        let first = reason.lines().next().unwrap_or("").trim_end_matches("; it wrote:");
        world.say(Level::Error, &format!("the reload failed: {first}; those that run go on"));
        if self.phase == Phase::Running {
            world.notify("READY=1");
        }
        for client in reload.clients {
            world.reply(client, Err(reason.to_owned()));
        }
        // A slot that had nobody keeps on trying.
        for slot in 0..self.slots.len() {
            let has_worker = self.workers.iter().any(|worker| worker.slot == slot && worker.role != Role::Retired);
            if self.phase == Phase::Running && !has_worker && self.slots[slot].restart_at.is_none() {
                self.try_again(world, slot, first);
            }
        }
        self.reload_again(world);
    }

    fn reload_again(&mut self, world: &mut impl World) {
        if std::mem::take(&mut self.again) && self.phase == Phase::Running {
            let clients = std::mem::take(&mut self.waiting);
            self.begin_reload(world, clients);
        }
    }

    fn retire_predecessor(&mut self, world: &mut impl World, slot: usize, successor: i32) {
        for pid in self.pids(|worker| worker.slot == slot && worker.role == Role::Current && worker.pid != successor) {
            world.say(Level::Info, &format!("pid {successor} takes the place of pid {pid}"));
            self.retire(world, pid, 0);
        }
    }

    /// A slot that is going needs no successor.
    fn leave_reload(&mut self, world: &mut impl World, slot: usize) {
        let Some(reload) = &mut self.reload else { return };
        reload.queue.retain(|&each| each != slot);
        let waits_for = reload.waits_for;
        if self.workers.iter().any(|worker| worker.slot == slot && Some(worker.pid) == waits_for) {
            self.next_in_reload(world);
        }
    }

    fn reload_waits_for(&self, pid: i32) -> bool {
        self.reload.as_ref().is_some_and(|reload| reload.waits_for == Some(pid))
    }

    // ── Looking ──────────────────────────────────────────────────────────────────────────

    fn worker(&mut self, pid: i32) -> Option<&mut Worker> {
        self.workers.iter_mut().find(|worker| worker.pid == pid)
    }

    fn pids(&self, which: impl Fn(&Worker) -> bool) -> Vec<i32> {
        self.workers.iter().filter(|worker| which(worker)).map(|worker| worker.pid).collect()
    }

    pub fn is_reloading(&self) -> bool {
        self.reload.is_some()
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

fn failures(count: u32, what: &str) -> String {
    format!("{count} {}: {what}", if count == 1 { "failure" } else { "failures" })
}

fn refuse(world: &mut impl World, client: Option<Client>, why: &str) {
    match client {
        Some(client) => world.reply(client, Err(why.to_owned())),
        None => world.say(Level::Warning, &format!("no reload: {why}")),
    }
}
