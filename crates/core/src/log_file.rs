//! Log files: opened where no other user can lead them astray, and removed by a start that fails if it made them.

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::stat::Mode;
use nix::unistd::{Gid, Uid};

use crate::error::{Failure, Result, Step, errno_of};
use crate::place::Place;
use crate::plan::{FileOwner, LogFile};
use crate::sys::fd::{self, FileId};

/// Log file that was not there before this start.
#[derive(Debug)]
pub struct MadeLog {
    place: Place,
    identity: FileId,
}

impl MadeLog {
    /// Removes the file if it is still empty, and in its place.
    pub fn remove_if_empty(&self) {
        let _ = self.place.remove_if(|found| found.st_size == 0 && FileId::of(found) == self.identity);
    }
}

/// Opens a log to append to, in its [`Place`]. Only a regular file or a character device is opened. A new file gets its
/// mode whatever the umask, and belongs to `owner`; it is returned a second time, for a start that fails.
pub fn open(log: &LogFile, owner: Option<&FileOwner>) -> Result<(OwnedFd, Option<MadeLog>)> {
    let failed = |syscall, errno| Failure::new(Step::Log, syscall, errno).at(&log.path);
    let place = Place::for_step(&log.path, owner, Step::Log)?;
    let (file, created) = append_or_create(&place, log.mode).map_err(|errno| failed("open", errno))?;
    let file = File::from(file);
    let status = file.metadata().map_err(|error| failed("fstat", errno_of(&error)))?;
    let as_root = nix::unistd::geteuid().is_root();
    let why_not = match status.mode() & u32::from(libc::S_IFMT) {
        kind if kind == u32::from(libc::S_IFCHR) => None,
        kind if kind != u32::from(libc::S_IFREG) => Some((Errno::EINVAL, "it is not a regular file")),
        _ if as_root && status.nlink() > 1 => {
            Some((Errno::EMLINK, "it has other names (hard links), so it may be another program's file"))
        }
        _ if place.is_strange(status.uid()) => {
            Some((Errno::EACCES, "it belongs to another user, in a directory where anyone can put files"))
        }
        _ => None,
    };
    if let Some((errno, why)) = why_not {
        return Err(failed("open", errno).because(why).into());
    }
    if created {
        file.set_permissions(std::fs::Permissions::from_mode(log.mode))
            .map_err(|error| failed("fchmod", errno_of(&error)))?;
        if let Some(owner) = owner {
            give(&file, owner).map_err(|errno| failed("fchown", errno))?;
        }
    }
    if log.truncate {
        fd::truncate(file.as_raw_fd(), 0).map_err(|errno| failed("ftruncate", errno))?;
    }
    let flags = OFlag::O_APPEND;
    nix::fcntl::fcntl(&file, nix::fcntl::FcntlArg::F_SETFL(flags)).map_err(|errno| failed("fcntl", errno))?;
    let made = created.then(|| MadeLog { place, identity: FileId { device: status.dev(), inode: status.ino() } });
    Ok((file.into(), made))
}

/// Opens a file to append to; true if it was created. It may appear and vanish between two tries.
fn append_or_create(place: &Place, mode: u32) -> nix::Result<(OwnedFd, bool)> {
    // O_NONBLOCK: the open of a fifo without a reader fails instead of blocking.
    let flags = OFlag::O_WRONLY | OFlag::O_APPEND | OFlag::O_NOCTTY | OFlag::O_NONBLOCK;
    let mode = Mode::from_bits_truncate(libc::mode_t::try_from(mode).unwrap_or(0o600));
    match place.open(flags, mode) {
        Err(Errno::ENOENT) => {}
        other => return other.map(|file| (file, false)),
    }
    match place.open(flags | OFlag::O_CREAT | OFlag::O_EXCL, mode) {
        // Another process has just created the file.
        Err(Errno::EEXIST) => place.open(flags, mode).map(|file| (file, false)),
        other => other.map(|file| (file, true)),
    }
}

/// Gives a file to a user and a group: fchown(2).
pub fn give(file: impl AsFd, &FileOwner { user, group, .. }: &FileOwner) -> nix::Result<()> {
    nix::unistd::fchown(file, Some(Uid::from_raw(user)), Some(Gid::from_raw(group)))
}
