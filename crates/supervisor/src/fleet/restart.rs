//! Starting a worker, and what follows when one exits unasked: the first start fails, or the worker is started again.

use super::worker::Worker;
use super::{Failure, Fleet, Level, Phase, Refused, Slot, World};
use crate::clock::Millis;
use crate::policy::{Exit, Verdict, is_failure};

/// Tries of a start while the system lacks memory or descriptors, before the first start or a reload fails. A restart is
/// tried for ever. A fork has been tried as often when it is refused.
pub(super) const START_TRIES: u32 = 5;
/// Milliseconds from the first try to the second; each further pause is twice as long.
const FIRST_PAUSE_AFTER_REFUSAL: Millis = 50;

/// How long to wait after so many tries that came to no process.
pub(super) fn pause_after_refusal(tries: u32) -> Millis {
    FIRST_PAUSE_AFTER_REFUSAL << (tries - 1).min(START_TRIES)
}

impl Refused {
    /// The reason, with the number of tries where there were several.
    pub(super) fn after(&self, tries: u32) -> String {
        if tries > 1 { format!("{}, tried {tries} times", self.reason) } else { self.reason.clone() }
    }
}

impl Fleet {
    /// Starts a worker that has its slot from the beginning, once no group holds that.
    pub(super) fn start(&mut self, world: &mut impl World, slot: usize) {
        if self.is_held(slot) {
            self.slots[slot].restart_at = Some(world.now());
            return self.hurry_remains(slot, world.now());
        }
        if let Err(refused) = self.spawn(world, slot) {
            self.start_refused(world, slot, &refused);
        }
    }

    /// Starts a process for a slot, and notes it.
    pub(super) fn spawn(&mut self, world: &mut impl World, slot: usize) -> Result<i32, Refused> {
        let started_at = world.now();
        let pid = world.start(slot)?;
        self.slots[slot].refusals = 0;
        world.log(Level::Debug, &format!("started pid {pid}"));
        self.workers.push(Worker::new(pid, slot, started_at, started_at + self.terms.start_timeout));
        Ok(pid)
    }

    /// Handles a start that came to no process at all, for want of memory for instance.
    fn start_refused(&mut self, world: &mut impl World, slot: usize, refused: &Refused) {
        self.slots[slot].refusals = self.slots[slot].refusals.saturating_add(1);
        let tries = self.slots[slot].refusals;
        if self.phase == Phase::Starting && refused.is_passing && tries < START_TRIES {
            self.slots[slot].restart_at = Some(world.now() + pause_after_refusal(tries));
        } else if self.phase == Phase::Starting {
            world.first_start_failed(None, &refused.after(tries), false);
            self.begin_stop(world, 1, 0);
            self.kill_all(world);
        } else {
            self.slots[slot].last_exit = Some(refused.reason.clone());
            self.pause(world, slot, &refused.reason);
        }
    }

    /// Stops everything, since a worker of the first start exited before all were ready.
    pub(super) fn fail_first_start(&mut self, world: &mut impl World, worker: &Worker, exit: Exit) {
        let late = worker.verdict() == Some(Verdict::Late);
        let reason = if late { "was not ready in time".to_owned() } else { exit.to_string() };
        world.first_start_failed(Some(worker.pid), &format!("pid {} {reason}", worker.pid), late);
        let code = if late { 124 } else { exit.code() };
        self.start_exit = Some(exit).filter(|_| !late);
        // A worker that exits before it is ready has failed, even with code 0.
        self.begin_stop(world, code.max(1), 0);
        self.kill_all(world);
    }

    /// Replaces a worker that had its slot. Where it was new in a reload, or the reload waited for it, the reload fails.
    pub(super) fn current_exited(&mut self, world: &mut impl World, worker: &Worker, exit: Exit, stderr: &str) {
        if self.is_new_in_reload(worker.pid) || (self.stops_first() && self.reload_waits_for(worker.pid)) {
            // Whatever the policy says: a reload must not leave fewer workers than it found.
            self.schedule_restart(world, worker.slot, &format!("pid {} {exit}", worker.pid));
            return self.successor_exited(world, worker, exit, stderr);
        }
        let fails_reload = self.reload_waits_for(worker.pid);
        self.replace_or_stop(world, worker, exit);
        if fails_reload {
            self.fail_reload(world, &format!("pid {} {exit}", worker.pid));
        }
    }

    /// Starts another worker in the slot, or stops everything where the terms say so.
    fn replace_or_stop(&mut self, world: &mut impl World, worker: &Worker, exit: Exit) {
        let slot = worker.slot;
        if self.promote_successor(slot) {
            return world.log(Level::Warning, &format!("pid {} {exit}, its successor is on its way", worker.pid));
        }
        // A worker that exits before it is ready has failed, even with code 0.
        let failed_to_start = worker.is_booting() || worker.verdict() == Some(Verdict::Late);
        if !self.terms.supervision.restarts(exit, worker.verdict(), failed_to_start) {
            world.log(Level::Info, &format!("pid {} {exit}, exiting", worker.pid));
            let code = if failed_to_start { exit.code().max(1) } else { exit.code() };
            if is_failure(exit, worker.verdict(), failed_to_start) {
                self.failure = Some(self.failure_of(slot, code));
            }
            return self.begin_stop(world, code, 0);
        }
        let lived = world.now().saturating_sub(worker.started_at);
        if lived >= self.terms.supervision.steady_after && !failed_to_start {
            self.slots[slot].failures = 0;
        }
        let failure = format!("pid {} {exit}", worker.pid);
        if self.terms.supervision.max_failures.is_some_and(|most| self.slots[slot].failures + 1 >= most) {
            world.log(Level::Error, &format!("{}, giving up", count_failures(self.slots[slot].failures + 1, &failure)));
            let code = exit.code().max(1);
            self.failure = Some(self.failure_of(slot, code));
            return self.begin_stop(world, code, 0);
        }
        self.schedule_restart(world, slot, &failure);
    }

    /// Describes the last exit in a slot, with which the daemon exits.
    fn failure_of(&self, slot: usize, exit_code: i32) -> Failure {
        let Slot { failures, last_exit, .. } = &self.slots[slot];
        let last_exit = last_exit.clone().unwrap_or_default();
        Failure { exit_code, last_exit, failures: failures + 1, restarts: self.restarts(), workers: self.slots.len() }
    }

    /// Counts a failure of the slot, whose next worker starts at once or after a pause.
    pub(super) fn schedule_restart(&mut self, world: &mut impl World, slot: usize, failure: &str) {
        self.slots[slot].failures = self.slots[slot].failures.saturating_add(1);
        self.pause(world, slot, failure);
    }

    /// Has the next worker of a slot start after a pause, which is longer the more went wrong.
    fn pause(&mut self, world: &mut impl World, slot: usize, failure: &str) {
        let count = self.slots[slot].failures.saturating_add(self.slots[slot].refusals);
        let delay = self.terms.supervision.delay(count);
        let line = count_failures(count, failure);
        let pause = if delay > 0 { format!(", waiting {delay} ms") } else { String::new() };
        world.log(Level::Warning, &format!("{line}{pause}"));
        self.last_failure = Some(line);
        self.slots[slot].restart_at = Some(world.now() + delay);
    }

    /// Starts the next worker of a slot after its pause.
    pub(super) fn restart(&mut self, world: &mut impl World, slot: usize) {
        // None by now, where a start that failed just before this one has ended all.
        if self.slots[slot].restart_at.take().is_none() {
            return;
        }
        if self.phase == Phase::Running {
            self.slots[slot].restarts += 1;
            world.log(Level::Info, "restarting");
        }
        self.start(world, slot);
        self.show_title(world);
    }
}

fn count_failures(count: u32, last: &str) -> String {
    format!("{count} {}: {last}", if count == 1 { "failure" } else { "failures" })
}
