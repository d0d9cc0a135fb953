//! Replacing every worker by a successor. The first predecessor is asked to stop when its successor is ready and has
//! settled, each later one when its successor is ready. A new worker that exits before the reload is over fails it. Where
//! two workers can't be beside each other, a signal has the program reload itself, or each worker is stopped first.
//!
//! | step of the reload | the new worker is ready      | it exits                     | the time is over |
//! |--------------------|------------------------------|------------------------------|------------------|
//! | Emptying           |                              |                              |                  |
//! | Refused, Held      |                              |                              | tries to start   |
//! | Booting            | Settling, or it takes over   | fails                        | it is killed     |
//! | Settling           |                              | fails                        | it takes over    |
//! | Watching           |                              | fails, and the slot refilled | succeeds         |

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::remains::LOOK_EVERY;
use super::worker::{Event, Worker};
use super::{
    Announcement, ClientId, Fleet, Level, Phase, ReadyBy, ReloadWay, START_TRIES, World, pause_after_refusal, send,
};
use crate::clock::Millis;
use crate::policy::{Exit, Verdict};

/// A reload under way.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Reload {
    /// Slots whose workers are still to be replaced.
    queue: VecDeque<usize>,
    step: Step,
    way: ReloadWay,
    /// The new workers that have taken over.
    new: Vec<i32>,
    /// Clients that wait for the result.
    #[serde(skip)]
    clients: Vec<ClientId>,
}

/// What a reload waits for.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
enum Step {
    /// The system to have room for a new process, after so many tries.
    Refused { slot: usize, tries: u32, again_at: Millis },
    /// The slot's worker, which was asked to stop, to exit: the next one starts then.
    Emptying { slot: usize },
    /// The group of the slot's last worker to be empty: it may hold the port that the new one binds.
    Held { slot: usize, look_at: Millis },
    /// A new worker to be ready.
    Booting { pid: i32, place: Place },
    /// The first new worker to have been ready for a while.
    Settling { pid: i32, place: Place, until: Millis },
    /// Nothing but time, in which no new worker may exit.
    Watching { until: Millis },
}

/// Where a new worker waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Place {
    /// Beside its predecessor, which still has the slot.
    Beside,
    /// In its slot, which has no other worker.
    Alone,
}

impl Fleet {
    /// Starts a reload, or has another follow the one that is under way.
    pub fn reload(&mut self, world: &mut impl World, client: Option<ClientId>) {
        match self.phase {
            Phase::Running if self.reload.is_none() => self.begin_reload(world, client.into_iter().collect()),
            Phase::Running => {
                self.reload_again = true;
                self.waiting_clients.extend(client);
            }
            Phase::Starting => refuse(world, client, "it is starting"),
            Phase::Stopping { .. } => refuse(world, client, "it is stopping"),
        }
    }

    fn begin_reload(&mut self, world: &mut impl World, clients: Vec<ClientId>) {
        let way = world.reload_way();
        if let ReloadWay::Refused(why) = &way {
            world.log(Level::Error, &format!("no reload: {why}"));
            return clients.into_iter().for_each(|client| world.answer(client, Err(why.clone())));
        }
        world.log(Level::Info, "reloading");
        world.announce(Announcement::Reloading { workers: self.slots.len() });
        world.reopen_logs();
        let (mut queue, mut new, mut until) = ((0..self.slots.len()).collect(), Vec::new(), world.now());
        if let ReloadWay::Signal(signal) = way {
            // None is replaced. Each is watched as a new one is: the signal may end a program that doesn't expect it.
            queue = VecDeque::new();
            new = self.pids(Worker::is_serving);
            until += self.terms.supervision.settle;
            for &pid in &new {
                send(world, pid, signal);
            }
        }
        self.reload = Some(Reload { queue, step: Step::Watching { until }, way, new, clients });
        if self.reload.as_ref().is_some_and(|reload| !reload.queue.is_empty()) {
            self.next_in_reload(world);
        }
    }

    /// Replaces the worker of the next slot or, after the last, waits whether the new ones stay.
    fn next_in_reload(&mut self, world: &mut impl World) {
        let until = world.now() + self.terms.supervision.settle;
        let Some(reload) = &mut self.reload else { return };
        reload.step = Step::Watching { until };
        let Some(slot) = reload.queue.pop_front() else {
            if reload.new.is_empty() || until <= world.now() {
                self.finish_reload(world);
            }
            return;
        };
        self.start_successor(world, slot, 1);
    }

    fn start_successor(&mut self, world: &mut impl World, slot: usize, tries: u32) {
        self.slots[slot].restart_at = None; // a slot in its pause gets a worker now
        let booting = self.workers.iter().find(|worker| worker.slot == slot && worker.is_booting());
        let (started, place) = match booting {
            // A worker that boots is new enough: wait for it, and start no other.
            Some(worker) => (Ok(worker.pid), Place::Alone),
            None if self.counts_on(slot) && self.stops_first() => return self.empty_slot(world, slot),
            None if self.counts_on(slot) => (self.spawn(world, slot), Place::Beside),
            None if self.is_held(slot) => return self.wait_for_slot(world, slot),
            None => (self.spawn(world, slot), Place::Alone),
        };
        let step = match started {
            Ok(pid) => Step::Booting { pid, place },
            Err(refused) if refused.is_passing && tries < START_TRIES => {
                Step::Refused { slot, tries, again_at: world.now() + pause_after_refusal(tries) }
            }
            Err(refused) => {
                self.fail_reload(world, &refused.after(tries));
                return self.reload_if_asked_again(world);
            }
        };
        if let Some(reload) = &mut self.reload {
            reload.step = step;
        }
    }

    /// Asks the worker of the slot to stop, and waits until it has exited.
    fn empty_slot(&mut self, world: &mut impl World, slot: usize) {
        if let Some(reload) = &mut self.reload {
            reload.step = Step::Emptying { slot };
        }
        for pid in self.pids(|worker| worker.slot == slot && !worker.is_retired()) {
            self.happens(world, pid, Event::Retire);
        }
    }

    /// Starts the next worker of a slot that the reload empties, once it has none.
    pub(super) fn left_in_reload(&mut self, world: &mut impl World, slot: usize) {
        if self.reload_empties(slot) && !self.workers.iter().any(|worker| worker.slot == slot) {
            self.start_successor(world, slot, 1);
        }
    }

    /// Whether the reload waits for a slot's worker to exit.
    pub(super) fn reload_empties(&self, slot: usize) -> bool {
        matches!(self.reload.as_ref().map(|reload| reload.step), Some(Step::Emptying { slot: each }) if each == slot)
    }

    /// Whether the reload under way stops each worker before it starts the next.
    pub(super) fn stops_first(&self) -> bool {
        self.reload.as_ref().is_some_and(|reload| reload.way == ReloadWay::Restart)
    }

    /// Waits until no group holds the slot.
    fn wait_for_slot(&mut self, world: &mut impl World, slot: usize) {
        let now = world.now();
        self.hurry_remains(slot, now);
        if let Some(reload) = &mut self.reload {
            reload.step = Step::Held { slot, look_at: now + LOOK_EVERY };
        }
    }

    /// Goes on when the new worker is ready: at once, or when it has settled.
    pub(super) fn ready_in_reload(&mut self, world: &mut impl World, pid: i32, by: ReadyBy) {
        let settle = self.terms.supervision.settle;
        let Some(reload) = &mut self.reload else { return };
        let Step::Booting { pid: waits_for, place } = reload.step else { return };
        if waits_for != pid {
            return;
        }
        if by == ReadyBy::Program || settle == 0 || !reload.new.is_empty() {
            self.hand_over(world, pid);
        } else {
            reload.step = Step::Settling { pid, place, until: world.now() + settle };
        }
    }

    /// Gives the slot to the new worker, and asks the old one to stop.
    fn hand_over(&mut self, world: &mut impl World, pid: i32) {
        let Some(slot) = self.worker(pid).map(|worker| worker.slot) else { return };
        let Some(reload) = &mut self.reload else { return };
        reload.new.push(pid);
        for old in self.pids(|worker| worker.slot == slot && !worker.is_retired() && worker.pid != pid) {
            world.log(Level::Info, &format!("pid {pid} takes the place of pid {old}"));
            self.happens(world, old, Event::Retire);
        }
        self.next_in_reload(world);
    }

    /// Does what is due in the reload.
    pub(super) fn tick_reload(&mut self, world: &mut impl World, now: Millis) {
        let Some(reload) = self.reload.as_ref().filter(|_| self.reload_due().is_some_and(|due| due <= now)) else {
            return;
        };
        match reload.step {
            Step::Refused { slot, tries, .. } => self.start_successor(world, slot, tries + 1),
            Step::Held { slot, .. } => self.start_successor(world, slot, 1),
            Step::Settling { pid, .. } => self.hand_over(world, pid),
            Step::Watching { .. } => self.finish_reload(world),
            Step::Booting { .. } | Step::Emptying { .. } => {}
        }
    }

    /// When [`tick_reload`](Self::tick_reload) has something to do. A worker that is to exit does not settle: its exit
    /// fails the reload.
    pub(super) fn reload_due(&self) -> Option<Millis> {
        match self.reload.as_ref()?.step {
            Step::Refused { again_at, .. } => Some(again_at),
            Step::Held { look_at, .. } => Some(look_at),
            Step::Settling { pid, until, .. } => {
                self.workers.iter().any(|worker| worker.pid == pid && worker.is_serving()).then_some(until)
            }
            Step::Watching { until } => Some(until),
            Step::Booting { .. } | Step::Emptying { .. } => None,
        }
    }

    fn finish_reload(&mut self, world: &mut impl World) {
        let Some(reload) = self.reload.take() else { return };
        world.log(Level::Info, "reloaded");
        world.announce(Announcement::Ready);
        for client in reload.clients {
            world.answer(client, Ok(()));
        }
        self.reload_if_asked_again(world);
    }

    /// Fails the reload, since a new worker exited too early.
    pub(super) fn successor_exited(&mut self, world: &mut impl World, worker: &Worker, exit: Exit, stderr: &str) {
        let how = match worker.verdict() {
            Some(Verdict::Late) => format!("was not ready after {} ms", self.terms.start_timeout),
            _ => exit.to_string(),
        };
        let stderr = stderr.trim_end();
        let wrote = if stderr.is_empty() { String::new() } else { format!("; it wrote:\n{stderr}") };
        let is_old = matches!(self.reload.as_ref().map(|reload| &reload.way), Some(ReloadWay::Signal(_)));
        let who = if is_old { "the worker" } else { "the new worker" };
        self.fail_reload(world, &format!("{who} (pid {}) {how}{wrote}", worker.pid));
    }

    /// Ends the reload under way with a failure: the workers that have their slots go on, and empty slots are filled.
    pub(super) fn fail_reload(&mut self, world: &mut impl World, reason: &str) {
        let successor = self.successor();
        let Some(reload) = self.reload.take() else { return };
        let first_line = reason.lines().next().unwrap_or("").trim_end_matches("; it wrote:");
        world.log(Level::Error, &format!("the reload failed: {first_line}; those that run go on"));
        if self.phase == Phase::Running {
            world.announce(Announcement::Ready);
            if let Some(pid) = successor {
                self.happens(world, pid, Event::Retire);
            }
        }
        for client in reload.clients {
            world.answer(client, Err(reason.to_owned()));
        }
        for slot in 0..self.slots.len() {
            if self.phase == Phase::Running && !self.counts_on(slot) && self.slots[slot].restart_at.is_none() {
                self.schedule_restart(world, slot, first_line);
            }
        }
    }

    /// Starts the reload that was asked for during the last one. Not before it is known what a worker has left that exited
    /// just now: that may hold the slot.
    pub(super) fn reload_if_asked_again(&mut self, world: &mut impl World) {
        if self.reload.is_none() && std::mem::take(&mut self.reload_again) && self.phase == Phase::Running {
            let clients = std::mem::take(&mut self.waiting_clients);
            self.begin_reload(world, clients);
        }
    }

    /// Leaves a slot that was removed out of the reload.
    pub(super) fn drop_slot_from_reload(&mut self, world: &mut impl World, slot: usize) {
        let in_slot = self.pids(|worker| worker.slot == slot);
        let Some(reload) = &mut self.reload else { return };
        reload.queue.retain(|&each| each != slot);
        reload.new.retain(|pid| !in_slot.contains(pid));
        let is_at_slot = match reload.step {
            Step::Refused { slot: each, .. } | Step::Held { slot: each, .. } | Step::Emptying { slot: each } => {
                each == slot
            }
            Step::Booting { pid, .. } | Step::Settling { pid, .. } => in_slot.contains(&pid),
            Step::Watching { .. } => false,
        };
        if is_at_slot {
            self.next_in_reload(world);
        }
    }

    /// The new worker that waits beside its predecessor.
    pub(super) fn successor(&self) -> Option<i32> {
        match self.reload.as_ref()?.step {
            Step::Booting { pid, place: Place::Beside } | Step::Settling { pid, place: Place::Beside, .. } => Some(pid),
            _ => None,
        }
    }

    /// Gives the slot to the successor that waits there, since its predecessor has exited.
    pub(super) fn promote_successor(&mut self, slot: usize) -> bool {
        let successor = self.successor();
        let is_there = self.workers.iter().any(|worker| Some(worker.pid) == successor && worker.slot == slot);
        if let Some(Step::Booting { place, .. } | Step::Settling { place, .. }) =
            self.reload.as_mut().filter(|_| is_there).map(|reload| &mut reload.step)
        {
            *place = Place::Alone;
        }
        is_there
    }

    /// Whether a worker that has its slot is the one that the reload waits for to be ready.
    pub(super) fn reload_waits_for(&self, pid: i32) -> bool {
        matches!(self.reload.as_ref().map(|reload| reload.step), Some(Step::Booting { pid: each, .. }) if each == pid)
    }

    /// Whether a worker that has its slot got ready in the reload under way.
    pub(super) fn is_new_in_reload(&self, pid: i32) -> bool {
        self.reload.as_ref().is_some_and(|reload| {
            reload.new.contains(&pid) || matches!(reload.step, Step::Settling { pid: each, .. } if each == pid)
        })
    }

    /// Whether a reload is under way.
    pub fn is_reloading(&self) -> bool {
        self.reload.is_some()
    }
}

fn refuse(world: &mut impl World, client: Option<ClientId>, why: &str) {
    match client {
        Some(client) => world.answer(client, Err(why.to_owned())),
        None => world.log(Level::Warning, &format!("no reload: {why}")),
    }
}
