//! Replacing every worker by a successor, which is ready before its predecessor is asked to stop.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::{ClientId, Fleet, Level, Phase, Role, Worker, World};
use crate::policy::{Exit, Verdict};

/// A reload under way.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Reload {
    /// Slots whose workers are still to be replaced.
    queue: VecDeque<usize>,
    /// The worker that is to get ready next.
    pub(super) waits_for: Option<i32>,
    /// Clients that wait for the result.
    #[serde(skip)]
    clients: Vec<ClientId>,
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
        world.log(Level::Info, "reloading");
        world.notify("RELOADING=1");
        world.reopen_logs();
        let queue = (0..self.slots.len()).collect();
        self.reload = Some(Reload { queue, waits_for: None, clients });
        self.next_in_reload(world);
    }

    /// Replaces the worker of the next slot.
    pub(super) fn next_in_reload(&mut self, world: &mut impl World) {
        let Some(reload) = &mut self.reload else { return };
        reload.waits_for = None;
        let Some(slot) = reload.queue.pop_front() else { return self.finish_reload(world) };
        // A slot in its pause gets a worker now. A worker that boots is new enough: wait for it, and start no other.
        let booting =
            self.workers.iter().find(|worker| worker.slot == slot && worker.role == Role::Current && !worker.ready);
        if let Some(worker) = booting {
            reload.waits_for = Some(worker.pid);
        } else {
            self.slots[slot].restart_at = None;
            self.start(world, slot, Role::Successor);
        }
    }

    fn finish_reload(&mut self, world: &mut impl World) {
        let Some(reload) = self.reload.take() else { return };
        world.log(Level::Info, "reloaded");
        world.notify("READY=1");
        for client in reload.clients {
            world.answer(client, Ok(()));
        }
        self.reload_if_asked_again(world);
    }

    /// Fails the reload, since the new worker exited before it was ready.
    pub(super) fn successor_exited(&mut self, world: &mut impl World, worker: &Worker, exit: Exit, stderr: &str) {
        let how = match worker.verdict {
            Some(Verdict::Late) => format!("was not ready after {} ms", self.terms.start_timeout),
            _ => exit.to_string(),
        };
        let stderr = stderr.trim_end();
        let wrote = if stderr.is_empty() { String::new() } else { format!("; it wrote:\n{stderr}") };
        self.fail_reload(world, &format!("the new worker (pid {}) {how}{wrote}", worker.pid));
    }

    /// Ends the reload under way with a failure; the workers that run go on.
    pub(super) fn fail_reload(&mut self, world: &mut impl World, reason: &str) {
        let Some(reload) = self.reload.take() else { return };
        let first_line = reason.lines().next().unwrap_or("").trim_end_matches("; it wrote:");
        world.log(Level::Error, &format!("the reload failed: {first_line}; those that run go on"));
        if self.phase == Phase::Running {
            world.notify("READY=1");
        }
        for client in reload.clients {
            world.answer(client, Err(reason.to_owned()));
        }
        // The successor was to fill a slot without a worker, in its pause: pause again, and try again.
        for slot in 0..self.slots.len() {
            let has_worker = self.workers.iter().any(|worker| worker.slot == slot && worker.role != Role::Retired);
            if self.phase == Phase::Running && !has_worker && self.slots[slot].restart_at.is_none() {
                self.schedule_restart(world, slot, first_line);
            }
        }
        self.reload_if_asked_again(world);
    }

    fn reload_if_asked_again(&mut self, world: &mut impl World) {
        if std::mem::take(&mut self.reload_again) && self.phase == Phase::Running {
            let clients = std::mem::take(&mut self.waiting_clients);
            self.begin_reload(world, clients);
        }
    }

    /// Asks the worker whose place a successor has taken to stop.
    pub(super) fn retire_predecessor(&mut self, world: &mut impl World, slot: usize, successor: i32) {
        for pid in self.pids(|worker| worker.slot == slot && worker.role == Role::Current && worker.pid != successor) {
            world.log(Level::Info, &format!("pid {successor} takes the place of pid {pid}"));
            self.retire(world, pid, 0);
        }
    }

    /// Leaves a slot that was removed out of the reload.
    pub(super) fn drop_slot_from_reload(&mut self, world: &mut impl World, slot: usize) {
        let Some(reload) = &mut self.reload else { return };
        reload.queue.retain(|&each| each != slot);
        let waits_for = reload.waits_for;
        if self.workers.iter().any(|worker| worker.slot == slot && Some(worker.pid) == waits_for) {
            self.next_in_reload(world);
        }
    }

    /// Whether the reload under way waits for this worker to get ready.
    pub(super) fn reload_waits_for(&self, pid: i32) -> bool {
        self.reload.as_ref().is_some_and(|reload| reload.waits_for == Some(pid))
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
