//! What the supervisor tells the service manager that started it, where there is one.

use std::os::fd::AsFd;
use std::time::Duration;

use daemonic_core::error::Failure;
use daemonic_core::service_manager::Message;

use crate::fleet::Announcement;
use crate::real_world::RealWorld;

impl RealWorld {
    /// Tells how long the first start may take, which is the supervisor's to limit, and which process is the main one: a
    /// manager that executed a shell takes that for it.
    pub fn announce_start(&self) {
        let own = Message::MainProcess(std::process::id());
        self.tell_manager(&[own, Message::Within(Duration::from_millis(self.config.start_timeout))]);
    }

    /// Tells what the fleet does, and how long that may take.
    pub fn announce_to_manager(&self, what: Announcement) {
        let config = &self.config;
        let within = |millis| Message::Within(Duration::from_millis(millis));
        match what {
            Announcement::Ready => self.tell_manager(&[Message::Ready]),
            Announcement::Reloading { workers } => {
                let each = u64::try_from(workers).unwrap_or(u64::MAX);
                let all = each.saturating_mul(config.start_timeout).saturating_add(config.supervision.settle);
                self.tell_manager(&[Message::Reloading, within(all)]);
            }
            Announcement::Stopping => self.tell_manager(&[Message::Stopping, within(config.stop_timeout + KILLING)]),
        }
    }

    /// Tells why the service fails.
    pub fn announce_failure(&self, reason: &str, failure: Option<&Failure>) {
        let error = failure.map(|failure| Message::Error(failure.errno as i32));
        let status = std::iter::once(Message::Status(reason));
        self.tell_manager(&status.chain(error).collect::<Vec<_>>());
    }

    /// Has the manager keep the sockets, so that clients wait in them while the service restarts. One that it keeps already
    /// it closes.
    pub fn store_sockets(&self) {
        let Some(manager) = self.manager.as_ref().filter(|manager| manager.stores_sockets) else { return };
        for listener in self.listeners.iter().filter(|listener| !listener.is_passed) {
            let _ = manager.store(&listener.name, listener.shared.as_fd());
        }
    }

    /// Sends messages, if there is a manager. What gets lost is no failure of the daemon.
    pub fn tell_manager(&self, messages: &[Message<'_>]) {
        if let Some(manager) = &self.manager {
            let _ = manager.tell(messages);
        }
    }
}

/// Milliseconds beyond stopTimeout for killing what has not exited by then, and for reaping it.
const KILLING: u64 = 2_000;
