//! The sockets that the workers share, or have one each of.

use std::collections::HashMap;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::PathBuf;

use daemonic_core::error::{Error, Failure, Result as CoreResult, Step};
use daemonic_core::orders;
use daemonic_core::process_facts::status_field;
use daemonic_core::sockets::{SocketFile, address_of, bind_all};
use nix::errno::Errno;

use crate::config::Socket;
use crate::host::Host;

/// A socket that was bound for the workers.
pub struct Listener {
    pub name: String,
    /// Of a Unix socket: the whole path, which the kernel may know by a shorter one; and the file.
    pub path: Option<PathBuf>,
    pub file: Option<SocketFile>,
    pub shared: OwnedFd,
    /// With reusePort: of the slots after the first, each its own.
    pub own: HashMap<usize, OwnedFd>,
}

impl Listener {
    pub fn new(name: String, path: Option<PathBuf>, shared: OwnedFd) -> Self {
        let file = path.as_deref().and_then(|path| SocketFile::of(path).ok());
        Self { name, path, file, shared, own: HashMap::new() }
    }

    pub fn address(&self) -> String {
        let path = self.path.as_ref().map(|path| path.display().to_string());
        path.unwrap_or_else(|| address_of(self.shared.as_raw_fd()))
    }
}

impl Host {
    /// With reusePort every slot has sockets of its own, which it keeps from worker to worker: connections that wait in
    /// one are its successor's.
    pub fn give_own_sockets(&mut self, slot: usize) -> CoreResult<()> {
        if slot == 0 {
            return Ok(());
        }
        for (listener, socket) in self.listeners.iter_mut().zip(&self.config.sockets) {
            if !socket.reuse_port || listener.own.contains_key(&slot) {
                continue;
            }
            let Some(another) = port_of(&listener.shared).and_then(|port| Socket::another(socket, port)) else {
                continue;
            };
            if let Some(bound) = bind_all(&[another])?.pop() {
                listener.own.insert(slot, bound.socket);
            }
        }
        Ok(())
    }

    /// A socket that a worker wants, which the next ones find, too. It must not be more than the worker could bind
    /// itself: `boots`, and is still who we are.
    pub fn bind(&mut self, pid: i32, listen: &str, boots: bool) {
        let bound = self.bound_for(pid, listen, boots);
        let Some(channel) = self.processes.get(&pid).and_then(|process| process.channel.as_ref()) else { return };
        let _ = match bound {
            Ok(index) => {
                let listener = &self.listeners[index];
                orders::hand_socket(channel.as_fd(), listener.shared.as_fd(), &listener.address())
            }
            Err(failure) => {
                let path = failure.path.as_deref().map_or_else(String::new, |path| path.display().to_string());
                orders::refuse_socket(channel.as_fd(), failure.errno, &path)
            }
        };
    }

    fn bound_for(&mut self, pid: i32, listen: &str, boots: bool) -> Result<usize, Failure> {
        let refused = |errno| Failure::new(Step::Listen, "bind", errno);
        let socket: Socket = serde_json::from_str(listen).map_err(|_| refused(Errno::EINVAL))?;
        if let Some(index) = self.listeners.iter().position(|each| each.name == socket.name) {
            return Ok(index);
        }
        if !boots || !is_like_us(pid) {
            return Err(refused(Errno::EPERM));
        }
        let bound = bind_all(&[socket.listen()]).map_err(|error| match error {
            Error::System(failure) => failure,
            _ => refused(Errno::EINVAL),
        })?;
        for each in bound {
            self.listeners.push(Listener::new(socket.name.clone(), socket.path.clone(), each.socket));
        }
        self.config.sockets.push(socket);
        Ok(self.listeners.len() - 1)
    }
}

/// Whether a process has our effective user: what it may bind, we may bind for it.
fn is_like_us(pid: i32) -> bool {
    let own = nix::unistd::geteuid().to_string();
    // Real, effective, saved: the owner of /proc/PID would be root's for one that has given up its rights.
    status_field(&pid.to_string(), "Uid:").is_some_and(|ids| ids.split_whitespace().nth(1) == Some(&own))
}

/// The port of `HOST:PORT`.
fn port_of(socket: &OwnedFd) -> Option<u16> {
    address_of(socket.as_raw_fd()).rsplit_once(':')?.1.parse().ok()
}
