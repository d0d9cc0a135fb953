//! Notifications to a service manager: sd_notify(3), without libsystemd.

use std::os::unix::net::{SocketAddr, UnixDatagram};

/// Sends `text` to the datagram socket at `address` ($NOTIFY_SOCKET: a path, or `@` and an abstract name).
pub fn notify(address: &str, text: &str) -> std::io::Result<()> {
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?; // a service manager that doesn't read must not stop the event loop
    let address = match address.strip_prefix('@') {
        #[cfg(target_os = "linux")]
        Some(name) => {
            use std::os::linux::net::SocketAddrExt;
            SocketAddr::from_abstract_name(name)?
        }
        #[cfg(not(target_os = "linux"))]
        Some(_) => return Err(std::io::ErrorKind::Unsupported.into()),
        None => SocketAddr::from_pathname(address)?,
    };
    socket.send_to_addr(text.as_bytes(), &address).map(drop)
}
