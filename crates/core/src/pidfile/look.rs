//! Reading the locks and the text of an open pid file.

use std::path::Path;

use nix::errno::Errno;

use super::kernel::Kernel;
use super::layout::{MOST_RACES, RUNNING, STARTING, WHO};
use crate::error::{During, Failure, Result, Step};
use crate::sys::lock::{Access, LockOwner};

/// State of a pid file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PidFileState {
    /// There is no such file.
    Absent,
    /// Unlocked: stale, if it contains a pid.
    Free,
    /// Locked by a daemon that is not ready yet.
    Starting,
    /// Locked by a daemon.
    Running,
}

/// Report of what the locks and the text say about a pid file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Report {
    /// What the locks say.
    pub state: PidFileState,
    /// Pid of the owner, or what the text says of it.
    pub pid: Option<i32>,
    /// Whether the kernel named the owner, not only the file's text.
    pub verified: bool,
    /// Whether the owner lives in another PID namespace, and has no pid in this one.
    pub elsewhere: bool,
    /// The pid in the file's text, if that is one.
    pub text: Option<i32>,
}

/// Reads the three locks and the text. They can't be read at one moment, so: an owner seen before and after byte 2 was
/// read owned the file at that moment too; "running without an owner" may be a start or an exit seen halfway, and is
/// read again. Asked for reading, the kernel names writers alone: whoever may only read the file is never its owner.
pub fn look<K: Kernel>(kernel: &K, file: &K::File, path: &Path) -> Result<Report> {
    let ask = |owner, span| {
        kernel
            .holder(file, owner, Access::Read, span)
            .during(Step::PidFileLock, "fcntl")
            .map_err(|failure| failure.at(path))
    };
    let mut orphaned_before = false;
    for _ in 0..MOST_RACES {
        let running = ask(LockOwner::OpenFile, RUNNING)?.is_some();
        let owner = ask(LockOwner::Process, WHO)?;
        let starting = ask(LockOwner::OpenFile, STARTING)?.is_some();
        let text = pid_in_text(kernel, file);
        let state = match (running, starting) {
            (false, _) => PidFileState::Free,
            (true, true) => PidFileState::Starting,
            (true, false) => PidFileState::Running,
        };
        let report = |pid, verified, elsewhere| Ok(Report { state, pid, verified, elsewhere, text });
        match owner {
            _ if !running => return report(text, false, false),
            Some(_) if ask(LockOwner::Process, WHO)? != owner => {} // the owner has just exited
            Some(holder) if holder.pid > 0 => return report(Some(holder.pid), true, false),
            Some(_) => return report(None, false, true),
            // The text names the last owner until the new one has written its pid.
            None if starting => return report(None, false, false),
            None if orphaned_before => return report(text, false, false),
            None => orphaned_before = true,
        }
    }
    Err(Failure::new(Step::PidFileLock, "fcntl", Errno::EAGAIN).at(path).into())
}

/// Reads the pid out of the file's text, which must be decimal digits, a newline, and nothing else.
pub fn pid_in_text<K: Kernel>(kernel: &K, file: &K::File) -> Option<i32> {
    let mut buffer = [0; 16];
    let length = kernel.text(file, &mut buffer).ok()?;
    parse(&buffer[..length])
}

fn parse(text: &[u8]) -> Option<i32> {
    let digits = text.strip_suffix(b"\n").unwrap_or(text);
    if digits.first() == Some(&b'0') || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn only_a_pid_and_nothing_else_is_a_pid() {
        assert_eq!(parse(b"4242\n"), Some(4242));
        assert_eq!(parse(b"4242"), Some(4242));
        for text in [
            &b""[..],
            b"\n",
            b"0\n",
            b"-1\n",
            b"+1\n",
            b"12 13\n",
            b"12\n13\n",
            b"12\0",
            b"99999999999\n",
            b"007\n",
            b" 7\n",
        ] {
            assert_eq!(parse(text), None, "{text:?}");
        }
    }
}
