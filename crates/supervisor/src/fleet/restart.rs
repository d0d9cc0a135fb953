//! Starting a worker, and what follows when one exits unasked: the first start fails, or the worker is started again.

use super::{Fleet, Level, Phase, Role, Worker, World};
use crate::policy::{Exit, Verdict};

impl Fleet {
    /// Starts a worker for a slot.
    pub(super) fn start(&mut self, world: &mut impl World, slot: usize, role: Role) {
        let started_at = world.now();
        match world.start(slot) {
            Ok(pid) => {
                world.log(Level::Debug, &format!("started pid {pid}"));
                self.workers.push(Worker {
                    pid,
                    slot,
                    role,
                    ready: false,
                    started_at,
                    status: None,
                    verdict: None,
                    deadline: Some(started_at + self.terms.start_timeout),
                    last_beat: None,
                    deferred_signals: Vec::new(),
                    idle: false,
                    killed: false,
                });
                if let Some(reload) = self.reload.as_mut().filter(|_| role == Role::Successor) {
                    reload.waits_for = Some(pid);
                }
            }
            Err(reason) => self.start_refused(world, slot, role, &reason),
        }
    }

    /// Handles a start that came to no process at all, for want of memory for instance.
    fn start_refused(&mut self, world: &mut impl World, slot: usize, role: Role, reason: &str) {
        match (self.phase, role) {
            (Phase::Starting, _) => {
                world.first_start_failed(None, reason, false);
                self.begin_stop(world, 1, 0);
            }
            (_, Role::Successor) => self.fail_reload(world, reason),
            _ => {
                self.slots[slot].last_exit = Some(reason.to_owned());
                self.schedule_restart(world, slot, reason);
            }
        }
    }

    /// Stops everything, since a worker of the first start exited before all were ready.
    pub(super) fn fail_first_start(&mut self, world: &mut impl World, worker: &Worker, exit: Exit) {
        let late = worker.verdict == Some(Verdict::Late);
        let reason = if late { "was not ready in time".to_owned() } else { exit.to_string() };
        world.first_start_failed(Some(worker.pid), &format!("pid {} {reason}", worker.pid), late);
        let code = if late { 124 } else { exit.code() };
        self.start_exit = Some(exit).filter(|_| !late);
        // A worker that exits before it is ready has failed, even with code 0.
        self.begin_stop(world, code.max(1), 0);
        for pid in self.pids(|_| true) {
            self.kill(world, pid);
        }
    }

    /// Replaces a current worker that exited; a reload that waited for it to get ready fails.
    pub(super) fn current_exited(&mut self, world: &mut impl World, worker: &Worker, exit: Exit) {
        let fails_reload = self.reload_waits_for(worker.pid);
        self.replace_or_stop(world, worker, exit);
        if fails_reload {
            self.fail_reload(world, &format!("pid {} {exit}", worker.pid));
        }
    }

    /// Starts another worker in the slot, or stops everything where the terms say so.
    fn replace_or_stop(&mut self, world: &mut impl World, worker: &Worker, exit: Exit) {
        let slot = worker.slot;
        if let Some(successor) = self.workers.iter_mut().find(|each| each.slot == slot && each.role == Role::Successor)
        {
            successor.role = Role::Current;
            return world.log(Level::Warning, &format!("pid {} {exit}, its successor is on its way", worker.pid));
        }
        if !self.terms.supervision.restarts(exit, worker.verdict) {
            world.log(Level::Info, &format!("pid {} {exit}, exiting", worker.pid));
            return self.begin_stop(world, exit.code(), 0);
        }
        let lived = world.now().saturating_sub(worker.started_at);
        if lived >= self.terms.supervision.steady_after {
            self.slots[slot].failures = 0;
        }
        let failure = format!("pid {} {exit}", worker.pid);
        if self.terms.supervision.max_failures.is_some_and(|most| self.slots[slot].failures + 1 >= most) {
            world.log(Level::Error, &format!("{}, giving up", count_failures(self.slots[slot].failures + 1, &failure)));
            return self.begin_stop(world, exit.code().max(1), 0);
        }
        self.schedule_restart(world, slot, &failure);
    }

    /// Counts a failure of the slot, whose next worker starts at once or after a pause.
    pub(super) fn schedule_restart(&mut self, world: &mut impl World, slot: usize, failure: &str) {
        self.slots[slot].failures = self.slots[slot].failures.saturating_add(1);
        let count = self.slots[slot].failures;
        let delay = self.terms.supervision.delay(count);
        let line = count_failures(count, failure);
        let pause = if delay > 0 { format!(", waiting {delay} ms") } else { String::new() };
        world.log(Level::Warning, &format!("{line}{pause}"));
        self.last_failure = Some(line);
        self.slots[slot].restart_at = Some(world.now() + delay);
    }

    /// Starts the next worker of a slot after its pause.
    pub(super) fn restart(&mut self, world: &mut impl World, slot: usize) {
        self.slots[slot].restart_at = None;
        self.slots[slot].restarts += 1;
        world.log(Level::Info, "restarting");
        self.start(world, slot, Role::Current);
        self.show_title(world);
    }
}

fn count_failures(count: u32, last: &str) -> String {
    format!("{count} {}: {last}", if count == 1 { "failure" } else { "failures" })
}
