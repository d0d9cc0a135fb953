//! Surroundings of this process: facts that show whether a service manager, a container or a terminal runs it. The
//! TypeScript side, which also knows the environment, decides what follows from them.

use nix::unistd::{Pid, getpid, getppid, getsid};

use crate::sys::fd;

/// Facts about this process's session, parent and streams.
#[derive(Debug, Clone, Copy)]
#[allow(clippy::struct_excessive_bools)] // facts, not states
pub struct Surroundings {
    /// Whether descriptors 0 and 1 are the same socket, as inetd sets them up.
    pub one_socket_for_stdio: bool,
    /// Whether pid 1 of this PID namespace is this process or leads its session.
    pub led_by_first_process: bool,
    pub child_of_first_process: bool,
    pub leads_session: bool,
    pub has_terminal: bool,
}

/// Looks at the surroundings of this process.
#[must_use]
pub fn surroundings() -> Surroundings {
    let session = getsid(None).map_or(0, nix::unistd::Pid::as_raw);
    Surroundings {
        one_socket_for_stdio: one_socket(0, 1),
        led_by_first_process: getpid().as_raw() == 1 || session == 1 || shares_session_with_first_process(),
        child_of_first_process: getppid().as_raw() == 1,
        leads_session: getpid().as_raw() == session,
        has_terminal: has_terminal(),
    }
}

/// Whether descriptor `number` is the file that $JOURNAL_STREAM (`DEVICE:INODE`) names: systemd.exec(5).
#[must_use]
#[allow(clippy::unnecessary_cast, clippy::cast_sign_loss)]
pub fn is_journal_stream(number: i32, stream: &str) -> bool {
    let Ok(stat) = fd::stat_raw(number) else { return false };
    stream == format!("{}:{}", stat.st_dev as u64, stat.st_ino as u64)
}

/// Whether this process and pid 1 are in the same session. A shell can be pid 1 without leading its session; the leader
/// is then outside of the PID namespace, and both session ids read as 0.
fn shares_session_with_first_process() -> bool {
    getsid(Some(Pid::from_raw(1))).is_ok_and(|first| Ok(first) == getsid(None))
}

/// Whether two descriptors are the same socket.
fn one_socket(one: i32, other: i32) -> bool {
    let (Ok(one), Ok(other)) = (fd::stat_raw(one), fd::stat_raw(other)) else {
        return false;
    };
    one.st_mode & libc::S_IFMT == libc::S_IFSOCK && (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino)
}

/// Whether this process has a controlling terminal: only then /dev/tty can be opened (tty(4)).
fn has_terminal() -> bool {
    fd::open(c"/dev/tty", libc::O_RDONLY | libc::O_NOCTTY | libc::O_NONBLOCK, 0).is_ok()
}
