//! The fleet in one line, as a service manager shows it, and whether its workers answer their watchdog.

use super::{Fleet, Phase, Worker};
use crate::clock::Millis;

/// The longest line, in characters: what workers say of themselves is cut off.
const LONGEST: usize = 500;

impl Fleet {
    /// What workers say of themselves; how many there are where that is more than one, or some are missing; and the last
    /// failure while it counts.
    pub fn status_line(&self) -> String {
        match self.phase {
            Phase::Starting => return "starting".to_owned(),
            Phase::Stopping { .. } => return "stopping".to_owned(),
            Phase::Running => {}
        }
        let mut current: Vec<&Worker> = self.workers.iter().filter(|worker| self.is_current(worker)).collect();
        current.sort_by_key(|worker| worker.slot);
        let serving = current.iter().filter(|worker| worker.is_serving()).count();
        let mut said: Vec<&str> = current.iter().filter_map(|worker| worker.status.as_deref()).collect();
        said.dedup();
        let count = match self.slots.len() {
            1 if serving == 1 && !said.is_empty() => None,
            1 if serving == 1 => Some("1 worker is ready".to_owned()),
            all if serving == all => Some(format!("{all} workers are ready")),
            all => Some(format!("{serving} of {all} workers {} ready", if serving == 1 { "is" } else { "are" })),
        };
        let parts: Vec<&str> = count.as_deref().into_iter().chain(said).chain(self.counting_failure()).collect();
        parts.join("; ").chars().map(|each| if each.is_control() { ' ' } else { each }).take(LONGEST).collect()
    }

    /// Whether every worker whose event loop is watched has said in time that it turns.
    pub fn answers_watchdog(&self, now: Millis) -> bool {
        let Some(limit) = self.terms.supervision.watchdog else { return true };
        self.workers.iter().all(|worker| worker.last_beat().is_none_or(|beat| beat + limit >= now))
    }

    /// The last failure of a worker, until its slot has been steady.
    pub(super) fn counting_failure(&self) -> Option<&str> {
        let failing = self.slots.iter().any(|slot| slot.failures + slot.refusals > 0);
        self.last_failure.as_deref().filter(|_| failing)
    }
}
