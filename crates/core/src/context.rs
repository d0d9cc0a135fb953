//! Facts that tell whether something else already supervises this process. What follows from them is decided where
//! the environment is known: src/context.ts.

use nix::unistd::{Pid, getpid, getppid, getsid};

use crate::sys::fd;

#[derive(Debug, Clone, Copy)]
#[allow(clippy::struct_excessive_bools)] // facts, not states
pub struct Facts {
    /// Descriptors 0 and 1 are one and the same socket: an internet superserver's.
    pub one_socket_for_stdio: bool,
    /// Our session's leader is pid 1 of this PID namespace, or we are.
    pub led_by_first_process: bool,
    pub child_of_first_process: bool,
    pub leads_session: bool,
    pub has_terminal: bool,
}

#[must_use]
pub fn facts() -> Facts {
    let session = getsid(None).map_or(0, nix::unistd::Pid::as_raw);
    Facts {
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

/// A shell that is pid 1 without leading its session has us in one whose leader is outside of the PID namespace: then
/// both are 0.
fn shares_session_with_first_process() -> bool {
    getsid(Some(Pid::from_raw(1))).is_ok_and(|first| Ok(first) == getsid(None))
}

fn one_socket(one: i32, other: i32) -> bool {
    let (Ok(one), Ok(other)) = (fd::stat_raw(one), fd::stat_raw(other)) else {
        return false;
    };
    one.st_mode & libc::S_IFMT == libc::S_IFSOCK && (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino)
}

/// /dev/tty opens only for a process that has a controlling terminal: tty(4).
fn has_terminal() -> bool {
    fd::open(c"/dev/tty", libc::O_RDONLY | libc::O_NOCTTY | libc::O_NONBLOCK, 0).is_ok()
}
