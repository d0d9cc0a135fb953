//! The service manager that started this process, and messages to it: sd_notify(3), without libsystemd.

use std::fmt::Write;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{AddressFamily, SockType, UnixAddr, connect, socket};
use nix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

use crate::sys::{fd, passing};

/// Variable that holds the manager's address.
pub const NOTIFY_SOCKET: &str = "NOTIFY_SOCKET";
/// Variable of sd_watchdog_enabled(3): the microseconds within which the manager expects a sign of life.
pub const WATCHDOG_USEC: &str = "WATCHDOG_USEC";
/// Variable of sd_watchdog_enabled(3): the process that the limit is meant for.
pub const WATCHDOG_PID: &str = "WATCHDOG_PID";
/// Variable that tells how many descriptors the manager keeps for the service: set since systemd 254.
const FDSTORE: &str = "FDSTORE";
/// Variable that names the process which the manager executed: set since systemd 248.
const SYSTEMD_EXEC_PID: &str = "SYSTEMD_EXEC_PID";

/// Ending of the names under which sockets are stored in the manager: at the next start it tells them from those of a
/// socket unit, whose address is the operator's choice.
pub const STORED: &str = ".stored";

/// The service manager of this process, as the environment describes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServiceManager {
    address: String,
    /// Microseconds within which the manager expects a sign of life.
    pub watchdog: Option<u64>,
    /// Whether it keeps descriptors while the service restarts.
    pub stores_sockets: bool,
}

/// State of the service that the manager is to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Message<'a> {
    /// It can serve.
    Ready,
    /// It reloads its configuration, and will say that it is ready again.
    Reloading,
    /// It stops.
    Stopping,
    /// Text for people.
    Status(&'a str),
    /// A sign of life.
    Alive,
    /// Another process is the service's main one from now on.
    MainProcess(u32),
    /// Error by which the service fails.
    Error(i32),
    /// Time for which the manager is to wait beyond its own limit, if need be.
    Within(Duration),
}

impl ServiceManager {
    /// Finds the manager in the environment. None if there is none, or one that means an ancestor which left its variables
    /// behind.
    #[must_use]
    pub fn of_environment() -> Option<Self> {
        Self::of(|name| std::env::var(name).ok(), std::process::id())
    }

    fn of(variable: impl Fn(&str) -> Option<String>, pid: u32) -> Option<Self> {
        let is_meant = |name| variable(name).is_none_or(|value| value == pid.to_string());
        let address = variable(NOTIFY_SOCKET).filter(|address| !address.is_empty() && is_meant(SYSTEMD_EXEC_PID))?;
        let number = |name| variable(name)?.parse().ok().filter(|&number: &u64| number > 0);
        let watchdog = number(WATCHDOG_USEC).filter(|_| is_meant(WATCHDOG_PID));
        Some(Self { address, watchdog, stores_sockets: number(FDSTORE).is_some() })
    }

    /// Sends messages in one datagram. What can't be sent is lost: a manager that doesn't read must not stop the event
    /// loop.
    pub fn tell(&self, messages: &[Message<'_>]) -> nix::Result<()> {
        self.send(&text_of(messages), None)
    }

    /// Has the manager keep a listening socket, which it passes to the next start of the service.
    pub fn store(&self, name: &str, socket: BorrowedFd<'_>) -> nix::Result<()> {
        self.send(&format!("FDSTORE=1\nFDNAME={name}{STORED}"), Some(socket))
    }

    /// Has the manager forget the sockets that it keeps under a name.
    pub fn forget(&self, name: &str) -> nix::Result<()> {
        self.send(&format!("FDSTOREREMOVE=1\nFDNAME={name}{STORED}"), None)
    }

    /// Waits until the manager has handled all that was sent before: it closes the descriptor that comes with this message.
    /// ETIMEDOUT: it has not within `limit`.
    pub fn wait_until_heard(&self, limit: Duration) -> nix::Result<()> {
        let (reader, writer) = nix::unistd::pipe()?;
        for end in [&reader, &writer] {
            fd::close_at_exec(end.as_raw_fd())?;
        }
        self.send("BARRIER=1", Some(writer.as_fd()))?;
        drop(writer);
        let timeout = PollTimeout::try_from(limit).unwrap_or(PollTimeout::MAX);
        match poll(&mut [PollFd::new(reader.as_fd(), PollFlags::empty())], timeout)? {
            0 => Err(Errno::ETIMEDOUT),
            _ => Ok(()),
        }
    }

    fn send(&self, text: &str, file: Option<BorrowedFd<'_>>) -> nix::Result<()> {
        let socket = connected(&self.address)?;
        match file {
            Some(file) => passing::send(socket.as_fd(), text.as_bytes(), file),
            None => fd::send_now(socket.as_raw_fd(), text.as_bytes()),
        }
    }
}

/// Writes messages as the lines of a datagram.
fn text_of(messages: &[Message<'_>]) -> String {
    let mut text = String::new();
    for message in messages {
        let separator = if text.is_empty() { "" } else { "\n" };
        let _ = match message {
            Message::Ready => write!(text, "{separator}READY=1"),
            // The manager takes RELOADING=1 only together with the time, by which it tells it from an earlier reload.
            Message::Reloading => write!(text, "{separator}RELOADING=1\nMONOTONIC_USEC={}", monotonic().as_micros()),
            Message::Stopping => write!(text, "{separator}STOPPING=1"),
            Message::Status(status) => write!(text, "{separator}STATUS={}", status.replace('\n', " ")),
            Message::Alive => write!(text, "{separator}WATCHDOG=1"),
            Message::MainProcess(pid) => write!(text, "{separator}MAINPID={pid}"),
            Message::Error(errno) => write!(text, "{separator}ERRNO={errno}"),
            Message::Within(time) => write!(text, "{separator}EXTEND_TIMEOUT_USEC={}", time.as_micros()),
        };
    }
    text
}

fn monotonic() -> Duration {
    clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(Duration::ZERO, Duration::from)
}

/// Connects a socket to the manager's address: a path, `@` and an abstract name, or `vsock:CID:PORT`.
fn connected(address: &str) -> nix::Result<OwnedFd> {
    if address.starts_with("vsock") {
        return connected_over_vsock(address);
    }
    let to = match address.strip_prefix('@') {
        #[cfg(target_os = "linux")]
        Some(name) => UnixAddr::new_abstract(name.as_bytes())?,
        #[cfg(not(target_os = "linux"))]
        Some(_) => return Err(Errno::EAFNOSUPPORT),
        None if address.starts_with('/') => UnixAddr::new(address)?,
        None => return Err(Errno::EAFNOSUPPORT),
    };
    let socket = socket(AddressFamily::Unix, SockType::Datagram, fd::SOCKET_FLAGS, None)?;
    connect(socket.as_raw_fd(), &to)?;
    Ok(socket)
}

/// Address of a virtual machine's host or guest: vsock(7).
#[derive(Debug, PartialEq, Eq)]
#[cfg(target_os = "linux")]
struct Vsock {
    kinds: &'static [SockType],
    cid: u32,
    port: u32,
}

#[cfg(target_os = "linux")]
impl Vsock {
    /// Reads `vsock:CID:PORT`, where the prefix may name a type: `vsock-stream:`, `vsock-dgram:`, `vsock-seqpacket:`.
    fn parse(address: &str) -> Option<Self> {
        let mut words = address.split(':');
        let kinds: &[SockType] = match words.next()? {
            "vsock" => &[SockType::Datagram, SockType::SeqPacket],
            "vsock-dgram" => &[SockType::Datagram],
            "vsock-seqpacket" => &[SockType::SeqPacket],
            "vsock-stream" => &[SockType::Stream],
            _ => return None,
        };
        let (cid, port) = (words.next()?, words.next()?.parse().ok()?);
        // Without a number it is any machine, VMADDR_CID_ANY.
        let cid = if cid.is_empty() { u32::MAX } else { cid.parse().ok()? };
        words.next().is_none().then_some(Self { kinds, cid, port })
    }
}

#[cfg(target_os = "linux")]
fn connected_over_vsock(address: &str) -> nix::Result<OwnedFd> {
    let Vsock { kinds, cid, port } = Vsock::parse(address).ok_or(Errno::EINVAL)?;
    let to = nix::sys::socket::VsockAddr::new(cid, port);
    let mut result = Err(Errno::EINVAL);
    for &kind in kinds {
        result = socket(AddressFamily::Vsock, kind, fd::SOCKET_FLAGS, None).and_then(|socket| {
            connect(socket.as_raw_fd(), &to)?;
            Ok(socket)
        });
        if result.is_ok() {
            break;
        }
    }
    result
}

#[cfg(not(target_os = "linux"))]
fn connected_over_vsock(_address: &str) -> nix::Result<OwnedFd> {
    Err(Errno::EAFNOSUPPORT)
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixDatagram;

    use super::*;

    fn of(variables: &[(&str, &str)]) -> Option<ServiceManager> {
        let find = |name: &str| variables.iter().find(|(each, _)| *each == name).map(|(_, value)| (*value).to_owned());
        ServiceManager::of(find, 42)
    }

    #[test]
    fn a_manager_that_means_another_process_is_none() {
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[(NOTIFY_SOCKET, "")]), None);
        assert_eq!(of(&[(NOTIFY_SOCKET, "/a"), (SYSTEMD_EXEC_PID, "41")]), None);
        assert!(of(&[(NOTIFY_SOCKET, "/a"), (SYSTEMD_EXEC_PID, "42")]).is_some());
    }

    #[test]
    fn a_watchdog_of_another_process_is_none() {
        let watchdog = |variables: &[_]| of(&[&[(NOTIFY_SOCKET, "/a")], variables].concat()).unwrap().watchdog;
        assert_eq!(watchdog(&[(WATCHDOG_USEC, "2000000")]), Some(2_000_000));
        assert_eq!(watchdog(&[(WATCHDOG_USEC, "2000000"), (WATCHDOG_PID, "42")]), Some(2_000_000));
        assert_eq!(watchdog(&[(WATCHDOG_USEC, "2000000"), (WATCHDOG_PID, "41")]), None);
        assert_eq!(watchdog(&[(WATCHDOG_USEC, "0")]), None);
        assert_eq!(watchdog(&[(WATCHDOG_USEC, "soon")]), None);
    }

    #[test]
    fn messages_are_the_lines_of_one_datagram() {
        let stops = [Message::Stopping, Message::Within(Duration::from_millis(1500)), Message::Status("a\nb")];
        assert_eq!(text_of(&stops), "STOPPING=1\nEXTEND_TIMEOUT_USEC=1500000\nSTATUS=a b");
        let before = monotonic().as_micros();
        let text = text_of(&[Message::Reloading]);
        let time: u128 = text.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").unwrap().parse().unwrap();
        assert!((before..=monotonic().as_micros()).contains(&time), "{text}");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn an_address_of_a_virtual_machine_is_understood() {
        let parse = |address| Vsock::parse(address).map(|Vsock { kinds, cid, port }| (kinds.len(), cid, port));
        assert_eq!(parse("vsock:2:1234"), Some((2, 2, 1234)));
        assert_eq!(parse("vsock::1234"), Some((2, u32::MAX, 1234)));
        assert_eq!(parse("vsock-stream:2:1"), Some((1, 2, 1)));
        for wrong in ["vsock:", "vsock:2", "vsock:2:x", "vsock:2:1:1", "vsock-raw:2:1", "vsock:-1:1"] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_wait_ends_when_the_manager_has_closed_the_descriptor_that_came_with_it() {
        let directory = nix::unistd::mkdtemp(&std::env::temp_dir().join("daemonic-test-XXXXXX")).unwrap();
        let path = directory.join("notify");
        let listener = UnixDatagram::bind(&path).unwrap();
        let manager = of(&[(NOTIFY_SOCKET, path.to_str().unwrap())]).unwrap();
        assert_eq!(manager.wait_until_heard(Duration::from_millis(10)), Err(Errno::ETIMEDOUT));
        listener.recv(&mut [0; 64]).unwrap(); // without room for a descriptor the kernel closes it
        let waiting = std::thread::spawn(move || manager.wait_until_heard(Duration::from_secs(30)));
        listener.recv(&mut [0; 64]).unwrap();
        assert_eq!(waiting.join().unwrap(), Ok(()));
        std::fs::remove_dir_all(&directory).unwrap();
    }
}
