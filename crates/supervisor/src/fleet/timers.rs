//! What is due: hung, late and large workers, pauses that are over.

use super::{Fleet, Level, Role, Worker, World};
use crate::policy::{Millis, Verdict};

/// From SIGABRT, which may dump a core, to SIGKILL.
const ABORT_GRACE: Millis = 1_000;

/// How often resident memory is looked at.
const MEMORY_EVERY: Millis = 1_000;

/// A worker of which this much too late is heard had no time: we didn't run, or nothing did.
const STANDSTILL: Millis = 1_000;

impl Fleet {
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
            let beat = self
                .terms
                .supervision
                .watchdog
                .zip(worker.last_beat)
                .filter(|_| worker.ready && worker.verdict.is_none());
            [worker.deadline, beat.map(|(limit, beat)| beat + limit + 1)]
        });
        let slots = self.slots.iter().map(|slot| slot.restart_at);
        let memory = self.terms.supervision.max_memory.map(|_| self.memory_at);
        let settled = self.workers.iter().map(|worker| self.settles_at(worker));
        workers.chain(slots).chain(settled).chain([memory]).flatten().min()
    }

    pub(super) fn condemn(&mut self, pid: i32, verdict: Verdict, deadline: Millis) {
        if let Some(worker) = self.worker(pid) {
            worker.verdict = Some(verdict);
            worker.deadline = Some(deadline);
        }
    }

    pub(super) fn look_at_memory(&mut self, world: &mut impl World, now: Millis) {
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
    pub(super) fn settle(&mut self, world: &mut impl World, now: Millis) {
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

    pub(super) fn settles_at(&self, worker: &Worker) -> Option<Millis> {
        let failed = self.slots.get(worker.slot).is_some_and(|slot| slot.failures > 0);
        (failed && worker.ready && worker.role == Role::Current)
            .then_some(worker.started + self.terms.supervision.steady_after)
    }

    /// If nothing was looked at for long, we were stopped, or the machine slept: the workers as well, perhaps.
    pub(super) fn forgive_standstill(&mut self, now: Millis) {
        let expected = self.next_deadline().unwrap_or(now).max(self.looked_at);
        if now > expected + STANDSTILL {
            for worker in &mut self.workers {
                worker.last_beat = worker.last_beat.map(|_| now);
            }
        }
    }
}
