//! Which of the sockets that a service manager has passed is the one that a worker asks for: by name, then by address.

use std::net::IpAddr;

use daemonic_core::service_manager::{STORED, ServiceManager};

use crate::config::Socket;
use crate::listeners::Listeners;

/// Ending of the name of a socket whose unit gives it none: the name is the unit's.
const UNIT: &str = ".socket";

impl Listeners {
    /// Finds the passed socket that `wanted` means, and gives it that name from now on. One that the manager kept from the
    /// last run is meant only if it listens where `wanted` says; else it is closed, and the manager forgets it.
    pub fn claim(&mut self, sockets: &mut Vec<Socket>, wanted: &Socket, manager: Option<&ServiceManager>) -> bool {
        let is_open = |socket: &Socket| socket.passed && socket.udp == wanted.udp;
        let stored = format!("{}{STORED}", wanted.name);
        if let Some(index) = sockets.iter().position(|socket| socket.name == stored) {
            if is_open(&sockets[index]) && is_same(&sockets[index], wanted) {
                return self.rename(sockets, index, wanted);
            }
            self.forget(sockets, index, manager);
        }
        let unit = format!("{}{UNIT}", wanted.name);
        let by_name = |socket: &Socket| is_open(socket) && socket.name == unit;
        let by_address = |socket: &Socket| is_open(socket) && has_address(socket, wanted);
        let found = sockets.iter().position(by_name).or_else(|| sockets.iter().position(by_address));
        found.is_some_and(|index| self.rename(sockets, index, wanted))
    }

    /// Closes the stored sockets that no worker of the first start has asked for.
    pub fn forget_unclaimed(&mut self, sockets: &mut Vec<Socket>, manager: Option<&ServiceManager>) {
        while let Some(index) = sockets.iter().position(|socket| socket.name.ends_with(STORED)) {
            self.forget(sockets, index, manager);
        }
    }

    fn rename(&mut self, sockets: &mut [Socket], index: usize, wanted: &Socket) -> bool {
        self.get_mut(index).name.clone_from(&wanted.name);
        sockets[index] = Socket { passed: true, ..wanted.clone() };
        true
    }

    fn forget(&mut self, sockets: &mut Vec<Socket>, index: usize, manager: Option<&ServiceManager>) {
        self.remove(index);
        let Socket { name, .. } = sockets.remove(index);
        if let Some(manager) = manager {
            let _ = manager.forget(name.trim_end_matches(STORED));
        }
    }
}

/// Whether a socket has the port or path that is asked for: on which interfaces is the choice of who has bound it.
fn has_address(passed: &Socket, wanted: &Socket) -> bool {
    if wanted.path.is_some() {
        return passed.path == wanted.path;
    }
    let is_literal = |host: &&String| host.parse::<IpAddr>().is_ok();
    let host = wanted.host.as_ref().filter(is_literal);
    passed.port == wanted.port && passed.port.is_some() && (host.is_none() || host == passed.host.as_ref())
}

/// Whether binding what is asked for would give the same socket. A port that the kernel has chosen once is kept.
fn is_same(stored: &Socket, wanted: &Socket) -> bool {
    if let Some(path) = &wanted.path {
        return stored.path.as_ref() == Some(path) && path.symlink_metadata().is_ok();
    }
    let host = stored.host.as_deref();
    let is_host = match wanted.host.as_deref() {
        None => matches!(host, Some("::" | "0.0.0.0")),
        Some("localhost") => matches!(host, Some("::1" | "127.0.0.1")),
        literal => host == literal,
    };
    is_host && stored.port.is_some() && (wanted.port == Some(0) || wanted.port == stored.port)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn socket(host: Option<&str>, port: u16) -> Socket {
        serde_json::from_value(serde_json::json!({
            "name": "web", "host": host, "port": port, "backlog": 1, "ipv6Only": false, "reusePort": false, "udp": false,
        }))
        .unwrap()
    }

    #[test]
    fn a_passed_socket_is_known_by_its_port_and_a_literal_host() {
        let passed = socket(Some("127.0.0.1"), 80);
        assert!(has_address(&passed, &socket(None, 80)));
        assert!(has_address(&passed, &socket(Some("localhost"), 80)));
        assert!(!has_address(&passed, &socket(Some("127.0.0.2"), 80)));
        assert!(!has_address(&passed, &socket(None, 81)));
    }

    #[test]
    fn a_stored_socket_is_used_again_only_where_it_would_be_bound_the_same() {
        assert!(!is_same(&socket(Some("127.0.0.1"), 80), &socket(None, 80)));
        assert!(is_same(&socket(Some("::"), 80), &socket(None, 80)));
        assert!(is_same(&socket(Some("127.0.0.1"), 4711), &socket(Some("localhost"), 0)));
        assert!(!is_same(&socket(Some("127.0.0.1"), 80), &socket(Some("127.0.0.1"), 81)));
    }
}
