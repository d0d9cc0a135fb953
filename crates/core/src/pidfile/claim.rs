//! Taking the lock: bytes 1 and 2 of a file that is what it should be.

use std::ffi::{CStr, CString};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use nix::errno::Errno;

use super::kernel::{Host, Kernel, Status};
use super::{Identity, MOST_RACES, RUNNING, RUNNING_AND_STARTING, STARTING, WHO, held, inspect};
use crate::error::{During, Error, Failure, Result, Step};
use crate::sys::lock::Owner;
use crate::sys::process::decimal;

/// A pid file that nobody else can take, without an owner yet: the child that is to own it inherits the descriptor.
#[derive(Debug)]
pub struct Claim {
    pub file: OwnedFd,
    pub path: PathBuf,
    pub identity: Identity,
}

impl Claim {
    /// Gives the file up before it had an owner: removed under the lock.
    pub fn abandon(self) {
        if let Ok(name) = c_path(&self.path)
            && Host.names_still(&name, self.identity)
        {
            let _ = Host.unlink(&name);
        }
    }
}

/// Locks bytes 1 and 2 of the file at `path`, which is created with `mode` (whatever the umask) if it isn't there.
/// Refused: what is no regular file, has several names, or belongs to someone else where anyone can put files.
/// With `overwrite`, a locked file is replaced, and its owner left alone.
pub fn claim(path: &Path, mode: u32, overwrite: bool) -> Result<Claim> {
    let _others = held::exclude(path)?;
    claim_alone(path, mode, overwrite)
}

/// The same, where the caller keeps this process's other threads out.
pub fn claim_alone(path: &Path, mode: u32, overwrite: bool) -> Result<Claim> {
    let name = c_path(path)?;
    let (file, identity) = match take(&Host, path, &name, mode) {
        Err(Error::Running { .. }) if overwrite => replace(path, &name, mode)?,
        other => other?,
    };
    Ok(Claim { file, path: path.to_owned(), identity })
}

/// A new file in the place of one that is locked. The old owner's release sees another inode, and leaves it.
fn replace(path: &Path, name: &CStr, mode: u32) -> Result<(OwnedFd, Identity)> {
    let draft_path = PathBuf::from(format!("{}.{}", path.display(), Host.pid()));
    let draft = c_path(&draft_path)?;
    let taken = take(&Host, &draft_path, &draft, mode)?;
    nix::fcntl::renameat(nix::fcntl::AT_FDCWD, draft.as_c_str(), nix::fcntl::AT_FDCWD, name)
        .inspect_err(|_| {
            let _ = Host.unlink(&draft);
        })
        .during(Step::PidFileCreate, "rename")
        .map_err(|failure| failure.at(path))?;
    Ok(taken)
}

pub fn take<K: Kernel>(kernel: &K, path: &Path, name: &CStr, mode: u32) -> Result<(K::File, Identity)> {
    for _ in 0..MOST_RACES {
        let lock = |file: &K::File| kernel.lock(file, Owner::OpenFile, RUNNING_AND_STARTING);
        if let Some(taken) = attempt(kernel, path, name, mode, lock)? {
            return Ok(taken);
        }
    }
    // Nobody runs, but somebody reads byte 2 for longer than those who wait for a start do.
    let reader = kernel.open(name, libc::O_RDWR | libc::O_NOFOLLOW | libc::O_NONBLOCK).and_then(|file| {
        let named = kernel.holder(&file, Owner::Process, STARTING)?;
        Ok(named.or(kernel.holder(&file, Owner::OpenFile, STARTING)?))
    });
    match reader {
        Ok(Some(holder)) => Err(Error::Blocked { path: path.to_owned(), pid: (holder.pid > 0).then_some(holder.pid) }),
        _ => Err(Failure::new(Step::PidFileLock, "fcntl", Errno::EAGAIN)
            .at(path)
            .because("it kept changing hands")
            .into()),
    }
}

/// One try, with `lock` to take bytes 1 and 2; None if another process was faster and it is worth another.
pub fn attempt<K: Kernel>(
    kernel: &K,
    path: &Path,
    name: &CStr,
    mode: u32,
    lock: impl FnOnce(&K::File) -> nix::Result<()>,
) -> Result<Option<(K::File, Identity)>> {
    let system = |failure: Failure| Error::System(failure.at(path));
    // Neither followed, nor waited for (a fifo), nor made our terminal, nor truncated before the lock is ours.
    let flags = libc::O_RDWR | libc::O_CREAT | libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY;
    let file = kernel.open(name, flags).during(Step::PidFileCreate, "open").map_err(system)?;
    let status = kernel.status(&file).during(Step::PidFileCreate, "fstat").map_err(system)?;
    if status.links == 0 {
        return Ok(None); // unlinked by its last owner between our open and now
    }
    suitable(&status, path).map_err(system)?;
    match lock(&file) {
        Ok(()) => {}
        Err(Errno::EAGAIN | Errno::EACCES) => return refusal(kernel, path, &file).map(|()| None),
        Err(errno) => return Err(system(Failure::new(Step::PidFileLock, "fcntl", errno))),
    }
    if !kernel.names_still(name, status.identity) {
        return Ok(None);
    }
    match kernel.set_mode(&file, mode) {
        Ok(()) | Err(Errno::EPERM) => {} // somebody else made it for us, with the mode that it should have
        Err(errno) => return Err(system(Failure::new(Step::PidFileCreate, "fchmod", errno))),
    }
    Ok(Some((file, status.identity)))
}

/// Why the lock was refused; Ok if it is free by now.
fn refusal<K: Kernel>(kernel: &K, path: &Path, file: &K::File) -> Result<()> {
    let holder = kernel.holder(file, Owner::OpenFile, RUNNING);
    match holder.during(Step::PidFileLock, "fcntl").map_err(|failure| failure.at(path))? {
        None => Ok(()), // only byte 2 was held, by someone who waits for readiness
        Some(holder) if holder.reader => {
            Err(Error::Blocked { path: path.to_owned(), pid: (holder.pid > 0).then_some(holder.pid) })
        }
        Some(_) => {
            let report = inspect::look(kernel, file, path)?;
            Err(Error::Running { path: path.to_owned(), pid: report.pid })
        }
    }
}

fn suitable(status: &Status, path: &Path) -> std::result::Result<(), Failure> {
    let refused = |errno, why: &str| Err(Failure::new(Step::PidFileCreate, "open", errno).because(why));
    if !status.regular {
        return refused(Errno::EINVAL, "it is not a regular file");
    }
    if status.links > 1 {
        return refused(Errno::EMLINK, "it has other names (hard links): it may be somebody's other file");
    }
    if status.owner != nix::unistd::geteuid().as_raw() && anyone_can_put_files_beside(path) {
        return refused(Errno::EACCES, "it belongs to another user, in a directory where anyone can put files");
    }
    Ok(())
}

fn anyone_can_put_files_beside(path: &Path) -> bool {
    nix::sys::stat::stat(directory_of(path)).is_ok_and(|stat| stat.st_mode & libc::S_IWOTH != 0)
}

pub fn directory_of(path: &Path) -> &Path {
    path.parent().filter(|each| !each.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

pub fn c_path(path: &Path) -> Result<CString> {
    use std::os::unix::ffi::OsStrExt;
    CString::new(path.as_os_str().as_bytes())
        .map_err(|_| Failure::new(Step::PidFileCreate, "open", Errno::EINVAL).at(path).because("it has a NUL").into())
}

/// What the owner does once every other descriptor of the file is closed in its process: byte 0, then the text.
/// Async-signal-safe, since a child does it between fork and exec.
pub fn own<K: Kernel>(kernel: &K, file: &K::File) -> std::result::Result<(), (Step, Errno)> {
    kernel.lock(file, Owner::Process, WHO).map_err(|errno| (Step::PidFileLock, errno))?;
    let mut room = [0; 11];
    let digits = decimal(kernel.pid(), &mut room);
    let mut text = [0; 12];
    text[..digits.len()].copy_from_slice(digits);
    text[digits.len()] = b'\n';
    kernel.rewrite(file, &text[..=digits.len()]).map_err(|errno| (Step::PidFileWrite, errno))
}

/// Says that the start is over: byte 2 alone is given up.
pub fn started<K: Kernel>(kernel: &K, file: &K::File) -> nix::Result<()> {
    kernel.unlock(file, Owner::OpenFile, STARTING)
}

/// Removes the file under the lock; empties it where removing is forbidden, or where the path can't be seen any more
/// (behind a chroot) or names another file, which is left alone. The lock goes with the file's last descriptor.
pub fn remove<K: Kernel>(
    kernel: &K,
    file: &K::File,
    name: &CStr,
    identity: Identity,
    companions: &[CString],
) -> nix::Result<()> {
    if kernel.names_still(name, identity) {
        for companion in companions {
            let _ = kernel.unlink(companion); // it may never have been written
        }
        if kernel.unlink(name).is_ok() {
            return Ok(());
        }
    }
    kernel.rewrite(file, b"")
}
