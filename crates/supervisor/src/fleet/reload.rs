//! Replacing every worker by a successor, each ready before the one before it ends.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::{Client, Fleet, Level, Phase, Role, Worker, World};
use crate::policy::{Exit, Verdict};

#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Reload {
    pub(super) queue: VecDeque<usize>,
    pub(super) waits_for: Option<i32>,
    #[serde(skip)]
    pub(super) clients: Vec<Client>,
}

impl Fleet {
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

    pub(super) fn begin_reload(&mut self, world: &mut impl World, clients: Vec<Client>) {
        world.say(Level::Info, "reloading");
        world.notify("RELOADING=1");
        world.reopen_logs();
        let queue = (0..self.slots.len()).collect();
        self.reload = Some(Reload { queue, waits_for: None, clients });
        self.next_in_reload(world);
    }

    pub(super) fn next_in_reload(&mut self, world: &mut impl World) {
        let Some(reload) = &mut self.reload else { return };
        reload.waits_for = None;
        let Some(slot) = reload.queue.pop_front() else { return self.finish_reload(world) };
        // One that waits for its next try gets it now, and one that boots is as new as can be.
        let booting =
            self.workers.iter().find(|worker| worker.slot == slot && worker.role == Role::Current && !worker.ready);
        if let Some(worker) = booting {
            reload.waits_for = Some(worker.pid);
        } else {
            self.slots[slot].restart_at = None;
            self.start(world, slot, Role::Successor);
        }
    }

    pub(super) fn finish_reload(&mut self, world: &mut impl World) {
        let Some(reload) = self.reload.take() else { return };
        world.say(Level::Info, "reloaded");
        world.notify("READY=1");
        for client in reload.clients {
            world.reply(client, Ok(()));
        }
        self.reload_again(world);
    }

    pub(super) fn successor_ended(&mut self, world: &mut impl World, worker: &Worker, exit: Exit, words: &str) {
        let how = match worker.verdict {
            Some(Verdict::Late) => format!("was not ready after {} ms", self.terms.start_timeout),
            _ => exit.to_string(),
        };
        let text = words.trim_end();
        let wrote = if text.is_empty() { String::new() } else { format!("; it wrote:\n{text}") };
        self.fail_reload(world, &format!("the new worker (pid {}) {how}{wrote}", worker.pid));
    }

    pub(super) fn fail_reload(&mut self, world: &mut impl World, reason: &str) {
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

    pub(super) fn reload_again(&mut self, world: &mut impl World) {
        if std::mem::take(&mut self.again) && self.phase == Phase::Running {
            let clients = std::mem::take(&mut self.waiting);
            self.begin_reload(world, clients);
        }
    }

    pub(super) fn retire_predecessor(&mut self, world: &mut impl World, slot: usize, successor: i32) {
        for pid in self.pids(|worker| worker.slot == slot && worker.role == Role::Current && worker.pid != successor) {
            world.say(Level::Info, &format!("pid {successor} takes the place of pid {pid}"));
            self.retire(world, pid, 0);
        }
    }

    /// A slot that is going needs no successor.
    pub(super) fn leave_reload(&mut self, world: &mut impl World, slot: usize) {
        let Some(reload) = &mut self.reload else { return };
        reload.queue.retain(|&each| each != slot);
        let waits_for = reload.waits_for;
        if self.workers.iter().any(|worker| worker.slot == slot && Some(worker.pid) == waits_for) {
            self.next_in_reload(world);
        }
    }

    pub(super) fn reload_waits_for(&self, pid: i32) -> bool {
        self.reload.as_ref().is_some_and(|reload| reload.waits_for == Some(pid))
    }

    pub fn is_reloading(&self) -> bool {
        self.reload.is_some()
    }
}

fn refuse(world: &mut impl World, client: Option<Client>, why: &str) {
    match client {
        Some(client) => world.reply(client, Err(why.to_owned())),
        None => world.say(Level::Warning, &format!("no reload: {why}")),
    }
}
