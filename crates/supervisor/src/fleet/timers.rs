//! What the passing of time brings about: workers that are late, hang or have grown too large,
//! groups that are to be empty, and pauses that end.

use super::{Event, Fleet, Level, Stage, Worker, World};
use crate::clock::Millis;

/// Milliseconds between two looks at resident memory.
const MEMORY_CHECK_EVERY: Millis = 1_000;

/// Milliseconds by which the supervisor may look too late. If it looks later still, it was stopped or the whole machine
/// stood still: the workers are not to blame for missing heartbeats.
const STANDSTILL: Millis = 1_000;

impl Fleet {
    /// Does what was due at `now`, the moment before all channels were read. A later moment would be wrong: if the
    /// supervisor is stopped after the reading, heartbeats arrive until it goes on, and wait there unread.
    pub fn tick(&mut self, world: &mut impl World, now: Millis) {
        self.forgive_standstill(now);
        for pid in self.pids(|worker| worker.deadline().is_some_and(|deadline| deadline <= now)) {
            self.deadline_passed(world, pid);
        }
        if let Some(limit) = self.terms.supervision.watchdog {
            let is_hung = |worker: &Worker| worker.last_beat().is_some_and(|beat| beat + limit < now);
            for pid in self.pids(is_hung) {
                world.log(Level::Error, &format!("pid {pid} has not turned its event loop for {limit} ms"));
                self.happens(world, pid, Event::Hangs);
            }
        }
        self.check_memory(world, now);
        self.end_remains(world, now);
        self.tick_reload(world, now);
        self.reset_steady_slots(world, now);
        let due: Vec<usize> =
            (0..self.slots.len()).filter(|&slot| self.restart_due(slot).is_some_and(|at| at <= now)).collect();
        for slot in due {
            self.restart(world, slot);
        }
        self.last_tick = now;
    }

    /// When [`tick`](Self::tick) is due again.
    pub fn next_deadline(&self) -> Option<Millis> {
        let workers = self.workers.iter().flat_map(|worker| {
            let beat = self.terms.supervision.watchdog.zip(worker.last_beat());
            [worker.deadline(), beat.map(|(limit, beat)| beat + limit + 1)]
        });
        let slots = (0..self.slots.len()).map(|slot| self.restart_due(slot));
        let remains = self.remains.iter().map(|group| Some(group.due()));
        let memory = self.terms.supervision.max_memory.map(|_| self.next_memory_check);
        let steady = self.workers.iter().map(|worker| self.steady_at(worker));
        workers.chain(slots).chain(remains).chain(steady).chain([memory, self.reload_due()]).flatten().min()
    }

    /// When the next worker of a slot is started, once no group holds the slot.
    fn restart_due(&self, slot: usize) -> Option<Millis> {
        self.slots[slot].restart_at.filter(|_| !self.is_held(slot))
    }

    /// Asks workers that have grown too large to stop.
    fn check_memory(&mut self, world: &mut impl World, now: Millis) {
        let Some(limit) = self.terms.supervision.max_memory.filter(|_| self.next_memory_check <= now) else { return };
        self.next_memory_check = now + MEMORY_CHECK_EVERY;
        for pid in self.pids(Worker::is_serving) {
            let Some(resident) = world.resident_memory(pid).filter(|&resident| resident > limit) else { continue };
            world.log(
                Level::Warning,
                &format!("pid {pid} has {} resident, {} are allowed", size(resident), size(limit)),
            );
            self.happens(world, pid, Event::TooLarge);
        }
    }

    /// Forgets the failures of slots whose workers have run for long enough.
    fn reset_steady_slots(&mut self, world: &mut impl World, now: Millis) {
        let steady: Vec<usize> = self
            .workers
            .iter()
            .filter(|worker| self.steady_at(worker).is_some_and(|at| at <= now))
            .map(|worker| worker.slot)
            .collect();
        for &slot in &steady {
            self.slots[slot].failures = 0;
        }
        if !steady.is_empty() {
            self.show_title(world);
        }
    }

    /// When the failures of the worker's slot are forgotten.
    fn steady_at(&self, worker: &Worker) -> Option<Millis> {
        let failed = self.slots.get(worker.slot).is_some_and(|slot| slot.failures > 0);
        (failed && worker.is_serving()).then_some(worker.started_at + self.terms.supervision.steady_after)
    }

    /// Takes missing heartbeats for given where the supervisor was stopped or the machine slept: its workers probably
    /// did not run either.
    fn forgive_standstill(&mut self, now: Millis) {
        let expected = self.next_deadline().unwrap_or(now).max(self.last_tick);
        if now > expected + STANDSTILL {
            for worker in &mut self.workers {
                if let Stage::Serving { last_beat } | Stage::Ending { last_beat: Some(last_beat), .. } =
                    &mut worker.stage
                {
                    *last_beat = now;
                }
            }
        }
    }
}

/// A number of bytes as the `maxMemory` option takes it, rounded up: `210M`, or `64K` below one M.
fn size(bytes: u64) -> String {
    let (unit, name) = if bytes < 1 << 20 { (1 << 10, 'K') } else { (1 << 20, 'M') };
    format!("{}{name}", bytes.div_ceil(unit))
}
