//! The channel of a start: lines of `NAME=value` on stream sockets, from the daemon to the middle to the launcher.
//!
//! The middle writes `MAINPID=pid` and `ENDED=status`, the daemon `READY=1` (the text of sd_notify(3)). Any of them
//! writes `FAILURE=step errno [path]` when it can't go on, and a supervisor `TIMEOUT=1` when its workers are not ready
//! in time. A daemon that isn't ready after a while writes `WAITING=text`. What a worker says to its supervisor is another
//! protocol ([`worker_channel`](crate::worker_channel)). All writers here are async-signal-safe.

use std::os::fd::RawFd;

use nix::errno::Errno;

use crate::error::{Failure, Step};
use crate::sys::fd::send_all;
use crate::sys::process::decimal;

/// Daemon's line when it is ready.
pub const READY: &[u8] = b"READY=1\n";
/// Supervisor's line when its workers were not ready in time.
pub const TIMEOUT: &[u8] = b"TIMEOUT=1\n";
/// Launcher's order to kill the daemon, needed where closing the channel doesn't say that already.
pub const KILL: &[u8] = b"KILL=1\n";

/// Writes the daemon's pid.
pub fn send_pid(to: RawFd, pid: i32) {
    send(to, b"MAINPID=", &[pid]);
}

/// Writes the raw status with which the daemon exited or was killed.
pub fn send_ended(to: RawFd, status: i32) {
    send(to, b"ENDED=", &[status]);
}

/// Writes at which step a process failed, and with which errno.
pub fn send_failure(to: RawFd, step: Step, errno: Errno) {
    send(to, b"FAILURE=", &[step as i32, errno as i32]);
}

/// Writes one line in one piece. If the reader is gone, nothing is lost: nobody waits for the line.
fn send(to: RawFd, name: &[u8], numbers: &[i32]) {
    let mut line = [0; 48];
    let mut end = 0;
    let mut put = |bytes: &[u8]| {
        line[end..end + bytes.len()].copy_from_slice(bytes);
        end += bytes.len();
    };
    put(name);
    for (index, number) in numbers.iter().enumerate() {
        put(if index == 0 { b"" } else { b" " });
        put(decimal(number.unsigned_abs(), &mut [0; 11]));
    }
    put(b"\n");
    let _ = send_all(to, &line[..end]);
}

/// Finds [`READY`] at the start of a line in a stream that comes in pieces. Async-signal-safe.
#[derive(Default)]
pub struct ReadyScan {
    matched: usize,
    elsewhere: bool,
}

impl ReadyScan {
    /// Takes the next bytes; true once [`READY`] is complete.
    pub fn feed(&mut self, bytes: &[u8]) -> bool {
        for &byte in bytes {
            if !self.elsewhere && byte == READY[self.matched] {
                self.matched += 1;
                if self.matched == READY.len() {
                    return true;
                }
            } else {
                self.elsewhere = byte != b'\n';
                self.matched = 0;
            }
        }
        false
    }
}

/// Line of a start.
#[derive(Debug)]
pub enum Line {
    /// `MAINPID=pid`: the daemon's pid.
    Pid(i32),
    /// `READY=1`: the daemon is ready.
    Ready,
    /// `TIMEOUT=1`: the supervisor's workers were not ready in time.
    TimedOut,
    /// `ENDED=status`: how the daemon exited.
    Ended(i32),
    /// `FAILURE=step errno [path]`: what failed in middle or daemon.
    Failure(Failure),
    /// `WAITING=text`: what a daemon that isn't ready waits for, as a sentence.
    Waiting(String),
}

impl Line {
    /// Reads a line; None if it is none of a start's.
    #[must_use]
    pub fn parse(line: &str) -> Option<Self> {
        match line.split_once('=')? {
            ("MAINPID", pid) => Some(Self::Pid(pid.parse().ok()?)),
            ("READY", "1") => Some(Self::Ready),
            ("TIMEOUT", "1") => Some(Self::TimedOut),
            ("WAITING", text) => Some(Self::Waiting(text.to_owned())),
            ("ENDED", status) => Some(Self::Ended(status.parse().ok()?)),
            ("FAILURE", text) => Some(Self::Failure(Failure::parse(text)?)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_is_found_in_pieces_and_only_at_the_start_of_a_line() {
        let scan = |pieces: &[&[u8]]| {
            let mut scan = ReadyScan::default();
            pieces.iter().any(|piece| scan.feed(piece))
        };
        assert!(scan(&[b"READY=1\n"]));
        assert!(scan(&[b"STATUS=x\nREA", b"DY=1", b"\n"]));
        assert!(scan(&[b"RE\nREADY=1\n"]));
        assert!(!scan(&[b"STATUS=READY=1\n"]));
        assert!(!scan(&[b"READY=1"]));
        assert!(!scan(&[b"xREADY=1\n"]));
    }

    #[test]
    fn a_line_is_read_as_it_was_written() {
        let (writer, reader) = std::os::unix::net::UnixStream::pair().unwrap();
        let to = std::os::fd::AsRawFd::as_raw_fd(&writer);
        send_pid(to, 4_194_304);
        send_failure(to, Step::Exec, Errno::ENOENT);
        send_ended(to, 139);
        drop(writer);
        let mut lines = crate::lines::Lines::default();
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut &reader, &mut bytes).unwrap();
        for byte in bytes {
            lines.feed(&[byte]);
        }
        let mut next = || lines.next().and_then(|line| Line::parse(&line));
        assert!(matches!(next(), Some(Line::Pid(4_194_304))));
        assert!(matches!(
            next(),
            Some(Line::Failure(Failure { step: Step::Exec, errno: Errno::ENOENT, syscall: "execve", path: None, .. }))
        ));
        assert!(matches!(next(), Some(Line::Ended(139))));
        assert!(next().is_none());
    }
}
