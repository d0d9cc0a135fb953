//! The service manager that started this process.

use std::time::Duration;

use daemonic_core::service_manager::{Message, ServiceManager as CoreManager};
use daemonic_core::sys::fd::duplicate_raw;
use napi_derive::napi;

/// Service manager that hears of this process by sd_notify(3). What can't be sent to it is lost.
#[napi]
pub struct ServiceManager {
    manager: CoreManager,
}

/// Finds the service manager that the environment names; null if there is none, or one of an ancestor.
#[napi(catch_unwind)]
pub fn service_manager() -> Option<ServiceManager> {
    CoreManager::of_environment().map(|manager| ServiceManager { manager })
}

#[napi]
impl ServiceManager {
    /// Milliseconds within which the manager expects a sign of life; null: it expects none.
    #[napi(getter, catch_unwind)]
    pub fn watchdog(&self) -> Option<f64> {
        self.manager.watchdog.map(|microseconds| microseconds as f64 / 1000.0)
    }

    /// Whether the manager keeps sockets while the service restarts.
    #[napi(getter, catch_unwind)]
    pub fn stores_sockets(&self) -> bool {
        self.manager.stores_sockets
    }

    #[napi(catch_unwind)]
    pub fn ready(&self) {
        let _ = self.manager.tell(&[Message::Ready]);
    }

    #[napi(catch_unwind)]
    pub fn reloading(&self) {
        let _ = self.manager.tell(&[Message::Reloading]);
    }

    /// Tells that the service stops, which takes so many milliseconds at most.
    #[napi(catch_unwind)]
    pub fn stopping(&self, within: f64) {
        let within = Message::Within(Duration::from_millis(within as u64));
        let _ = self.manager.tell(&[Message::Stopping, within]);
    }

    #[napi(catch_unwind)]
    pub fn status(&self, text: String) {
        let _ = self.manager.tell(&[Message::Status(&text)]);
    }

    #[napi(catch_unwind)]
    pub fn alive(&self) {
        let _ = self.manager.tell(&[Message::Alive]);
    }

    /// Tells why the service fails: a text, and the number of the error if it was one of the system.
    #[napi(catch_unwind)]
    pub fn failed(&self, text: String, errno: Option<i32>) {
        let messages: Vec<_> = std::iter::once(Message::Status(&text)).chain(errno.map(Message::Error)).collect();
        let _ = self.manager.tell(&messages);
    }

    /// Has the manager keep a socket.
    #[napi(catch_unwind)]
    pub fn store(&self, name: String, socket: i32) {
        if let Ok(socket) = duplicate_raw(socket, 3) {
            let _ = self.manager.store(&name, std::os::fd::AsFd::as_fd(&socket));
        }
    }

    /// Has the manager forget the sockets that it keeps under a name.
    #[napi(catch_unwind)]
    pub fn forget(&self, name: String) {
        let _ = self.manager.forget(&name);
    }
}
