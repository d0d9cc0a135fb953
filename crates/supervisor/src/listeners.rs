//! The listening sockets that the supervisor binds and keeps for the workers.

use std::collections::HashMap;
use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use daemonic_core::error::{Error, Failure, Result as CoreResult, Step};
use daemonic_core::service_manager::ServiceManager;
use daemonic_core::sockets::{SocketFile, address_of, bind_all};
use nix::errno::Errno;

use crate::config::Socket;
use crate::rights;

/// The most listeners that workers may ask for: they must not use up the supervisor's descriptors.
const MOST_LISTENERS: usize = 64;

/// A listening socket, or with reusePort one for each slot.
pub struct Listener {
    pub name: String,
    /// The path of a Unix socket in full; the kernel may know it by a shorter one.
    pub path: Option<PathBuf>,
    /// Whether a service manager has bound or kept it.
    pub is_passed: bool,
    file: Option<SocketFile>,
    /// The socket of slot 0, and without reusePort of every slot.
    pub shared: OwnedFd,
    /// With reusePort: the sockets of the other slots.
    pub by_slot: HashMap<usize, OwnedFd>,
}

impl Listener {
    /// Keeps `shared`, which is one of `sockets` or was bound just now; and notes its file, to be removed in the end.
    pub fn new(name: String, shared: OwnedFd, sockets: &[Socket]) -> Self {
        let socket = sockets.iter().find(|socket| socket.name == name);
        let is_passed = socket.is_some_and(|socket| socket.passed);
        let path = socket.filter(|_| !is_passed).and_then(|socket| socket.path.clone());
        let file = path.as_deref().and_then(|path| SocketFile::of(path).ok());
        Self { name, path, is_passed, file, shared, by_slot: HashMap::new() }
    }

    /// The address as a person reads it: the path, or HOST:PORT.
    pub fn address(&self) -> String {
        let path = self.path.as_ref().map(|path| path.display().to_string());
        path.unwrap_or_else(|| address_of(self.shared.as_raw_fd()))
    }

    /// Every descriptor that the listener keeps open.
    pub fn descriptors(&self) -> impl Iterator<Item = &OwnedFd> {
        std::iter::once(&self.shared).chain(self.by_slot.values())
    }
}

/// All listeners, in the order in which workers get them.
#[derive(Default)]
pub struct Listeners(Vec<Listener>);

impl FromIterator<Listener> for Listeners {
    fn from_iter<T: IntoIterator<Item = Listener>>(listeners: T) -> Self {
        Self(listeners.into_iter().collect())
    }
}

impl Listeners {
    /// Iterates over the listeners in order.
    pub fn iter(&self) -> std::slice::Iter<'_, Listener> {
        self.0.iter()
    }

    /// The listener at an index that it has in the configuration too.
    pub fn get_mut(&mut self, index: usize) -> &mut Listener {
        &mut self.0[index]
    }

    /// Closes a listener, and leaves its file.
    pub fn remove(&mut self, index: usize) {
        self.0.remove(index);
    }

    /// Names and sockets that the worker of a slot inherits.
    pub fn for_slot(&self, slot: usize) -> Vec<(&str, BorrowedFd<'_>)> {
        self.iter()
            .map(|listener| (listener.name.as_str(), listener.by_slot.get(&slot).unwrap_or(&listener.shared).as_fd()))
            .collect()
    }

    /// Binds what a slot other than the first needs with reusePort. The slot keeps these sockets from worker to worker:
    /// connections that wait in one are accepted by the successor.
    pub fn bind_for_slot(&mut self, slot: usize, sockets: &[Socket]) -> CoreResult<()> {
        if slot == 0 {
            return Ok(());
        }
        for (listener, socket) in self.0.iter_mut().zip(sockets) {
            if !socket.reuse_port || listener.by_slot.contains_key(&slot) {
                continue;
            }
            let Some(another) = port_of(&listener.shared).and_then(|port| socket.at_port(port)) else {
                continue;
            };
            if let Some(bound) = bind_all(&[another])?.pop() {
                listener.by_slot.insert(slot, bound.socket);
            }
        }
        Ok(())
    }

    /// Closes the sockets of a slot that was removed.
    pub fn close_slot(&mut self, slot: usize) {
        for listener in &mut self.0 {
            listener.by_slot.remove(&slot);
        }
    }

    /// Finds the listener that a worker asks for by name, or binds it and adds it to `sockets`, so that later workers
    /// inherit it. Refused unless the worker is still booting and still has the supervisor's rights: by asking, it must
    /// gain none.
    pub fn find_or_bind(
        &mut self,
        sockets: &mut Vec<Socket>,
        pid: i32,
        listen: &str,
        is_booting: bool,
        manager: Option<&ServiceManager>,
    ) -> Result<&Listener, Failure> {
        let refused = |errno| Failure::new(Step::Listen, "bind", errno);
        let socket: Socket = serde_json::from_str(listen).map_err(|_| refused(Errno::EINVAL))?;
        let is_known = self.0.iter().any(|each| each.name == socket.name);
        if !is_known && is_booting {
            self.claim(sockets, &socket, manager);
        }
        if let Some(index) = self.0.iter().position(|each| each.name == socket.name) {
            return Ok(&self.0[index]);
        }
        if !is_booting || !rights::are_shared_with(pid) {
            return Err(refused(Errno::EPERM));
        }
        if self.0.len() >= MOST_LISTENERS {
            return Err(refused(Errno::EMFILE));
        }
        // The event loop would wait for the look-up of a name.
        let needs_no_lookup = |host: &String| host == "localhost" || host.parse::<IpAddr>().is_ok();
        if !socket.host.as_ref().is_none_or(needs_no_lookup) {
            return Err(refused(Errno::EADDRNOTAVAIL).at(socket.host.unwrap_or_default()));
        }
        let bound = bind_all(&[socket.listen()]).map_err(|error| match error {
            Error::System(failure) => failure,
            _ => refused(Errno::EINVAL),
        })?;
        for each in bound {
            self.0.push(Listener::new(socket.name.clone(), each.socket, std::slice::from_ref(&socket)));
        }
        sockets.push(socket);
        self.0.last().ok_or_else(|| refused(Errno::EINVAL))
    }

    /// Closes the supervisor's copies and removes the socket files at once, so that no new client connects to a Unix
    /// socket; workers still answer the clients that have connected. With `are_stored` the files stay: clients wait in the
    /// sockets for the next start.
    pub fn close(&mut self, are_stored: bool) {
        for listener in self.0.drain(..) {
            listener.file.iter().filter(|_| !are_stored).for_each(SocketFile::remove);
        }
    }
}

/// The port of a socket that has one.
fn port_of(socket: &OwnedFd) -> Option<u16> {
    address_of(socket.as_raw_fd()).rsplit_once(':')?.1.parse().ok()
}
