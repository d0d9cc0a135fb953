//! What a worker says to its supervisor, on the channel that the supervisor made for it: lines of `NAME=value`.
//!
//! Three protocols look alike and are three types, since their writers are trusted with different things: this one, the
//! channel of a start ([`start_channel`](crate::start_channel)), and the datagrams of sd_notify(3)
//! ([`Notification`](crate::notify::Notification)), which any process may send that descends from a worker.

use std::os::fd::RawFd;

use crate::error::Failure;

/// Worker's line when it is ready by what the library sees, and the program itself has not said so.
pub const READY_BY_SIGHT: &[u8] = b"READY=seen\n";

/// Line of a worker.
#[derive(Debug, PartialEq, Eq)]
pub enum WorkerLine {
    /// `READY=1`: it can serve.
    Ready,
    /// `READY=seen`: the library found that it can serve, and its program has not said so.
    ReadyBySight,
    /// `STATUS=text`: a status text for people.
    Status(String),
    /// `WAITING=text`: what it waits for, as a sentence, while it isn't ready.
    Waiting(String),
    /// `WATCHDOG=1`: its event loop turns.
    Beat,
    /// `IDLE=1` or `IDLE=0`: whether it serves no client.
    Idle(bool),
    /// `STOPPING=1`: it exits by its own decision.
    Stopping,
    /// `WISHES=number json`: how the program's own call of daemonize() wants it to be supervised. The number stands in the
    /// answer.
    Wishes { request: u64, wishes: String },
    /// `SIGNALS=json`: what the supervisor is to do with the signals that the program maps.
    Signals(String),
    /// `BIND=number json`: the socket that it wants to have. The number stands in the answer.
    Bind { request: u64, listen: String },
    /// `LOST=numbers`: it had no free descriptor for the log that was to replace these.
    LostLog(Vec<RawFd>),
    /// `FAILURE=step errno [path]`: it could not be set up. Its exit follows.
    Failure(Failure),
}

impl WorkerLine {
    /// Reads a line; None if it is none of a worker's.
    #[must_use]
    pub fn parse(line: &str) -> Option<Self> {
        Some(match line.split_once('=')? {
            ("READY", "1") => Self::Ready,
            ("READY", "seen") => Self::ReadyBySight,
            ("STATUS", text) => Self::Status(text.to_owned()),
            ("WAITING", text) => Self::Waiting(text.to_owned()),
            ("WATCHDOG", "1") => Self::Beat,
            ("IDLE", "1") => Self::Idle(true),
            ("IDLE", "0") => Self::Idle(false),
            ("STOPPING", "1") => Self::Stopping,
            ("WISHES", rest) => {
                let (request, wishes) = rest.split_once(' ')?;
                Self::Wishes { request: request.parse().ok()?, wishes: wishes.to_owned() }
            }
            ("SIGNALS", signals) => Self::Signals(signals.to_owned()),
            ("BIND", rest) => {
                let (request, listen) = rest.split_once(' ')?;
                Self::Bind { request: request.parse().ok()?, listen: listen.to_owned() }
            }
            ("LOST", numbers) => Self::LostLog(numbers.split(' ').filter_map(|each| each.parse().ok()).collect()),
            ("FAILURE", text) => Self::Failure(Failure::parse(text)?),
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_launcher_and_a_middle_say_is_not_a_workers() {
        for line in ["MAINPID=1", "ENDED=0", "TIMEOUT=1", "KILL=1", "SUPERVISION={}", "READY=2", "READY", ""] {
            assert_eq!(WorkerLine::parse(line), None, "{line}");
        }
    }

    #[test]
    fn a_request_has_a_number() {
        let bind = WorkerLine::Bind { request: 7, listen: r#"{"name":"a b"}"#.to_owned() };
        assert_eq!(WorkerLine::parse(r#"BIND=7 {"name":"a b"}"#), Some(bind));
        assert_eq!(WorkerLine::parse(r#"BIND={"name":"a"}"#), None);
    }
}
