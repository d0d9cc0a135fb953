//! How a process that is being started says what failed, to whoever started it: the one line that the channel of a start
//! ([`start_channel`](crate::start_channel)) and that of a worker ([`worker_channel`](crate::worker_channel)) share.

use std::os::fd::RawFd;

use nix::errno::Errno;

use crate::error::Step;
use crate::sys::fd::send_all;
use crate::sys::process::{PID_ROOM, decimal};

/// Writes `FAILURE=step errno`: at which step a process failed, and with which errno. If the reader is gone, nothing is
/// lost: nobody waits for the line. Async-signal-safe.
pub fn send_failure(to: RawFd, step: Step, errno: Errno) {
    let mut line = [0; 48];
    let mut end = 0;
    let mut put = |bytes: &[u8]| {
        line[end..end + bytes.len()].copy_from_slice(bytes);
        end += bytes.len();
    };
    put(b"FAILURE=");
    put(decimal(u32::from(step as u8), &mut [0; PID_ROOM]));
    put(b" ");
    put(decimal((errno as i32).unsigned_abs(), &mut [0; PID_ROOM]));
    put(b"\n");
    let _ = send_all(to, &line[..end]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Failure;

    #[test]
    fn a_failure_is_read_as_it_was_written() {
        let (writer, mut reader) = std::os::unix::net::UnixStream::pair().unwrap();
        send_failure(std::os::fd::AsRawFd::as_raw_fd(&writer), Step::Exec, Errno::ENOENT);
        drop(writer);
        let mut text = String::new();
        std::io::Read::read_to_string(&mut reader, &mut text).unwrap();
        let failure = Failure::parse(text.trim_end().strip_prefix("FAILURE=").unwrap());
        assert!(matches!(
            failure,
            Some(Failure { step: Step::Exec, errno: Errno::ENOENT, syscall: "execve", path: None, .. })
        ));
    }
}
