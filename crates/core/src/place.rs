//! A trusted place: the directory of a file is opened once and judged once, and the file is opened in that directory.
//!
//! O_NOFOLLOW guards only the last part of a path. Who may write to a directory further up can put a link there at any
//! time, and lead root to any file of the system.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, open, openat, readlinkat};
use nix::sys::stat::{FileStat, Mode, fstat, fstatat};
use nix::unistd::{UnlinkatFlags, unlinkat};

use crate::plan::FileOwner;
use crate::sys::credentials::FileAccess;

/// Most links on the way to a file, as in path_resolution(7).
const MOST_LINKS: usize = 40;
/// Bits of a directory's mode that let others than its owner put files there.
const OTHERS_WRITE: libc::mode_t = 0o022;

/// How a directory is opened that is only passed through: without permission to list it, where the system allows that.
#[cfg(target_os = "linux")]
const PASS: OFlag = OFlag::O_PATH;
#[cfg(not(target_os = "linux"))]
const PASS: OFlag = OFlag::O_RDONLY;

/// Where a file is to be opened, and with which rights.
#[derive(Debug)]
pub struct Place {
    /// Directory that was judged, and the name in it; without one, the name is the whole path.
    directory: Option<OwnedFd>,
    name: PathBuf,
    /// User with whose rights the file is opened, instead of root's.
    rights: Option<FileOwner>,
    /// Whether anybody can put files into the directory.
    is_open_to_all: bool,
}

impl Place {
    /// Finds the place of `path`. `owner` is the daemon's user, if it is another than this process's.
    ///
    /// A process without root's rights opens whatever its path leads to. Root opens by itself in a directory that root
    /// alone can write, with no link on the way that anybody else could have put there. In any other directory a file is
    /// opened with the rights of the daemon's user, who gains nothing by a link; where that is root, no such link is
    /// followed: ELOOP.
    pub fn of(path: &Path, owner: Option<FileOwner>) -> nix::Result<Self> {
        let whole = |rights| Self { directory: None, name: path.to_owned(), rights, is_open_to_all: false };
        if !nix::unistd::geteuid().is_root() {
            return Ok(whole(None));
        }
        let owner = owner.filter(|owner| owner.user != 0);
        match (walk(path), owner) {
            (Ok((directory, name, facts)), owner) if owner.is_none() || is_roots(&facts) => Ok(Self {
                directory: Some(directory),
                name: name.into(),
                rights: None,
                is_open_to_all: facts.st_mode & libc::S_IWOTH != 0,
            }),
            (_, Some(owner)) => Ok(whole(Some(owner))),
            (Err(errno), None) => Err(errno),
            (Ok(_), None) => unreachable!("the first arm takes it"),
        }
    }

    /// Opens the file, not following a link in its last part. The mode is for a file that is made.
    pub fn open(&self, flags: OFlag, mode: Mode) -> nix::Result<OwnedFd> {
        let _rights = self.rights.map(|owner| FileAccess::of(owner.user, owner.group)).transpose()?;
        let flags = flags | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        match &self.directory {
            Some(directory) => openat(directory, &self.name, flags, mode),
            None => openat(AT_FDCWD, &self.name, flags, mode),
        }
    }

    /// Removes the file where `condition` holds of what lstat(2) says of it.
    pub fn remove_if(&self, condition: impl FnOnce(&FileStat) -> bool) -> nix::Result<()> {
        let _rights = self.rights.map(|owner| FileAccess::of(owner.user, owner.group)).transpose()?;
        let directory = self.directory.as_ref().map_or(AT_FDCWD, AsFd::as_fd);
        if condition(&fstatat(directory, &self.name, AtFlags::AT_SYMLINK_NOFOLLOW)?) {
            unlinkat(directory, &self.name, UnlinkatFlags::NoRemoveDir)?;
        }
        Ok(())
    }

    /// Whether a file that belongs to `user` may have been put here by somebody who has nothing to do with the daemon.
    #[must_use]
    pub fn is_strange(&self, user: u32) -> bool {
        self.is_open_to_all && user != nix::unistd::geteuid().as_raw()
    }
}

/// Opens the directory of a file, one part of the path after the other, and returns it with the file's name and what
/// fstat(2) says of the directory. A link is followed only where root alone can put one, all the way up.
fn walk(path: &Path) -> nix::Result<(OwnedFd, OsString, FileStat)> {
    let path = std::path::absolute(path).map_err(|_| Errno::ENOENT)?;
    let name = path.file_name().ok_or(Errno::EISDIR)?.to_owned();
    let mut parts = parts_of(path.parent().unwrap_or(Path::new("/")));
    let mut directory = root()?;
    let mut facts = fstat(&directory)?;
    let mut is_fixed = true;
    let mut links = 0;
    while let Some(part) = parts.pop_front() {
        match pass(&directory, &part) {
            Ok(next) => {
                let found = fstat(&next)?;
                is_fixed &= cannot_be_replaced(&facts, found.st_uid);
                (directory, facts) = (next, found);
            }
            // ENOTDIR is Linux's for a link that is opened by O_PATH, ELOOP the others'.
            Err(errno @ (Errno::ELOOP | Errno::ENOTDIR | Errno::EMLINK)) => {
                let link = fstatat(&directory, part.as_os_str(), AtFlags::AT_SYMLINK_NOFOLLOW)?;
                links += 1;
                let Ok(target) = readlinkat(&directory, part.as_os_str()) else { return Err(errno) };
                if !is_fixed || !cannot_be_replaced(&facts, link.st_uid) || links > MOST_LINKS {
                    return Err(Errno::ELOOP);
                }
                if Path::new(&target).is_absolute() {
                    directory = root()?;
                    facts = fstat(&directory)?;
                }
                parts = parts_of(Path::new(&target)).into_iter().chain(parts).collect();
            }
            Err(errno) => return Err(errno),
        }
    }
    Ok((directory, name, facts))
}

fn root() -> nix::Result<OwnedFd> {
    open("/", PASS | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())
}

fn pass(directory: impl AsFd, part: &OsStr) -> nix::Result<OwnedFd> {
    openat(directory, part, PASS | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC, Mode::empty())
}

fn parts_of(path: &Path) -> VecDeque<OsString> {
    path.components()
        .filter(|part| matches!(part, Component::Normal(_) | Component::ParentDir))
        .map(|part| part.as_os_str().to_owned())
        .collect()
}

/// Whether root alone can put something else in the place of an entry of `user`: in a sticky directory that holds for
/// root's own entries.
fn cannot_be_replaced(directory: &FileStat, user: u32) -> bool {
    let is_sticky = directory.st_uid == 0 && directory.st_mode & libc::S_ISVTX != 0;
    is_roots(directory) || (is_sticky && user == 0)
}

/// Whether root alone can put files into a directory. Where an access control list lets others, the mode's bits of the
/// group say so, too: acl(5).
fn is_roots(directory: &FileStat) -> bool {
    directory.st_uid == 0 && directory.st_mode & OTHERS_WRITE == 0
}
