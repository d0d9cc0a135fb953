//! More workers, or fewer.

use super::{Fleet, Level, Phase, Role, Slot, World};
use crate::policy::Supervision;

/// As many as the `workers` option may be.
const MOST_WORKERS: usize = 1024;

impl Fleet {
    /// Other terms. In the first start their number of workers counts; later what scale() was told.
    pub fn supervise(&mut self, world: &mut impl World, supervision: Supervision) {
        let workers = supervision.workers.clamp(1, MOST_WORKERS);
        self.terms.supervision = supervision;
        while self.phase == Phase::Starting && self.slots.len() < workers {
            self.slots.push(Slot::default());
            self.start(world, self.slots.len() - 1, Role::Current);
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
        self.end_if_idle(world);
        self.show(world);
        Ok(())
    }
}
