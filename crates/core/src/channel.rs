//! What is said while a start goes on: lines of `NAME=value` on stream sockets, daemon → middle → launcher.
//!
//! `MAINPID=pid` and `ENDED=status` are the middle's, `READY=1` is the daemon's (the sd_notify(3) text), and
//! `FAILURE=step errno [path]` comes from whoever could not go on. `TIMEOUT=1` is a supervisor's whose workers are not
//! ready in time. Writers are async-signal-safe.

use std::os::fd::RawFd;

use nix::errno::Errno;

use crate::error::{Failure, Step};
use crate::sys::fd::send_all;
use crate::sys::process::decimal;

pub const READY: &[u8] = b"READY=1\n";
pub const TIMEOUT: &[u8] = b"TIMEOUT=1\n";
/// The launcher's only word, where its end says nothing: the start is to be ended.
pub const END: &[u8] = b"END=1\n";

pub fn say_pid(to: RawFd, pid: i32) {
    say(to, b"MAINPID=", &[pid]);
}

pub fn say_ended(to: RawFd, status: i32) {
    say(to, b"ENDED=", &[status]);
}

pub fn say_failure(to: RawFd, step: Step, errno: Errno) {
    say(to, b"FAILURE=", &[step as i32, errno as i32]);
}

/// One line, in one piece. Nobody may be listening any more: then there is nobody to tell.
fn say(to: RawFd, name: &[u8], numbers: &[i32]) {
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

#[derive(Debug)]
pub enum Line {
    Pid(i32),
    Ready,
    TimedOut,
    Ended(i32),
    Failure(Failure),
    /// A worker's STATUS=…
    Status(String),
    /// A worker's WATCHDOG=1: its event loop turns.
    Beat,
    /// A worker's IDLE=1 or IDLE=0.
    Idle(bool),
    /// A worker's SUPERVISION=…: how it wants to be supervised.
    Supervision(String),
    /// A worker's BIND=…: what it wants to listen on.
    Bind(String),
    /// STOPPING=1: it ends by its own decision.
    Stopping,
}

/// What is no line by then is no line of ours.
const LONGEST_LINE: usize = 64 * 1024;

/// Lines out of a stream that comes in pieces; unknown ones are passed over.
#[derive(Debug, Default)]
pub struct Lines {
    pending: Vec<u8>,
}

impl Lines {
    pub fn feed(&mut self, bytes: &[u8]) {
        self.pending.extend_from_slice(bytes);
    }

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
        ("TIMEOUT", "1") => Some(Line::TimedOut),
        ("STATUS", text) => Some(Line::Status(text.to_owned())),
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
    fn what_a_writer_says_is_what_a_reader_hears() {
        let (writer, reader) = std::os::unix::net::UnixStream::pair().unwrap();
        let to = std::os::fd::AsRawFd::as_raw_fd(&writer);
        say_pid(to, 4_194_304);
        say_failure(to, Step::Exec, Errno::ENOENT);
        say_ended(to, 139);
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
