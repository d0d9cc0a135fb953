//! Taking the lock: bytes 1 and 2 of a pid file that no other user could have planted.

use std::ffi::{CStr, CString};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use nix::errno::Errno;

use super::kernel::{Kernel, RealKernel, Status};
use super::layout::{ALL, MOST_RACES, RUNNING_AND_STARTING, STARTING, WHO};
use super::look::look;
use super::{orphan, replace, table};
use crate::error::{During, Error, Failure, Result, Step};
use crate::place::require_no_strange_link;
use crate::sys::fd::FileId;
use crate::sys::lock::{Access, LockOwner};
use crate::sys::path::{c_path, directory_of};
use crate::sys::process::decimal;

/// Locked pid file that has no owner yet. The process that is to own it inherits the descriptor.
#[derive(Debug)]
pub struct Claim {
    /// Open file, which is locked.
    pub file: OwnedFd,
    /// Path under which it was locked.
    pub path: PathBuf,
    /// Device and inode of the file.
    pub identity: FileId,
    /// Mode that the file gets together with its owner.
    pub mode: u32,
    /// Another name of the running daemon's file, in whose place this one was put: for a start that fails.
    pub previous: Option<CString>,
}

impl Claim {
    /// Gives the file up before it had an owner: removes it under the lock, or puts the previous one back.
    pub fn abandon(self) {
        if let Ok(name) = c_path(&self.path, Step::PidFileRelease)
            && RealKernel.names_still(&name, self.identity)
        {
            let _ = remove_or_restore(&RealKernel, &name, self.previous.as_deref());
        }
    }
}

/// Locks bytes 1 and 2 of the file at `path`, and creates it if it isn't there; [`own`] gives it `mode`. Refuses a file that is not regular, has several names, or belongs to another user in a directory where anyone can
/// put files. With `overwrite`, a file that is locked is replaced by a new one; its owner goes on undisturbed.
pub fn claim(path: &Path, mode: u32, overwrite: bool) -> Result<Claim> {
    let _table = table::exclude(path)?;
    claim_in_excluded_process(path, mode, overwrite)
}

/// Does what [`claim`] does, for a caller that has locked the table of held files by `table::exclude`.
pub fn claim_in_excluded_process(path: &Path, mode: u32, overwrite: bool) -> Result<Claim> {
    require_no_strange_link(path, Step::PidFileCreate)?;
    let name = c_path(path, Step::PidFileCreate)?;
    let ((file, identity), previous) = match take(&RealKernel, path, &name) {
        Err(Error::Running { .. }) if overwrite => replace::replace_owned(&RealKernel, path, &name)?,
        Err(error) => {
            // The descriptor just closed may have been of a file that another copy of this library holds.
            if matches!(error, Error::Running { pid: Some(pid), .. } if pid == std::process::id().cast_signed()) {
                orphan::reassert(path);
            }
            return Err(error);
        }
        Ok(taken) => {
            let _ = RealKernel.unlink(&replace::previous_name(path)?); // left by a start that was killed
            (taken, None)
        }
    };
    Ok(Claim { file, path: path.to_owned(), identity, mode, previous })
}

/// Takes the file, as often as another process gets in between. If only readers are in the way, for longer than a wait
/// for a start takes, the file is replaced, or they are named.
pub fn take<K: Kernel>(kernel: &K, path: &Path, name: &CStr) -> Result<(K::File, FileId)> {
    let mut patience = K::PATIENCE;
    for _ in 0..MOST_RACES {
        let lock = |file: &K::File| kernel.lock(file, LockOwner::OpenFile, Access::Write, RUNNING_AND_STARTING);
        match attempt(kernel, path, name, lock)? {
            Attempt::Taken(file, identity) => return Ok((file, identity)),
            Attempt::Lost => continue,
            Attempt::OnlyReaders(..) if patience > 0 => patience -= 1,
            Attempt::OnlyReaders(file, identity) => {
                if let Some(taken) = replace::replace_unowned(kernel, path, name, &file, identity)? {
                    return Ok(taken);
                }
            }
        }
        kernel.pause();
    }
    Err(Failure::new(Step::PidFileLock, "fcntl", Errno::EAGAIN)
        .at(path)
        .because("its owner kept changing: try again")
        .into())
}

/// Result of one attempt to take the file.
pub enum Attempt<F> {
    Taken(F, FileId),
    /// Another process was faster; the caller may try again.
    Lost,
    /// No daemon has a lock on the file, but a process that reads it has one on a byte that this process needs.
    OnlyReaders(F, FileId),
}

/// Tries once to take the file, with `lock` to lock bytes 1 and 2.
pub fn attempt<K: Kernel>(
    kernel: &K,
    path: &Path,
    name: &CStr,
    lock: impl FnOnce(&K::File) -> nix::Result<()>,
) -> Result<Attempt<K::File>> {
    let system = |failure: Failure| Error::System(failure.at(path));
    // Symbolic links are not followed, a fifo is not waited for, a terminal does not become the controlling one, and
    // nothing is truncated before the lock is taken.
    let flags = libc::O_RDWR | libc::O_CREAT | libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY;
    let file = kernel.open(name, flags).during(Step::PidFileCreate, "open").map_err(system)?;
    let status = kernel.status(&file).during(Step::PidFileCreate, "fstat").map_err(system)?;
    if status.links == 0 {
        return Ok(Attempt::Lost); // its last owner has unlinked it since the open above
    }
    require_suitable(&status, path).map_err(system)?;
    match lock(&file) {
        Ok(()) => {}
        Err(Errno::EAGAIN | Errno::EACCES) => {
            require_no_writer(kernel, path, &file)?;
            return Ok(Attempt::OnlyReaders(file, status.identity));
        }
        Err(errno) => return Err(system(lock_failure(errno))),
    }
    if !kernel.names_still(name, status.identity) {
        return Ok(Attempt::Lost);
    }
    // A reader of another byte would keep this process from being named as the owner, or from announcing its stop.
    let reader = kernel.holder(&file, LockOwner::OpenFile, Access::Write, ALL).ok().flatten();
    if reader.is_some() && kernel.is_private(path) {
        return Ok(Attempt::OnlyReaders(file, status.identity));
    }
    Ok(Attempt::Taken(file, status.identity))
}

/// Describes a refused lock on an open file. EINVAL: the kernel, or what stands in for it, doesn't know such locks.
fn lock_failure(errno: Errno) -> Failure {
    let failure = Failure::new(Step::PidFileLock, "fcntl", errno);
    match errno {
        Errno::EINVAL | Errno::ENOSYS => failure.because(
            "this system has no locks of open files (F_OFD_SETLK, since Linux 3.15), which keep two daemons apart: \
             start without a pid file",
        ),
        Errno::ENOLCK => failure.because("its file system has no locks: put the pid file elsewhere, such as in /run"),
        _ => failure,
    }
}

/// Fails if a process has a write lock on the file: it runs, starts, or is taking the file.
fn require_no_writer<K: Kernel>(kernel: &K, path: &Path, file: &K::File) -> Result<()> {
    let writer = kernel.holder(file, LockOwner::OpenFile, Access::Read, ALL);
    if writer.during(Step::PidFileLock, "fcntl").map_err(|failure| failure.at(path))?.is_none() {
        return Ok(());
    }
    let report = look(kernel, file, path)?;
    Err(Error::Running { path: path.to_owned(), pid: report.pid })
}

fn require_suitable(status: &Status, path: &Path) -> std::result::Result<(), Failure> {
    let refused = |errno, why: &str| Err(Failure::new(Step::PidFileCreate, "open", errno).because(why));
    if !status.regular {
        return refused(Errno::EINVAL, "it is not a regular file");
    }
    if status.links > 1 {
        return refused(Errno::EMLINK, "it has other names (hard links), so it may be another program's file");
    }
    if status.owner != nix::unistd::geteuid().as_raw() && anyone_can_put_files_beside(path) {
        return refused(Errno::EACCES, "it belongs to another user, in a directory where anyone can put files");
    }
    Ok(())
}

fn anyone_can_put_files_beside(path: &Path) -> bool {
    nix::sys::stat::stat(directory_of(path)).is_ok_and(|stat| stat.st_mode & libc::S_IWOTH != 0)
}

/// Makes the calling process the owner: locks byte 0, writes the pid, and only then gives the file its mode (whatever the
/// umask), so that of a new file no other user can lock byte 0 first. Called once every other descriptor of the file is
/// closed in this process. Async-signal-safe, since a child calls it between fork and exec.
pub fn own<K: Kernel>(kernel: &K, file: &K::File, mode: u32) -> std::result::Result<(), (Step, Errno)> {
    match kernel.lock(file, LockOwner::Process, Access::Write, WHO) {
        Ok(()) => {}
        // A process may have opened the file when it was another daemon's, and have a read lock on byte 0. Byte 1 excludes
        // a second daemon, and byte 0 is taken again when this one is ready.
        Err(Errno::EAGAIN | Errno::EACCES)
            if kernel.holder(file, LockOwner::Process, Access::Read, WHO) == Ok(None) => {}
        Err(errno) => return Err((Step::PidFileLock, errno)),
    }
    let mut room = [0; 11];
    let digits = decimal(kernel.pid(), &mut room);
    let mut text = [0; 12];
    text[..digits.len()].copy_from_slice(digits);
    text[digits.len()] = b'\n';
    kernel.rewrite(file, &text[..=digits.len()]).map_err(|errno| (Step::PidFileWrite, errno))?;
    match kernel.set_mode(file, mode) {
        Ok(()) | Err(Errno::EPERM) => Ok(()), // another user has made the file beforehand, with the mode that it should have
        Err(errno) => Err((Step::PidFileCreate, errno)),
    }
}

/// Unlocks byte 2 alone: the start is over.
pub fn unlock_starting<K: Kernel>(kernel: &K, file: &K::File) -> nix::Result<()> {
    kernel.unlock(file, LockOwner::OpenFile, STARTING)
}

/// Removes the file and its companions under the lock. Where removing is forbidden, or where the path names another
/// file by now or can't be seen (behind a chroot), only the open file is emptied. The lock goes with its last
/// descriptor.
pub fn remove<K: Kernel>(
    kernel: &K,
    file: &K::File,
    name: &CStr,
    identity: FileId,
    companions: &[CString],
    previous: Option<&CStr>,
) -> nix::Result<()> {
    if kernel.names_still(name, identity) {
        for companion in companions {
            let _ = kernel.unlink(companion); // a companion may never have been written
        }
        if remove_or_restore(kernel, name, previous).is_ok() {
            return Ok(());
        }
    }
    kernel.rewrite(file, b"")
}

/// Removes a pid file that the caller has locked, or puts the file back in whose place it was put.
pub fn remove_or_restore<K: Kernel>(kernel: &K, name: &CStr, previous: Option<&CStr>) -> nix::Result<()> {
    match previous.map(|previous| kernel.rename(previous, name)) {
        Some(Ok(())) => Ok(()),
        Some(Err(_)) | None => kernel.unlink(name),
    }
}
