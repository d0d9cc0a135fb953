//! Lines of a worker to its supervisor, `NAME=value` on a stream socket; and how any process that is being started
//! says what failed.

use std::os::fd::RawFd;

use nix::errno::Errno;

use crate::error::{Failure, Step};
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

/// Reads the value of `FAILURE=step errno [path]`.
pub fn parse_failure(text: &str) -> Option<Failure> {
    let mut words = text.splitn(3, ' ');
    let step = Step::from_number(words.next()?.parse().ok()?)?;
    let errno = Errno::from_raw(words.next()?.parse().ok()?);
    let failure = Failure::new(step, step.syscall(), errno);
    Some(match words.next() {
        Some(path) => failure.at(path),
        None => failure,
    })
}

/// Line that was read.
#[derive(Debug)]
pub enum Line {
    Ready,
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
    /// SIGNALS=…: what the supervisor is to do with the signals that a worker maps, as JSON.
    Signals(String),
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
            let text = split_line(&mut self.pending)?;
            if let Some(line) = parse(&text) {
                return Some(line);
            }
        }
    }
}

/// Takes the first complete line off what has come, without its newline.
pub fn split_line(pending: &mut Vec<u8>) -> Option<String> {
    let Some(end) = pending.iter().position(|&byte| byte == b'\n') else {
        if pending.len() > LONGEST_LINE {
            pending.clear();
        }
        return None;
    };
    let line: Vec<u8> = pending.drain(..=end).collect();
    Some(String::from_utf8_lossy(&line[..end]).into_owned())
}

fn parse(line: &str) -> Option<Line> {
    match line.split_once('=')? {
        ("READY", "1") => Some(Line::Ready),
        ("STATUS", text) => Some(Line::Status(text.to_owned())),
        ("WAITING", text) => Some(Line::Waiting(text.to_owned())),
        ("WATCHDOG", "1") => Some(Line::Beat),
        ("IDLE", idle) => Some(Line::Idle(idle == "1")),
        ("SUPERVISION", text) => Some(Line::Supervision(text.to_owned())),
        ("SIGNALS", text) => Some(Line::Signals(text.to_owned())),
        ("BIND", listen) => Some(Line::Bind(listen.to_owned())),
        ("STOPPING", "1") => Some(Line::Stopping),
        ("FAILURE", failure) => parse_failure(failure).map(Line::Failure),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_read_as_it_was_written() {
        let (writer, reader) = std::os::unix::net::UnixStream::pair().unwrap();
        send_failure(std::os::fd::AsRawFd::as_raw_fd(&writer), Step::Exec, Errno::ENOENT);
        drop(writer);
        let mut lines = Lines::default();
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut &reader, &mut bytes).unwrap();
        for byte in bytes {
            lines.feed(&[byte]);
        }
        assert!(matches!(
            lines.next(),
            Some(Line::Failure(Failure { step: Step::Exec, errno: Errno::ENOENT, syscall: "execve", path: None, .. }))
        ));
        assert!(lines.next().is_none());
    }
}
