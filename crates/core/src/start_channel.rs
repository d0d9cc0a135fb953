//! The channels of a start: lines of `NAME=value` on stream sockets, from the daemon to the middle process, and from
//! that to the launcher.
//!
//! | line | from | means |
//! |---|---|---|
//! | `BUILD=…` | middle | it runs, and is of this build: the first line of all |
//! | `MAINPID=pid` | middle | the daemon has this pid |
//! | `READY=1` | daemon | it is ready |
//! | `WAITING=text` | daemon | it isn't ready after a while, and waits for this |
//! | `TIMEOUT=1` | supervisor as daemon | its workers were not ready in time |
//! | `FAILURE=step errno [path]` | daemon, middle | it can't go on |
//! | `ENDED=status` | middle | the daemon has exited |
//!
//! The middle passes on the daemon's lines, and no others than these. The launcher writes nothing but [`KILL`].

use std::os::fd::RawFd;

use crate::error::Failure;
use crate::lines::Lines;

/// Daemon's line when it is ready.
pub const READY: &[u8] = b"READY=1\n";
/// Supervisor's line when its workers were not ready in time.
pub const TIMEOUT: &[u8] = b"TIMEOUT=1\n";
/// Launcher's order to kill the daemon, needed where closing the channel doesn't say that already.
pub const KILL: &[u8] = b"KILL=1\n";

/// Line of a start.
#[derive(Debug)]
pub enum StartLine {
    Build(String),
    Pid(i32),
    Ready,
    /// What the daemon waits for, as a sentence.
    Waiting(String),
    TimedOut,
    Failure(Failure),
    /// The raw status with which the daemon exited or was killed: waitpid(2).
    Ended(i32),
}

impl StartLine {
    /// Reads a line without its newline; None for one that isn't known.
    pub fn parse(line: &str) -> Option<Self> {
        match line.split_once('=')? {
            ("BUILD", build) => Some(Self::Build(build.to_owned())),
            ("MAINPID", pid) => Some(Self::Pid(pid.parse().ok()?)),
            ("READY", "1") => Some(Self::Ready),
            ("WAITING", text) => Some(Self::Waiting(text.to_owned())),
            ("TIMEOUT", "1") => Some(Self::TimedOut),
            ("ENDED", status) => Some(Self::Ended(status.parse().ok()?)),
            ("FAILURE", failure) => Failure::parse(failure).map(Self::Failure),
            _ => None,
        }
    }

    /// Whether the middle passes it on when the daemon says it.
    pub fn is_from_daemon(&self) -> bool {
        matches!(self, Self::Ready | Self::Waiting(_) | Self::TimedOut | Self::Failure(_))
    }
}

/// Splits a stream that comes in pieces into lines; skips unknown ones.
#[derive(Debug, Default)]
pub struct StartLines {
    lines: Lines,
}

impl StartLines {
    /// Takes the next bytes of the stream.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.lines.feed(bytes);
    }

    /// Takes the next complete line, if there is one, with its text.
    pub fn take(&mut self) -> Option<(StartLine, String)> {
        loop {
            let text = self.lines.next()?;
            if let Some(line) = StartLine::parse(&text) {
                return Some((line, text));
            }
        }
    }
}

/// Writes one line in one piece. False: the reader is gone.
pub fn say(to: RawFd, line: &str) -> bool {
    crate::sys::fd::send_all(to, format!("{line}\n").as_bytes()).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(pieces: &[&[u8]]) -> Vec<(StartLine, String)> {
        let mut lines = StartLines::default();
        for piece in pieces {
            lines.feed(piece);
        }
        std::iter::from_fn(|| lines.take()).collect()
    }

    #[test]
    fn ready_is_found_in_pieces_and_only_as_a_whole_line() {
        let is_ready = |pieces: &[&[u8]]| lines(pieces).iter().any(|(line, _)| matches!(line, StartLine::Ready));
        assert!(is_ready(&[b"READY=1\n"]));
        assert!(is_ready(&[b"STATUS=x\nREA", b"DY=1", b"\n"]));
        assert!(is_ready(&[b"RE\nREADY=1\n"]));
        assert!(!is_ready(&[b"STATUS=READY=1\n"]));
        assert!(!is_ready(&[b"READY=1"]));
        assert!(!is_ready(&[b"xREADY=1\n"]));
    }

    #[test]
    fn a_daemon_speaks_of_itself_alone() {
        let text = b"BUILD=x\nMAINPID=7\nENDED=0\nREADY=1\nTIMEOUT=1\nFAILURE=3 2 /x y\n";
        let passed: Vec<_> =
            lines(&[text]).into_iter().filter(|(line, _)| line.is_from_daemon()).map(|(_, text)| text).collect();
        assert_eq!(passed, ["READY=1", "TIMEOUT=1", "FAILURE=3 2 /x y"]);
    }
}
