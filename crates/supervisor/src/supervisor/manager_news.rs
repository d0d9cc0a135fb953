//! What a service manager hears again and again: that the supervisor and its workers live, and how they are.

use daemonic_core::service_manager::Message;

use super::Supervisor;
use crate::clock::{Millis, now};

/// Milliseconds between two status texts at least: a worker may change its own with every request.
const STATUS_PAUSE: Millis = 200;
/// Milliseconds until the next look while a worker hangs that the supervisor is killing.
const LOOK_AGAIN_AFTER: Millis = 50;

/// What the manager has heard last.
#[derive(Default)]
pub struct ManagerNews {
    status: String,
    next_status: Millis,
    next_sign_of_life: Millis,
}

impl Supervisor {
    /// Tells what is new, and in time that all live: the supervisor, whose loop turns, and its workers.
    pub(super) fn tell_news(&mut self) {
        let Some(manager) = &self.world.manager else { return };
        let now = now();
        if let Some(every) = manager.watchdog.map(|limit| (limit / 2000).max(1))
            && self.news.next_sign_of_life <= now
        {
            // A hanging worker is killed within the next turns: then all live again.
            let all_live = self.fleet.answers_watchdog(now);
            self.news.next_sign_of_life = now + if all_live { every } else { every.min(LOOK_AGAIN_AFTER) };
            if all_live {
                self.world.tell_manager(&[Message::Alive]);
            }
        }
        if self.news.next_status <= now {
            let status = self.fleet.status_line();
            if status != self.news.status {
                self.world.tell_manager(&[Message::Status(&status)]);
                self.news.status = status;
                self.news.next_status = now + STATUS_PAUSE;
            }
        }
    }

    /// When [`tell_news`](Self::tell_news) is due again without an event.
    pub(super) fn next_news(&self, now: Millis) -> Option<Millis> {
        let manager = self.world.manager.as_ref()?;
        let sign_of_life = manager.watchdog.map(|_| self.news.next_sign_of_life);
        let status = Some(self.news.next_status).filter(|&at| at > now);
        sign_of_life.into_iter().chain(status).min()
    }
}
