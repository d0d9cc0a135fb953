//! Taking the lock: bytes 1 and 2 of a pid file that no other user could have planted.

use std::ffi::{CStr, CString};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use nix::errno::Errno;

use super::kernel::{Kernel, RealKernel, Status};
use super::layout::{MOST_RACES, RUNNING, RUNNING_AND_STARTING, STARTING, WHO};
use super::look::look;
use super::table;
use crate::error::{During, Error, Failure, Result, Step};
use crate::sys::fd::FileId;
use crate::sys::lock::LockOwner;
use crate::sys::path::{c_path, directory_of};
use crate::sys::process::decimal;

/// Locked pid file that has no owner yet. The process that is to own it inherits the descriptor.
#[derive(Debug)]
pub struct Claim {
    pub file: OwnedFd,
    pub path: PathBuf,
    pub identity: FileId,
}

impl Claim {
    /// Gives the file up before it had an owner: removes it under the lock.
    pub fn abandon(self) {
        if let Ok(name) = c_path(&self.path, Step::PidFileRelease)
            && RealKernel.names_still(&name, self.identity)
        {
            let _ = RealKernel.unlink(&name);
        }
    }
}

/// Locks bytes 1 and 2 of the file at `path`, and creates it with `mode` (whatever the umask) if it isn't there.
/// Refuses a file that is not regular, has several names, or belongs to another user in a directory where anyone can
/// put files. With `overwrite`, a file that is locked is replaced by a new one; its owner goes on undisturbed.
pub fn claim(path: &Path, mode: u32, overwrite: bool) -> Result<Claim> {
    let _table = table::exclude(path)?;
    claim_in_excluded_process(path, mode, overwrite)
}

/// Does what [`claim`] does, for a caller that has locked the table of held files by `table::exclude`.
pub fn claim_in_excluded_process(path: &Path, mode: u32, overwrite: bool) -> Result<Claim> {
    let name = c_path(path, Step::PidFileCreate)?;
    let (file, identity) = match take(&RealKernel, path, &name, mode) {
        Err(Error::Running { .. }) if overwrite => replace(path, &name, mode)?,
        other => other?,
    };
    Ok(Claim { file, path: path.to_owned(), identity })
}

/// Puts a new file in the place of one that is locked. The old owner's release sees another inode, and leaves it alone.
fn replace(path: &Path, name: &CStr, mode: u32) -> Result<(OwnedFd, FileId)> {
    let draft_path = PathBuf::from(format!("{}.{}", path.display(), RealKernel.pid()));
    let draft = c_path(&draft_path, Step::PidFileCreate)?;
    let taken = take(&RealKernel, &draft_path, &draft, mode)?;
    nix::fcntl::renameat(nix::fcntl::AT_FDCWD, draft.as_c_str(), nix::fcntl::AT_FDCWD, name)
        .inspect_err(|_| {
            let _ = RealKernel.unlink(&draft);
        })
        .during(Step::PidFileCreate, "rename")
        .map_err(|failure| failure.at(path))?;
    Ok(taken)
}

/// Takes the file, as often as another process gets in between.
pub fn take<K: Kernel>(kernel: &K, path: &Path, name: &CStr, mode: u32) -> Result<(K::File, FileId)> {
    for _ in 0..MOST_RACES {
        let lock = |file: &K::File| kernel.lock(file, LockOwner::OpenFile, RUNNING_AND_STARTING);
        if let Some(taken) = attempt(kernel, path, name, mode, lock)? {
            return Ok(taken);
        }
    }
    // No daemon runs, yet a process keeps a read lock on byte 2, for longer than waiting for a start takes.
    let reader = kernel.open(name, libc::O_RDWR | libc::O_NOFOLLOW | libc::O_NONBLOCK).and_then(|file| {
        let named = kernel.holder(&file, LockOwner::Process, STARTING)?;
        Ok(named.or(kernel.holder(&file, LockOwner::OpenFile, STARTING)?))
    });
    match reader {
        Ok(Some(holder)) => Err(Error::Blocked { path: path.to_owned(), pid: (holder.pid > 0).then_some(holder.pid) }),
        _ => Err(Failure::new(Step::PidFileLock, "fcntl", Errno::EAGAIN)
            .at(path)
            .because("its owner kept changing: try again")
            .into()),
    }
}

/// Tries once to take the file, with `lock` to lock bytes 1 and 2. None: another process was faster, and the caller may
/// try again.
pub fn attempt<K: Kernel>(
    kernel: &K,
    path: &Path,
    name: &CStr,
    mode: u32,
    lock: impl FnOnce(&K::File) -> nix::Result<()>,
) -> Result<Option<(K::File, FileId)>> {
    let system = |failure: Failure| Error::System(failure.at(path));
    // Symbolic links are not followed, a fifo is not waited for, a terminal does not become the controlling one, and
    // nothing is truncated before the lock is taken.
    let flags = libc::O_RDWR | libc::O_CREAT | libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY;
    let file = kernel.open(name, flags).during(Step::PidFileCreate, "open").map_err(system)?;
    let status = kernel.status(&file).during(Step::PidFileCreate, "fstat").map_err(system)?;
    if status.links == 0 {
        return Ok(None); // its last owner has unlinked it since the open above
    }
    require_suitable(&status, path).map_err(system)?;
    match lock(&file) {
        Ok(()) => {}
        Err(Errno::EAGAIN | Errno::EACCES) => return require_free(kernel, path, &file).map(|()| None),
        Err(errno) => return Err(system(Failure::new(Step::PidFileLock, "fcntl", errno))),
    }
    if !kernel.names_still(name, status.identity) {
        return Ok(None);
    }
    match kernel.set_mode(&file, mode) {
        Ok(()) | Err(Errno::EPERM) => {} // another user has made the file beforehand, with the mode that it should have
        Err(errno) => return Err(system(Failure::new(Step::PidFileCreate, "fchmod", errno))),
    }
    Ok(Some((file, status.identity)))
}

/// Fails with the reason why the lock was refused; Ok if byte 1 is free by now.
fn require_free<K: Kernel>(kernel: &K, path: &Path, file: &K::File) -> Result<()> {
    let holder = kernel.holder(file, LockOwner::OpenFile, RUNNING);
    match holder.during(Step::PidFileLock, "fcntl").map_err(|failure| failure.at(path))? {
        None => Ok(()), // only byte 2 was locked, by a process that waits for the daemon to be ready
        Some(holder) if holder.reader => {
            Err(Error::Blocked { path: path.to_owned(), pid: (holder.pid > 0).then_some(holder.pid) })
        }
        Some(_) => {
            let report = look(kernel, file, path)?;
            Err(Error::Running { path: path.to_owned(), pid: report.pid })
        }
    }
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

/// Makes the calling process the owner: locks byte 0, then writes the pid. Called once every other descriptor of the
/// file is closed in this process. Async-signal-safe, since a child calls it between fork and exec.
pub fn own<K: Kernel>(kernel: &K, file: &K::File) -> std::result::Result<(), (Step, Errno)> {
    kernel.lock(file, LockOwner::Process, WHO).map_err(|errno| (Step::PidFileLock, errno))?;
    let mut room = [0; 11];
    let digits = decimal(kernel.pid(), &mut room);
    let mut text = [0; 12];
    text[..digits.len()].copy_from_slice(digits);
    text[digits.len()] = b'\n';
    kernel.rewrite(file, &text[..=digits.len()]).map_err(|errno| (Step::PidFileWrite, errno))
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
) -> nix::Result<()> {
    if kernel.names_still(name, identity) {
        for companion in companions {
            let _ = kernel.unlink(companion); // a companion may never have been written
        }
        if kernel.unlink(name).is_ok() {
            return Ok(());
        }
    }
    kernel.rewrite(file, b"")
}
