//! How a process that is being started says what failed, on any channel; between fork and exec, too.

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
    use std::io::Read;
    use std::os::fd::AsRawFd;
    use std::os::unix::net::UnixStream;

    use super::*;
    use crate::error::Failure;

    #[test]
    fn a_failure_is_read_as_it_was_written() {
        let (writer, mut reader) = UnixStream::pair().unwrap();
        send_failure(writer.as_raw_fd(), Step::Exec, Errno::ENOENT);
        drop(writer);
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        let failure = text.trim().strip_prefix("FAILURE=").and_then(Failure::parse).unwrap();
        assert_eq!((failure.step, failure.errno, failure.syscall), (Step::Exec, Errno::ENOENT, "execve"));
    }
}
