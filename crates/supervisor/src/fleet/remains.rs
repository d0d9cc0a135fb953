//! What a worker leaves when it exits: the rest of its process group, which ends with it. Until the group is empty the
//! worker is not reaped, so that no other process and no other group gets its number.
//!
//! | stage of the group | it is empty | its time is over     |
//! |--------------------|-------------|----------------------|
//! | Asked              | reaped      | Killed, SIGKILL      |
//! | Killed             | reaped      | SIGKILL once more    |

use serde::{Deserialize, Serialize};

use super::worker::{Stage, Worker};
use super::{Fleet, Level, World};
use crate::clock::Millis;
use crate::policy::signal_name;

/// Milliseconds that a group has while the slot's next worker waits for it: it may hold the port that this one binds.
const TIME_BEFORE_SUCCESSOR: Millis = 2_000;
/// Milliseconds between two looks at a group. The exit of an adopted process is seen at once, by SIGCHLD.
pub(super) const LOOK_EVERY: Millis = 50;
/// Milliseconds until a group is killed again: a process of it may be out of reach, or was forked meanwhile.
const KILL_AGAIN_AFTER: Millis = 1_000;

/// The process group of a worker that has exited and is not reaped.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Remains {
    /// Number of the group, and pid of the worker that led it.
    pub(super) pid: i32,
    slot: usize,
    stage: GroupStage,
    next_look: Millis,
    /// Whether the slot's next worker waits for the group to be empty.
    pub(super) holds_slot: bool,
}

/// How far the end of a group is.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
enum GroupStage {
    /// It was sent SIGTERM, and is killed if it isn't empty by then.
    Asked { by: Millis },
    /// It was sent SIGKILL, and is sent it again then.
    Killed { again_at: Millis },
}

impl Remains {
    /// When [`Fleet::end_remains`] has something to do.
    pub(super) fn due(&self) -> Millis {
        let (GroupStage::Asked { by: over } | GroupStage::Killed { again_at: over }) = self.stage;
        self.next_look.min(over)
    }
}

impl Fleet {
    /// Reaps a worker that has exited or, where its group lives on, has that end first: within the time that the worker
    /// had left, and at once where it made the first start fail.
    pub(super) fn leave(&mut self, world: &mut impl World, worker: &Worker, fails_start: bool) {
        let now = world.now();
        if world.has_remains(worker.pid) {
            let by = match worker.stage {
                _ if fails_start => now,
                Stage::Killed { .. } => now,
                Stage::Ending { by, .. } => by,
                Stage::Booting { .. } | Stage::Serving { .. } => now + self.terms.stop_timeout,
            };
            // Where the supervisor shares its sockets with the workers, the next one needs nothing that the group may hold.
            let is_replaced = !worker.is_retired() || self.reload_empties(worker.slot);
            let holds_slot = is_replaced && !world.shares_sockets();
            let (pid, slot, stage) = (worker.pid, worker.slot, GroupStage::Asked { by });
            self.remains.push(Remains { pid, slot, stage, next_look: now + LOOK_EVERY, holds_slot });
            if by > now {
                signal_group(world, pid, libc::SIGTERM);
            } else {
                self.kill_remains(world, pid);
            }
        } else {
            reap(world, worker.pid);
        }
        let waits = self.slots.get(worker.slot).is_some_and(|slot| slot.restart_at.is_some());
        if waits || self.reload_empties(worker.slot) {
            self.hurry_remains(worker.slot, now);
        }
    }

    /// Gives the groups that hold a slot little time: a worker waits for the slot.
    pub(super) fn hurry_remains(&mut self, slot: usize, now: Millis) {
        for group in self.remains.iter_mut().filter(|group| group.slot == slot && group.holds_slot) {
            if let GroupStage::Asked { by } = &mut group.stage {
                *by = (*by).min(now + TIME_BEFORE_SUCCESSOR);
            }
        }
    }

    /// Reaps the workers whose groups are empty by now, and kills groups whose time is over.
    pub(super) fn end_remains(&mut self, world: &mut impl World, now: Millis) {
        for Remains { pid, stage, .. } in self.remains.clone() {
            if !world.has_remains(pid) {
                self.remains.retain(|group| group.pid != pid);
                reap(world, pid);
                continue;
            }
            match stage {
                GroupStage::Asked { by } if by <= now => {
                    world.log(
                        Level::Warning,
                        &format!("processes that pid {pid} has left have not ended: killing them"),
                    );
                    self.kill_remains(world, pid);
                }
                GroupStage::Killed { again_at } if again_at <= now => self.kill_remains(world, pid),
                _ => {}
            }
        }
        for group in &mut self.remains {
            group.next_look = now + LOOK_EVERY;
        }
    }

    /// Kills a group at once.
    fn kill_remains(&mut self, world: &mut impl World, pid: i32) {
        signal_group(world, pid, libc::SIGKILL);
        let again_at = world.now() + KILL_AGAIN_AFTER;
        for group in self.remains.iter_mut().filter(|group| group.pid == pid) {
            group.stage = GroupStage::Killed { again_at };
        }
    }

    /// Kills every group at once.
    pub(super) fn kill_all_remains(&mut self, world: &mut impl World) {
        let pids: Vec<i32> = self.remains.iter().map(|group| group.pid).collect();
        for pid in pids {
            self.kill_remains(world, pid);
        }
    }

    /// Whether the next worker of a slot has to wait for the group of the last one.
    pub(super) fn is_held(&self, slot: usize) -> bool {
        self.remains.iter().any(|group| group.slot == slot && group.holds_slot)
    }

    /// Whether the worker with this pid has exited, and waits for its group to be empty.
    pub fn is_left(&self, pid: i32) -> bool {
        self.remains.iter().any(|group| group.pid == pid)
    }
}

/// Reaps a worker, and tells of the processes that have left its group.
fn reap(world: &mut impl World, pid: i32) {
    world.reap(pid);
    for escaped in world.escaped() {
        world.log(Level::Warning, &format!("{escaped} has left the process group of its worker, and goes on running"));
    }
}

fn signal_group(world: &mut impl World, pid: i32, signal: i32) {
    if let Err(why) = world.signal_group(pid, signal) {
        let name = signal_name(signal);
        world.log(Level::Error, &format!("what pid {pid} has left can't be sent {name}: {why}"));
    }
}
