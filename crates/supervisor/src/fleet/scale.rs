//! Changing the number of workers.

use super::{Event, Fleet, Level, Phase, Slot, World};
use crate::clock::Millis;
use crate::policy::Supervision;

/// The most workers that the `workers` option may ask for, and scale() as well.
const MOST_WORKERS: usize = 1024;

impl Fleet {
    /// Takes over the supervision that the program asks for. Its number of workers counts in the first start only:
    /// later it would undo what scale() has set.
    pub fn change_supervision(&mut self, world: &mut impl World, supervision: Supervision) {
        let workers = supervision.workers.clamp(1, MOST_WORKERS);
        self.terms.supervision = supervision;
        while self.phase == Phase::Starting && self.slots.len() < workers {
            self.slots.push(Slot::default());
            self.start(world, self.slots.len() - 1);
        }
    }

    /// Takes over what the program asks for beside its supervision.
    pub fn change_ends(&mut self, stop_timeout: Millis, ends_idle: bool) {
        self.terms.stop_timeout = stop_timeout;
        self.terms.ends_idle = ends_idle;
    }

    /// Starts or stops workers until there are `to` of them.
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
            world.log(Level::Info, &format!("{} workers instead of {}", to, self.slots.len()));
        }
        while self.slots.len() < to {
            self.slots.push(Slot::default());
            self.start(world, self.slots.len() - 1);
        }
        while self.slots.len() > to {
            self.slots.pop();
            let slot = self.slots.len();
            self.drop_slot_from_reload(world, slot);
            for pid in self.pids(|worker| worker.slot == slot) {
                self.happens(world, pid, Event::Retire);
            }
            world.close_slot_sockets(slot);
        }
        self.stop_if_idle(world);
        self.show_title(world);
        Ok(())
    }
}
