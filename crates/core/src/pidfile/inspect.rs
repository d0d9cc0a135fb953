//! Asking a pid file who owns it, changing nothing.

use std::os::fd::OwnedFd;
use std::path::Path;

use nix::errno::Errno;

use super::kernel::{Host, Kernel};
use super::orphan;
use super::{MOST_RACES, RUNNING, STARTING, WHO, claim, held};
use crate::error::{During, Error, Failure, Result, Step};
use crate::sys::lock::Owner as LockOwner;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    Absent,
    /// Nobody locks it: stale, if it names a pid.
    Free,
    Starting,
    Running,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Report {
    pub state: State,
    pub pid: Option<i32>,
    /// The kernel named the owner, not only the file's text.
    pub verified: bool,
    /// The kernel knows an owner that has no number here.
    pub elsewhere: bool,
    /// What the file's text says, if it is a pid.
    pub text: Option<i32>,
}

/// The state of the pid file at `path`: needs read permission, creates and changes nothing.
pub fn inspect(path: &Path) -> Result<Report> {
    if let Some(state) = held::ours(path) {
        let pid = std::process::id().cast_signed();
        return Ok(Report { state, pid: Some(pid), verified: true, elsewhere: false, text: Some(pid) });
    }
    match open(path)? {
        None => Ok(Report { state: State::Absent, pid: None, verified: false, elsewhere: false, text: None }),
        Some(file) => look(&Host, &file, path),
    }
}

/// A running process that the kernel says owns the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owner {
    pub pid: i32,
    pub state: State,
}

/// The owner, for those who want to signal it: an error unless the kernel vouches for the pid and the text agrees.
pub fn owner(path: &Path) -> Result<Owner> {
    let report = inspect(path)?;
    let unverified = |pid, reason| Err(Error::Unverified { path: path.to_owned(), pid, reason });
    match report {
        Report { state: State::Absent | State::Free, .. } => Err(Error::NotRunning { path: path.to_owned() }),
        Report { elsewhere: true, .. } => unverified(None, "its owner lives in another PID namespace"),
        Report { pid: Some(..=1), .. } => {
            unverified(report.pid, "the first process of a PID namespace is never signalled")
        }
        Report { verified: true, pid: Some(pid), state: State::Running, text: Some(text), .. } if text != pid => {
            unverified(Some(pid), "the file's text names another process than the kernel does")
        }
        Report { verified: true, pid: Some(pid), state: State::Running, text: None, .. } => {
            unverified(Some(pid), "the file's text is no pid")
        }
        Report { verified: true, pid: Some(pid), state, .. } => Ok(Owner { pid, state }),
        Report { state: State::Starting, .. } => unverified(None, "it is just starting and has no owner yet"),
        Report { text: Some(pid), state, .. } if orphan::holds(pid, path) => Ok(Owner { pid, state }),
        Report { .. } => unverified(orphan::holder(path), "the file is locked, but its owner is gone or unknown"),
    }
}

fn open(path: &Path) -> Result<Option<OwnedFd>> {
    let flags = libc::O_RDONLY | libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY;
    match Host.open(&claim::c_path(path)?, flags) {
        Ok(file) => Ok(Some(file)),
        Err(Errno::ENOENT) => Ok(None),
        Err(errno) => Err(Failure::new(Step::PidFileLock, "open", errno).at(path).into()),
    }
}

/// Reads the three locks and the text, which can't be read at one moment. An owner seen before and after byte 2 owned the
/// file at that moment too; "running without an owner" may be a start or an end seen halfway, and is looked at again.
pub fn look<K: Kernel>(kernel: &K, file: &K::File, path: &Path) -> Result<Report> {
    let ask = |owner, span| kernel.holder(file, owner, span).during(Step::PidFileLock, "fcntl").map_err(|f| f.at(path));
    let mut orphaned_before = false;
    for _ in 0..MOST_RACES {
        let running = ask(LockOwner::OpenFile, RUNNING)?.is_some_and(|holder| !holder.reader);
        let owner = ask(LockOwner::Process, WHO)?;
        let starting = ask(LockOwner::OpenFile, STARTING)?.is_some_and(|holder| !holder.reader);
        let text = text_of(kernel, file);
        let state = match (running, starting) {
            (false, _) => State::Free,
            (true, true) => State::Starting,
            (true, false) => State::Running,
        };
        let report = |pid, verified, elsewhere| Ok(Report { state, pid, verified, elsewhere, text });
        match owner {
            _ if !running => return report(text, false, false),
            Some(_) if ask(LockOwner::Process, WHO)? != owner => {} // it has just ended
            Some(holder) if holder.pid > 0 => return report(Some(holder.pid), true, false),
            Some(_) => return report(None, false, true),
            // The text is the last owner's until the new one has written.
            None if starting => return report(None, false, false),
            None if orphaned_before => return report(text, false, false),
            None => orphaned_before = true,
        }
    }
    Err(Failure::new(Step::PidFileLock, "fcntl", Errno::EAGAIN).at(path).into())
}

/// The pid that the file's text is, if it is one and nothing else: decimal digits and a newline.
pub fn text_of<K: Kernel>(kernel: &K, file: &K::File) -> Option<i32> {
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
