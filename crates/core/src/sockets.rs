//! Listening sockets. The launcher binds them, before rights are dropped, and so that errors reach its terminal.

use std::ffi::CString;
use std::net::{SocketAddr, ToSocketAddrs};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::socket::{
    AddressFamily, Backlog, SockType, SockaddrLike, SockaddrStorage, UnixAddr, bind, connect, getsockname, getsockopt,
    listen, setsockopt, socket, sockopt,
};

use crate::error::{During, Error, Failure, Result, Step, errno_of};
use crate::place::require_no_strange_link;
use crate::sys::fd::{self, FileId};
use crate::sys::path::c_path;

/// Socket that is to be bound.
#[derive(Debug)]
pub struct Listen {
    /// Name by which the program finds the socket.
    pub name: String,
    /// Address.
    pub target: Target,
    /// Connections that may wait to be accepted: listen(2).
    pub backlog: i32,
    /// Whether an IPv6 socket takes no IPv4.
    pub ipv6_only: bool,
    /// Whether several sockets may have the address: SO_REUSEPORT.
    pub reuse_port: bool,
    /// Whether it is a datagram socket.
    pub udp: bool,
}

/// Address of a socket.
#[derive(Debug)]
pub enum Target {
    /// Without a host: every interface, IPv6 and IPv4, as Node's server.listen(port) does.
    Inet {
        /// Host; None: all addresses.
        host: Option<String>,
        /// Port; 0: one that is free.
        port: u16,
    },
    /// A socket in the file system.
    Unix {
        /// Path of the socket.
        path: PathBuf,
        /// Mode of the socket; None: by the umask.
        mode: Option<u32>,
    },
    /// A descriptor from a service manager, which listens already.
    Passed(RawFd),
}

/// Socket that was bound.
#[derive(Debug)]
pub struct Bound {
    /// The socket.
    pub socket: OwnedFd,
    /// Address as address_of() returns it; for a Unix socket the whole path, of which the kernel may know only a part.
    pub address: String,
    /// File of a Unix socket.
    pub file: Option<SocketFile>,
}

/// File of a Unix socket. Only this very file is ever removed, never one that another start has put in its place.
#[derive(Debug, Clone)]
pub struct SocketFile {
    name: CString,
    identity: FileId,
}

crate::packing::pack_fields!(SocketFile { name, identity });

impl SocketFile {
    /// Identifies the file that lies at `path` now.
    pub fn of(path: &Path) -> std::result::Result<Self, Failure> {
        let name = c_path(path, Step::Listen)?;
        let identity = FileId::named(&name).during(Step::Listen, "lstat")?;
        Ok(Self { name, identity })
    }

    /// Whether the path still names this file.
    #[must_use]
    pub fn is_in_place(&self) -> bool {
        FileId::named(&self.name) == Ok(self.identity)
    }

    /// Removes the file if it is in place. Async-signal-safe.
    pub fn remove(&self) {
        if self.is_in_place() {
            let _ = fd::unlink(&self.name);
        }
    }
}

/// Binds all sockets, or none: after a failure those before it are closed and their files removed.
pub fn bind_all(targets: &[Listen]) -> Result<Vec<Bound>> {
    let mut all = Vec::new();
    for target in targets {
        match bind_one(target) {
            Ok(bound) => all.push(bound),
            Err(error) => {
                remove_files(&all);
                return Err(error);
            }
        }
    }
    Ok(all)
}

/// Removes the socket files after a failed start.
pub fn remove_files(sockets: &[Bound]) {
    sockets.iter().filter_map(|bound| bound.file.as_ref()).for_each(SocketFile::remove);
}

fn bind_one(spec: &Listen) -> Result<Bound> {
    match &spec.target {
        Target::Unix { path, mode } => {
            require_no_strange_link(path, Step::Listen)?;
            let socket = bind_unix(spec, path, *mode)?;
            let address = path.to_string_lossy().into_owned();
            Ok(Bound { socket, address, file: Some(SocketFile::of(path)?) })
        }
        &Target::Passed(number) => {
            let socket = fd::duplicate_raw(number, 3).during(Step::Listen, "fcntl")?;
            Ok(Bound { socket, address: address_of(number), file: None })
        }
        Target::Inet { host, port } => {
            let socket = bind_inet(spec, host.as_deref(), *port)?;
            let address = address_of(socket.as_raw_fd());
            Ok(Bound { socket, address, file: None })
        }
    }
}

fn bind_inet(spec: &Listen, host: Option<&str>, port: u16) -> Result<OwnedFd> {
    let shown = format!("{}:{port}", host.unwrap_or("*"));
    let failed = |failure: Failure| Error::System(failure.at(&shown));
    let Some(host) = host else {
        let every = |address: &str| SocketAddr::new(address.parse().expect("a literal address"), port);
        return match open_inet(spec, every("::"), false) {
            // This machine has no IPv6.
            Err(failure) if matches!(failure.errno, Errno::EAFNOSUPPORT | Errno::EADDRNOTAVAIL) => {
                open_inet(spec, every("0.0.0.0"), false).map_err(failed)
            }
            other => other.map_err(failed),
        };
    };
    let mut addresses = (host, port).to_socket_addrs().map_err(|error| {
        let errno = error.raw_os_error().map_or(Errno::EADDRNOTAVAIL, Errno::from_raw);
        failed(Failure::new(Step::Listen, "getaddrinfo", errno).because(error.to_string()))
    })?;
    let address =
        addresses.next().ok_or_else(|| failed(Failure::new(Step::Listen, "getaddrinfo", Errno::EADDRNOTAVAIL)))?;
    open_inet(spec, address, spec.ipv6_only).map_err(failed)
}

fn open_inet(spec: &Listen, address: SocketAddr, ipv6_only: bool) -> std::result::Result<OwnedFd, Failure> {
    let family = if address.is_ipv6() { AddressFamily::Inet6 } else { AddressFamily::Inet };
    let socket = new_socket(family, spec.udp)?;
    if address.is_ipv6() {
        setsockopt(&socket, sockopt::Ipv6V6Only, &ipv6_only).during(Step::Listen, "setsockopt")?;
    }
    if !spec.udp {
        // As libuv does: then a port in TIME_WAIT can be bound, while a port in use still can't.
        setsockopt(&socket, sockopt::ReuseAddr, &true).during(Step::Listen, "setsockopt")?;
    }
    if spec.reuse_port {
        setsockopt(&socket, sockopt::ReusePort, &true).during(Step::Listen, "setsockopt")?;
    }
    bind(socket.as_raw_fd(), &SockaddrStorage::from(address)).during(Step::Listen, "bind")?;
    start_listening(socket, spec)
}

fn bind_unix(spec: &Listen, path: &Path, mode: Option<u32>) -> Result<OwnedFd> {
    let failed = |failure: Failure| Error::System(failure.at(path));
    let socket = new_socket(AddressFamily::Unix, spec.udp).map_err(failed)?;
    if let Some(mode) = mode {
        // Linux creates the file with the socket's own mode, so that it is never more open than asked. After bind the
        // bits are added that the umask took away.
        let _ = nix::sys::stat::fchmod(&socket, permissions(mode));
    }
    let (_directory, address) = short_address(path).map_err(failed)?;
    let bound = match bind(socket.as_raw_fd(), &address) {
        Err(Errno::EADDRINUSE) if is_stale(path, &address) => {
            std::fs::remove_file(path)
                .map_err(|error| failed(Failure::new(Step::Listen, "unlink", errno_of(&error))))?;
            bind(socket.as_raw_fd(), &address)
        }
        other => other,
    };
    bound.during(Step::Listen, "bind").map_err(failed)?;
    if let Some(mode) = mode {
        set_mode(&socket, path, mode).map_err(failed)?;
    }
    start_listening(socket, spec).map_err(failed)
}

/// Sets the mode of a bound socket's file. Who may write to its directory can put another file in its place since the
/// bind, so that the mode is set of a descriptor, never by the path.
#[cfg(target_os = "linux")]
fn set_mode(socket: &OwnedFd, path: &Path, mode: u32) -> std::result::Result<(), Failure> {
    let file = if let Ok(file) = fd::file_of_socket(socket.as_raw_fd()) {
        file
    } else {
        // Without CAP_NET_ADMIN. An ordinary user gains nothing by a swapped file; of root's, only a socket is changed.
        let flags = libc::O_PATH | libc::O_NOFOLLOW;
        fd::open(&c_path(path, Step::Listen)?, flags, 0).during(Step::Listen, "open")?
    };
    let facts = nix::sys::stat::fstat(&file).during(Step::Listen, "fstat")?;
    let is_ours = facts.st_mode & libc::S_IFMT == libc::S_IFSOCK
        && facts.st_uid == nix::unistd::geteuid().as_raw()
        && facts.st_nlink <= 1;
    if !is_ours {
        let why = "another file was put in the place of the socket since it was bound";
        return Err(Failure::new(Step::Listen, "chmod", Errno::EPERM).because(why));
    }
    let wanted = permissions(mode);
    if nix::sys::stat::Mode::from_bits_truncate(facts.st_mode) == wanted {
        return Ok(());
    }
    // fchmod(2) refuses a descriptor of O_PATH, and fchmodat2(2) came with Linux 6.6.
    let by_descriptor = format!("/proc/self/fd/{}", file.as_raw_fd());
    let follow = nix::sys::stat::FchmodatFlags::FollowSymlink;
    nix::sys::stat::fchmodat(nix::fcntl::AT_FDCWD, by_descriptor.as_str(), wanted, follow).during(Step::Listen, "chmod")
}

/// Sets the mode of a bound socket's file; a link in its place is not followed.
#[cfg(not(target_os = "linux"))]
fn set_mode(_socket: &OwnedFd, path: &Path, mode: u32) -> std::result::Result<(), Failure> {
    let no_follow = nix::sys::stat::FchmodatFlags::NoFollowSymlink;
    nix::sys::stat::fchmodat(nix::fcntl::AT_FDCWD, path, permissions(mode), no_follow).during(Step::Listen, "chmod")
}

/// Whether `path` is a socket file to which no process listens. A file of another kind is never stale.
fn is_stale(path: &Path, address: &UnixAddr) -> bool {
    use std::os::unix::fs::FileTypeExt;
    std::fs::symlink_metadata(path).is_ok_and(|file| file.file_type().is_socket())
        && [SockType::Stream, SockType::Datagram].iter().any(|&kind| {
            // Without blocking: where a backlog is full, connect(2) would wait until the listener accepts.
            socket(AddressFamily::Unix, kind, fd::SOCKET_FLAGS, None).is_ok_and(|probe| {
                fcntl(&probe, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).is_ok()
                    && connect(probe.as_raw_fd(), address) == Err(Errno::ECONNREFUSED)
            })
        })
}

/// Makes an address for a path of any length. `sun_path` is short (108 bytes, 104 on BSDs), so a longer path goes
/// through a descriptor of its directory, which the caller keeps open until the socket is bound or connected.
pub fn short_address(path: &Path) -> std::result::Result<(Option<OwnedFd>, UnixAddr), Failure> {
    if let Ok(address) = UnixAddr::new(path) {
        return Ok((None, address));
    }
    let too_long = || Failure::new(Step::Listen, "bind", Errno::ENAMETOOLONG);
    let (directory, name) = path.parent().zip(path.file_name()).ok_or_else(too_long)?;
    let directory = std::fs::File::open(directory)
        .map_err(|error| Failure::new(Step::Listen, "open", errno_of(&error)))
        .map(OwnedFd::from)?;
    let mut short = PathBuf::from(format!("/proc/self/fd/{}", directory.as_raw_fd()));
    short.push(name);
    let address = UnixAddr::new(&short).map_err(|_| too_long())?;
    Ok((Some(directory), address))
}

fn permissions(mode: u32) -> nix::sys::stat::Mode {
    nix::sys::stat::Mode::from_bits_truncate(libc::mode_t::try_from(mode).unwrap_or(0o600))
}

fn new_socket(family: AddressFamily, udp: bool) -> std::result::Result<OwnedFd, Failure> {
    let kind = if udp { SockType::Datagram } else { SockType::Stream };
    let socket = socket(family, kind, fd::SOCKET_FLAGS, None).during(Step::Listen, "socket")?;
    fd::close_at_exec(socket.as_raw_fd()).during(Step::Listen, "fcntl")?;
    Ok(socket)
}

/// Lets the socket listen, unless it is one for datagrams.
fn start_listening(socket: OwnedFd, spec: &Listen) -> std::result::Result<OwnedFd, Failure> {
    if !spec.udp {
        let backlog = Backlog::new(spec.backlog).unwrap_or(Backlog::MAXCONN);
        listen(&socket, backlog).during(Step::Listen, "listen")?;
    }
    Ok(socket)
}

/// Returns the address of a listening socket: `HOST:PORT`, `[V6]:PORT`, or the path of a Unix socket.
#[must_use]
pub fn address_of(socket: RawFd) -> String {
    let Ok(address) = getsockname::<SockaddrStorage>(socket) else {
        return String::new();
    };
    if let Some(unix) = address.as_unix_addr() {
        return unix
            .path()
            .map(|path| String::from_utf8_lossy(path.as_os_str().as_bytes()).into_owned())
            .unwrap_or_default();
    }
    debug_assert!(address.len() > 0);
    address.to_string()
}

/// Kind of a socket that somebody else has made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SocketKind {
    /// It accepts connections.
    Listening,
    /// It is a connection itself.
    Connection,
    /// It receives datagrams.
    Datagram,
}

/// Returns the kind of the socket that has this number; None for another kind of file.
#[must_use]
pub fn kind_of(number: RawFd) -> Option<SocketKind> {
    let socket = fd::duplicate_raw(number, 3).ok()?;
    let kind = match getsockopt(&socket, sockopt::SockType).ok()? {
        SockType::Datagram => SocketKind::Datagram,
        _ if getsockopt(&socket, sockopt::AcceptConn) == Ok(true) => SocketKind::Listening,
        _ => SocketKind::Connection,
    };
    Some(kind)
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::{UnixListener, UnixStream};
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_socket_whose_backlog_is_full_is_in_use_and_is_not_waited_for() {
        let directory = nix::unistd::mkdtemp(&std::env::temp_dir().join("daemonic-test-XXXXXX")).unwrap();
        let path = directory.join("full.sock");
        let listener = UnixListener::bind(&path).unwrap();
        listen(&listener, Backlog::new(0).unwrap()).unwrap();
        let client = UnixStream::connect(&path).unwrap();
        let (done, asked) = std::sync::mpsc::channel();
        let probed = path.clone();
        std::thread::spawn(move || done.send(is_stale(&probed, &UnixAddr::new(&probed).unwrap())));
        assert_eq!(asked.recv_timeout(Duration::from_secs(20)), Ok(false));
        drop((client, listener));
        std::fs::remove_dir_all(&directory).unwrap();
    }
}
