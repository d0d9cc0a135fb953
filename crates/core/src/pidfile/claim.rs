//! Taking the lock: bytes 1 and 2 of a file that is what it should be.

use std::ffi::CString;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::sys::stat::{Mode, fchmod};

use super::{Identity, MOST_RACES, RUNNING, RUNNING_AND_STARTING, STARTING, held, inspect};
use crate::error::{During, Error, Failure, Result, Step};
use crate::sys::{fd, lock};

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
            && names_still(&name, self.identity)
        {
            let _ = fd::unlink(&name);
        }
    }
}

/// Locks bytes 1 and 2 of the file at `path`, which is created with `mode` (whatever the umask) if it isn't there.
/// Refused: what is no regular file, has several names, or belongs to someone else where anyone can put files.
pub fn claim(path: &Path, mode: u32) -> Result<Claim> {
    let name = c_path(path)?;
    let _guard = held::exclude(path)?;
    for _ in 0..MOST_RACES {
        if let Some(claim) = attempt(path, &name, mode)? {
            return Ok(claim);
        }
    }
    Err(Failure::new(Step::PidFileLock, "fcntl", Errno::EAGAIN)
        .at(path)
        .because("it kept changing hands")
        .into())
}

/// One try; None if another process was faster and it is worth another.
fn attempt(path: &Path, name: &CString, mode: u32) -> Result<Option<Claim>> {
    let system = |failure: Failure| Error::System(failure.at(path));
    // Neither followed, nor waited for (a fifo), nor made our terminal, nor truncated before the lock is ours.
    let flags = libc::O_RDWR | libc::O_CREAT | libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY;
    let file = fd::open(name, flags, 0o600)
        .during(Step::PidFileCreate, "open")
        .map_err(system)?;
    let stat = fd::stat_raw(file.as_raw_fd())
        .during(Step::PidFileCreate, "fstat")
        .map_err(system)?;
    if stat.st_nlink == 0 {
        return Ok(None); // unlinked by its last owner between our open and now
    }
    suitable(&stat, path).map_err(system)?;
    match lock::lock(file.as_raw_fd(), lock::Owner::OpenFile, RUNNING_AND_STARTING) {
        Ok(()) => {}
        Err(Errno::EAGAIN | Errno::EACCES) => return refusal(path, file.as_raw_fd()).map(|()| None),
        Err(errno) => return Err(system(Failure::new(Step::PidFileLock, "fcntl", errno))),
    }
    // The lock is worth nothing on a file that a former owner has unlinked in between.
    if !names_still(name, Identity::of(&stat)) {
        return Ok(None);
    }
    let mode = Mode::from_bits_truncate(libc::mode_t::try_from(mode).unwrap_or(0o644));
    fchmod(&file, mode)
        .during(Step::PidFileCreate, "fchmod")
        .map_err(system)?;
    Ok(Some(Claim {
        file,
        path: path.to_owned(),
        identity: Identity::of(&stat),
    }))
}

/// Why the lock was refused; Ok if it is free by now.
fn refusal(path: &Path, file: RawFd) -> Result<()> {
    let holder = lock::holder(file, lock::Owner::OpenFile, RUNNING);
    match holder
        .during(Step::PidFileLock, "fcntl")
        .map_err(|failure| failure.at(path))?
    {
        None => Ok(()), // only byte 2 was held, by someone who waits for readiness
        Some(holder) if holder.reader => Err(Error::Blocked {
            path: path.to_owned(),
            pid: (holder.pid > 0).then_some(holder.pid),
        }),
        Some(_) => {
            let report = inspect::look(file, path)?;
            Err(Error::Running {
                path: path.to_owned(),
                pid: report.pid,
            })
        }
    }
}

fn suitable(stat: &libc::stat, path: &Path) -> std::result::Result<(), Failure> {
    let refused = |errno, why: &str| Err(Failure::new(Step::PidFileCreate, "open", errno).because(why));
    if stat.st_mode & libc::S_IFMT != libc::S_IFREG {
        return refused(Errno::EINVAL, "it is not a regular file");
    }
    if stat.st_nlink > 1 {
        return refused(
            Errno::EMLINK,
            "it has other names (hard links): it may be somebody's other file",
        );
    }
    if stat.st_uid != nix::unistd::geteuid().as_raw() && anyone_can_put_files_beside(path) {
        return refused(
            Errno::EACCES,
            "it belongs to another user, in a directory where anyone can put files",
        );
    }
    Ok(())
}

fn anyone_can_put_files_beside(path: &Path) -> bool {
    let directory = path
        .parent()
        .filter(|each| !each.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    nix::sys::stat::stat(directory).is_ok_and(|stat| stat.st_mode & libc::S_IWOTH != 0)
}

pub fn names_still(name: &CString, identity: Identity) -> bool {
    fd::stat_path(name, false).is_ok_and(|stat| Identity::of(&stat) == identity)
}

pub fn c_path(path: &Path) -> Result<CString> {
    use std::os::unix::ffi::OsStrExt;
    CString::new(path.as_os_str().as_bytes()).map_err(|_| {
        Failure::new(Step::PidFileCreate, "open", Errno::EINVAL)
            .at(path)
            .because("it has a NUL")
            .into()
    })
}

/// What the owner does once every other descriptor of the file is closed in its process: byte 0, then the text.
/// Async-signal-safe, since a child does it between fork and exec.
pub fn own(file: RawFd) -> std::result::Result<(), (Step, Errno)> {
    lock::lock(file, lock::Owner::Process, super::WHO).map_err(|errno| (Step::PidFileLock, errno))?;
    let mut room = [0; 11];
    let digits = crate::sys::process::decimal(std::process::id(), &mut room);
    let mut text = [0; 12];
    text[..digits.len()].copy_from_slice(digits);
    text[digits.len()] = b'\n';
    fd::rewrite(file, &text[..=digits.len()]).map_err(|errno| (Step::PidFileWrite, errno))
}

/// Says that the start is over: byte 2 alone is given up.
pub fn started(file: RawFd) -> nix::Result<()> {
    lock::unlock(file, lock::Owner::OpenFile, STARTING)
}
