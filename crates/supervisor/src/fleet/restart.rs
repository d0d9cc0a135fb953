//! Starts, and ends that were not asked for.

use super::{Fleet, Level, Phase, Role, Worker, World};
use crate::policy::{Exit, Verdict};

impl Fleet {
    pub(super) fn start(&mut self, world: &mut impl World, slot: usize, role: Role) {
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
                });
                if let Some(reload) = self.reload.as_mut().filter(|_| role == Role::Successor) {
                    reload.waits_for = Some(pid);
                }
            }
            Err(reason) => self.could_not_start(world, slot, role, &reason),
        }
    }

    pub(super) fn could_not_start(&mut self, world: &mut impl World, slot: usize, role: Role, reason: &str) {
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

    pub(super) fn fail_start(&mut self, world: &mut impl World, worker: &Worker, exit: Exit) {
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

    pub(super) fn current_ended(&mut self, world: &mut impl World, worker: &Worker, exit: Exit) {
        let is_awaited = self.reload_waits_for(worker.pid);
        self.replace_or_end(world, worker, exit);
        if is_awaited {
            self.fail_reload(world, &format!("pid {} {exit}", worker.pid));
        }
    }

    fn replace_or_end(&mut self, world: &mut impl World, worker: &Worker, exit: Exit) {
        let slot = worker.slot;
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
    pub(super) fn try_again(&mut self, world: &mut impl World, slot: usize, what: &str) {
        self.slots[slot].failures = self.slots[slot].failures.saturating_add(1);
        let count = self.slots[slot].failures;
        let delay = self.terms.supervision.delay(count);
        let line = failures(count, what);
        let pause = if delay > 0 { format!(", waiting {delay} ms") } else { String::new() };
        world.say(Level::Warning, &format!("{line}{pause}"));
        self.last_failure = Some(line);
        self.slots[slot].restart_at = Some(world.now() + delay);
    }

    pub(super) fn restart(&mut self, world: &mut impl World, slot: usize) {
        self.slots[slot].restart_at = None;
        self.slots[slot].restarts += 1;
        world.say(Level::Info, "restarting");
        self.start(world, slot, Role::Current);
        self.show(world);
    }
}

fn failures(count: u32, what: &str) -> String {
    format!("{count} {}: {what}", if count == 1 { "failure" } else { "failures" })
}
