//! The sockets on which this process waits for clients, whoever opened them.

use std::os::fd::{AsRawFd, RawFd};

use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, SockType, SockaddrLike, SockaddrStorage, getpeername, getsockname, socket};

use super::fd;

/// Closes every listening socket and bound datagram socket of this process, so that another can bind their addresses. Each
/// number becomes a socket that does nothing: what still knows the number closes that. For a process that is exiting.
pub fn close_all() {
    let Ok(nothing) = socket(AddressFamily::Unix, SockType::Stream, fd::SOCKET_FLAGS, None) else { return };
    let Ok(entries) = std::fs::read_dir("/dev/fd") else { return };
    let numbers: Vec<RawFd> = entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|&number| number > 2)
        .collect();
    for number in numbers.into_iter().filter(|&number| keeps_address(number)) {
        let _ = fd::place(nothing.as_raw_fd(), number);
    }
}

/// Whether the number is a socket that keeps others from binding its address.
fn keeps_address(number: RawFd) -> bool {
    option(number, libc::SO_ACCEPTCONN) == Ok(1)
        || (option(number, libc::SO_TYPE) == Ok(libc::SOCK_DGRAM) && is_bound(number))
}

/// Whether a datagram socket has an address of its own, and no peer.
fn is_bound(number: RawFd) -> bool {
    let is_internet = getsockname::<SockaddrStorage>(number).is_ok_and(|address| {
        address.family() == Some(AddressFamily::Inet) || address.family() == Some(AddressFamily::Inet6)
    });
    is_internet && getpeername::<SockaddrStorage>(number) == Err(Errno::ENOTCONN)
}

fn option(number: RawFd, name: libc::c_int) -> nix::Result<libc::c_int> {
    let mut value: libc::c_int = 0;
    let mut length = libc::socklen_t::try_from(size_of::<libc::c_int>()).unwrap_or(0);
    // SAFETY: getsockopt(2) fills an int and its length, of this frame; a number that is no socket is ENOTSOCK.
    Errno::result(unsafe {
        libc::getsockopt(number, libc::SOL_SOCKET, name, (&raw mut value).cast(), &raw mut length)
    })?;
    Ok(value)
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream, UdpSocket};

    use super::*;

    #[test]
    fn listeners_and_bound_datagram_sockets_keep_their_address_and_connections_do_not() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let connection = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let datagrams = UdpSocket::bind("127.0.0.1:0").unwrap();
        assert!(keeps_address(listener.as_raw_fd()));
        assert!(keeps_address(datagrams.as_raw_fd()));
        assert!(!keeps_address(connection.as_raw_fd()));
        assert!(!keeps_address(0));
        datagrams.connect("127.0.0.1:9").unwrap();
        assert!(!keeps_address(datagrams.as_raw_fd()));
    }
}
