//! Putting a new file in the place of a pid file: of one that only readers lock, or of a running daemon's.
//!
//! Whoever may only read a pid file can keep a read lock on it, and with it every start from its write lock. In a
//! directory where only this user and root can put files, the file is therefore replaced by one that the reader has not
//! opened. Two replacers must not rename over each other's new file, nor over an owner's: so each takes an exclusive lock
//! on a companion file that no other user can open, then a read lock on the old file, which keeps owners and sweepers
//! away from it, and only then compares the path.

use std::ffi::{CStr, CString};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::errno::Errno;

use super::kernel::{Kernel, RealKernel};
use super::layout::{ALL, MOST_RACES, REPLACING, RUNNING, RUNNING_AND_STARTING};
use super::orphan;
use crate::error::{During, Error, Failure, Result, Step};
use crate::sys::fd::FileId;
use crate::sys::lock::{Access, LockOwner, Span};
use crate::sys::path::c_path;

/// Time between two looks at a lock that another process holds while it replaces a daemon.
const POLL_INTERVAL: Duration = Duration::from_millis(5);

/// Right to replace a pid file, which one process has at a time: the locked companion file.
struct Turn<'a, K: Kernel> {
    kernel: &'a K,
    name: CString,
    _file: K::File,
}

impl<'a, K: Kernel> Turn<'a, K> {
    /// Takes the right to replace the file at `path`. None: another process has it.
    fn take(kernel: &'a K, path: &Path) -> Result<Option<Self>> {
        let system = |failure: Failure| Error::System(failure.at(path));
        let name = beside(path, "lock")?;
        let flags = libc::O_RDWR | libc::O_CREAT | libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY;
        let file = kernel.open(&name, flags).during(Step::PidFileCreate, "open").map_err(system)?;
        let identity = kernel.status(&file).during(Step::PidFileCreate, "fstat").map_err(system)?.identity;
        match kernel.lock(&file, LockOwner::OpenFile, Access::Write, RUNNING) {
            Ok(()) => {}
            Err(Errno::EAGAIN | Errno::EACCES) => return Ok(None),
            Err(errno) => return Err(system(Failure::new(Step::PidFileLock, "fcntl", errno))),
        }
        let is_current = kernel.names_still(&name, identity);
        Ok(is_current.then_some(Self { kernel, name, _file: file }))
    }
}

impl<K: Kernel> Drop for Turn<'_, K> {
    fn drop(&mut self) {
        let _ = self.kernel.unlink(&self.name);
    }
}

/// Replaces `file`, which only readers lock. None: another process has replaced or taken it meanwhile.
pub fn replace_unowned<K: Kernel>(
    kernel: &K,
    path: &Path,
    name: &CStr,
    file: &K::File,
    identity: FileId,
) -> Result<Option<(K::File, FileId)>> {
    if !kernel.is_private(path) {
        return Err(blocked(kernel, path, file, ALL));
    }
    let Some(_turn) = Turn::take(kernel, path)? else { return Ok(None) };
    if kernel.lock(file, LockOwner::OpenFile, Access::Read, ALL).is_err() || !kernel.names_still(name, identity) {
        return Ok(None);
    }
    put_new(kernel, path, name).map(Some)
}

/// File that was put in another one's place, and the name that the other one was given, if it could get one.
type Replaced<F> = ((F, FileId), Option<CString>);

/// Puts a new file in the place of a running daemon's. Its release sees another inode, and leaves the new file alone.
pub fn replace_owned<K: Kernel>(kernel: &K, path: &Path, name: &CStr) -> Result<Replaced<K::File>> {
    // In a directory that is open to others no file is replaced but by this call, so that nothing is to be excluded.
    let mut turn = None;
    for _ in 0..MOST_RACES {
        if !kernel.is_private(path) {
            break;
        }
        turn = Turn::take(kernel, path)?;
        if turn.is_some() {
            break;
        }
        kernel.pause();
    }
    let previous = previous_name(path)?;
    let _ = kernel.unlink(&previous);
    let kept = kernel.link(name, &previous).is_ok();
    let taken = put_new(kernel, path, name).inspect_err(|_| {
        let _ = kernel.unlink(&previous);
    })?;
    drop(turn);
    Ok((taken, kept.then_some(previous)))
}

/// Makes a new locked file, and renames it over the one at `name`.
fn put_new<K: Kernel>(kernel: &K, path: &Path, name: &CStr) -> Result<(K::File, FileId)> {
    let system = |failure: Failure| Error::System(failure.at(path));
    let draft = beside(path, "new")?;
    let _ = kernel.unlink(&draft); // left by a process that was killed here
    let flags = libc::O_RDWR | libc::O_CREAT | libc::O_EXCL | libc::O_NOFOLLOW | libc::O_NOCTTY;
    let file = kernel.open(&draft, flags).during(Step::PidFileCreate, "open").map_err(system)?;
    let made = || {
        let identity = kernel.status(&file).during(Step::PidFileCreate, "fstat")?.identity;
        kernel
            .lock(&file, LockOwner::OpenFile, Access::Write, RUNNING_AND_STARTING)
            .during(Step::PidFileLock, "fcntl")?;
        kernel.rename(&draft, name).during(Step::PidFileCreate, "rename")?;
        Ok(identity)
    };
    match made() {
        Ok(identity) => Ok((file, identity)),
        Err(failure) => {
            let _ = kernel.unlink(&draft);
            Err(system(failure))
        }
    }
}

/// Runs `action` for one process at a time, so that of several processes that want to replace the owner of the file at
/// `path`, one does it and the others wait: for at most `timeout`. They exclude each other by byte 4 and, where only
/// this user and root can put files, by the companion file, since a reader can lock byte 4.
pub fn replace_alone<T>(path: &Path, timeout: Duration, action: impl FnOnce() -> Result<T>) -> Result<T> {
    let deadline = Instant::now() + timeout;
    let failed = |syscall, errno| Failure::new(Step::PidFileLock, syscall, errno).at(path);
    let flags = libc::O_RDWR | libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY;
    let file = match RealKernel.open(&c_path(path, Step::PidFileLock)?, flags) {
        Ok(file) => file,
        Err(Errno::ENOENT) => return action(),
        Err(errno) => return Err(failed("open", errno).into()),
    };
    let is_private = RealKernel.is_private(path);
    let mut turn = None;
    loop {
        if is_private && turn.is_none() {
            turn = Turn::take(&RealKernel, path)?;
        }
        let is_turn = turn.is_some() || !is_private;
        match RealKernel.lock(&file, LockOwner::OpenFile, Access::Write, REPLACING) {
            _ if !is_turn => {}
            Ok(()) => return action(),
            Err(Errno::EAGAIN | Errno::EACCES) => {
                let writer = RealKernel.holder(&file, LockOwner::OpenFile, Access::Read, REPLACING);
                if is_private && writer == Ok(None) {
                    return action();
                }
            }
            Err(errno) => return Err(failed("fcntl", errno).into()),
        }
        if Instant::now() > deadline {
            return Err(blocked(&RealKernel, path, &file, REPLACING));
        }
        std::thread::sleep(POLL_INTERVAL);
    }
}

/// Names a process whose lock is in the way: the kernel names that of a process, /proc that of an open file.
fn blocked<K: Kernel>(kernel: &K, path: &Path, file: &K::File, span: Span) -> Error {
    let holder = kernel.holder(file, LockOwner::OpenFile, Access::Write, span).ok().flatten();
    let pid = holder.and_then(|holder| if holder.pid > 0 { Some(holder.pid) } else { orphan::locker(path, span) });
    Error::Blocked { path: path.to_owned(), pid }
}

/// Names the file in whose place another is put, until the start of that one's owner is over.
pub fn previous_name(path: &Path) -> Result<CString> {
    beside(path, "replaced")
}

fn beside(path: &Path, suffix: &str) -> Result<CString> {
    Ok(c_path(&PathBuf::from(format!("{}.{suffix}", path.display())), Step::PidFileCreate)?)
}
