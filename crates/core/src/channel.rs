//! The channel of a start: lines of `NAME=value` on stream sockets, from the daemon to the middle to the launcher.
//!
//! The middle writes `MAINPID=pid` and `ENDED=status`, the daemon `READY=1` (the text of sd_notify(3)). Any of them
//! writes `FAILURE=step errno [path]` when it can't go on, and a supervisor `TIMEOUT=1` when its workers are not ready
//! in time. A daemon or worker that isn't ready after a while writes `WAITING=text`. A worker's other lines are for its supervisor alone. All writers here are async-signal-safe.

use std::os::fd::RawFd;

use nix::errno::Errno;

use crate::error::{Failure, Step};
use crate::sys::fd::send_all;
use crate::sys::process::decimal;

/// Daemon's line when it is ready.
pub const READY: &[u8] = b"READY=1\n";
/// Worker's line when it is ready by what the library sees, and the program itself did not say so.
pub const READY_BY_SIGHT: &[u8] = b"READY=seen\n";
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

/// Line that was read.
#[derive(Debug)]
pub enum Line {
    Pid(i32),
    Ready,
    /// READY=seen: the library found a worker's program ready, which didn't say so itself.
    ReadyBySight,
    TimedOut,
    Ended(i32),
    Failure(Failure),
    /// STATUS=…: a worker's own status text.
    Status(String),
    /// WAITING=…: what a daemon that isn't ready waits for, as a sentence.
    Waiting(String),
    /// WATCHDOG=1: a worker's event loop turns.
    Beat,
    /// IDLE=1 or IDLE=0: whether a worker serves no client.
    Idle(bool),
    /// SUPERVISION=…: how a worker wants to be supervised, as JSON.
    Supervision(String),
    /// BIND=…: the socket that a worker wants to have, as JSON.
    Bind(String),
    /// STOPPING=1: a worker exits by its own decision.
    Stopping,
}

/// Longest line that is read: nothing that daemonic writes is longer.
const LONGEST_LINE: usize = 64 * 1024;

/// Splits a stream that comes in pieces into lines; skips unknown ones.
#[derive(Debug, Default)]
pub struct Lines {
    pending: Vec<u8>,
}

impl Lines {
    /// Takes the next bytes of the stream.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.pending.extend_from_slice(bytes);
    }

    /// Takes the next complete line, if there is one.
    #[allow(clippy::should_implement_trait)] // more may come after None
    pub fn next(&mut self) -> Option<Line> {
        loop {
            let Some(end) = self.pending.iter().position(|&byte| byte == b'\n') else {
                if self.pending.len() > LONGEST_LINE {
                    self.pending.clear();
                }
                return None;
            };
            let line: Vec<u8> = self.pending.drain(..=end).collect();
            if let Some(line) = parse(&String::from_utf8_lossy(&line[..end])) {
                return Some(line);
            }
        }
    }
}

fn parse(line: &str) -> Option<Line> {
    match line.split_once('=')? {
        ("MAINPID", pid) => Some(Line::Pid(pid.parse().ok()?)),
        ("READY", "1") => Some(Line::Ready),
        ("READY", "seen") => Some(Line::ReadyBySight),
        ("TIMEOUT", "1") => Some(Line::TimedOut),
        ("STATUS", text) => Some(Line::Status(text.to_owned())),
        ("WAITING", text) => Some(Line::Waiting(text.to_owned())),
        ("WATCHDOG", "1") => Some(Line::Beat),
        ("IDLE", idle) => Some(Line::Idle(idle == "1")),
        ("SUPERVISION", text) => Some(Line::Supervision(text.to_owned())),
        ("BIND", listen) => Some(Line::Bind(listen.to_owned())),
        ("STOPPING", "1") => Some(Line::Stopping),
        ("ENDED", status) => Some(Line::Ended(status.parse().ok()?)),
        ("FAILURE", rest) => {
            let mut words = rest.splitn(3, ' ');
            let step = Step::from_number(words.next()?.parse().ok()?)?;
            let errno = Errno::from_raw(words.next()?.parse().ok()?);
            let failure = Failure::new(step, step.syscall(), errno);
            Some(Line::Failure(match words.next() {
                Some(path) => failure.at(path),
                None => failure,
            }))
        }
        _ => None,
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
        let mut lines = Lines::default();
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut &reader, &mut bytes).unwrap();
        for byte in bytes {
            lines.feed(&[byte]);
        }
        assert!(matches!(lines.next(), Some(Line::Pid(4_194_304))));
        assert!(matches!(
            lines.next(),
            Some(Line::Failure(Failure { step: Step::Exec, errno: Errno::ENOENT, syscall: "execve", path: None, .. }))
        ));
        assert!(matches!(lines.next(), Some(Line::Ended(139))));
        assert!(lines.next().is_none());
    }
}
