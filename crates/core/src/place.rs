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

use crate::error::{Failure, Step};
use crate::plan::FileOwner;
use crate::sys::credentials::FileAccess;

/// Most links on the way to a file, as in path_resolution(7).
const MOST_LINKS: usize = 40;
/// Why a path with a link is refused.
const STRANGE_LINK: &str =
    "a directory on the way is a link that not only root could have put there: give the path without the link";
/// The user that is trusted everywhere.
const ROOT: u32 = 0;
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
    /// A process without root's rights opens whatever its path leads to. Root opens by itself where root alone can write,
    /// all the way up. Anywhere else a file is opened with the rights of the daemon's user, who gains nothing by a link;
    /// where that is root, no link is followed that somebody else could have put there: ELOOP.
    pub fn of(path: &Path, owner: Option<&FileOwner>) -> nix::Result<Self> {
        let whole = |rights| Self { directory: None, name: path.to_owned(), rights, is_open_to_all: false };
        if !nix::unistd::geteuid().is_root() {
            return Ok(whole(None));
        }
        let owner = owner.filter(|owner| owner.user != ROOT);
        match (Way::to(path, ROOT), owner) {
            (Ok(way), owner) if owner.is_none() || way.weakest().is_none() => Ok(Self {
                is_open_to_all: way.facts.st_mode & libc::S_IWOTH != 0,
                directory: Some(way.directory),
                name: way.name.into(),
                rights: None,
            }),
            (_, Some(owner)) => Ok(whole(Some(owner.clone()))),
            (Err(Stopped { errno, .. }), None) => Err(errno),
            (Ok(_), None) => unreachable!("the first arm takes it"),
        }
    }

    /// Finds the place of a file that `step` opens; a failure says what to do about it.
    pub fn for_step(path: &Path, owner: Option<&FileOwner>, step: Step) -> Result<Self, Failure> {
        Self::of(path, owner).map_err(|errno| {
            let failure = Failure::new(step, "open", errno).at(path);
            if errno == Errno::ELOOP { failure.because(STRANGE_LINK) } else { failure }
        })
    }

    /// Opens the file, not following a link in its last part. The mode is for a file that is made.
    pub fn open(&self, flags: OFlag, mode: Mode) -> nix::Result<OwnedFd> {
        let _rights = self.assumed()?;
        let flags = flags | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        match &self.directory {
            Some(directory) => openat(directory, &self.name, flags, mode),
            None => openat(AT_FDCWD, &self.name, flags, mode),
        }
    }

    /// Removes the file where `condition` holds of what lstat(2) says of it.
    pub fn remove_if(&self, condition: impl FnOnce(&FileStat) -> bool) -> nix::Result<()> {
        let _rights = self.assumed()?;
        let directory = self.directory.as_ref().map_or(AT_FDCWD, AsFd::as_fd);
        if condition(&fstatat(directory, &self.name, AtFlags::AT_SYMLINK_NOFOLLOW)?) {
            unlinkat(directory, &self.name, UnlinkatFlags::NoRemoveDir)?;
        }
        Ok(())
    }

    fn assumed(&self) -> nix::Result<Option<FileAccess>> {
        let of = |owner: &FileOwner| FileAccess::of(owner.user, owner.group, &owner.groups);
        self.rights.as_ref().map(of).transpose()
    }

    /// Whether a file that belongs to `user` may have been put here by somebody who has nothing to do with the daemon.
    #[must_use]
    pub fn is_strange(&self, user: u32) -> bool {
        self.is_open_to_all && user != nix::unistd::geteuid().as_raw()
    }
}

/// Refuses a path on which `step` would make, change or remove files as root through a link that somebody else could have
/// put there. A process without root's rights gains nothing by a link.
pub fn require_no_strange_link(path: &Path, step: Step) -> Result<(), Failure> {
    if !nix::unistd::geteuid().is_root() {
        return Ok(());
    }
    match Way::to(path, ROOT) {
        Err(Stopped { errno: errno @ Errno::ELOOP, .. }) => {
            Err(Failure::new(step, "open", errno).at(path).because(STRANGE_LINK))
        }
        _ => Ok(()),
    }
}

/// Whether root and the user `own` alone can put files beside `path`, and move its directory.
#[must_use]
pub fn is_private(path: &Path, own: u32) -> bool {
    Way::to(path, own).is_ok_and(|way| way.weakest().is_none())
}

/// Finds the first of these files that another user than root can change or replace: the directory where that is
/// possible, or the file itself. A file that can't be looked at is left to whoever opens it.
#[must_use]
pub fn first_that_others_can_write(files: &[PathBuf]) -> Option<PathBuf> {
    files.iter().find_map(|file| weak_point(file.clone()))
}

fn weak_point(mut file: PathBuf) -> Option<PathBuf> {
    for _ in 0..MOST_LINKS {
        let way = match Way::to(&file, ROOT) {
            Ok(way) => way,
            Err(stopped) => return stopped.weak,
        };
        if let Some(weakest) = way.weakest() {
            return Some(weakest.to_owned());
        }
        let entry = fstatat(&way.directory, way.name.as_os_str(), AtFlags::AT_SYMLINK_NOFOLLOW).ok()?;
        if entry.st_mode & libc::S_IFMT != libc::S_IFLNK {
            return (!is_closed(&entry, ROOT)).then(|| way.path.join(&way.name));
        }
        file = way.path.join(readlinkat(&way.directory, way.name.as_os_str()).ok()?);
    }
    None
}

/// The way to a file through all directories, each opened in the one before it.
struct Way {
    /// The directory of the file, and what fstat(2) says of it.
    directory: OwnedFd,
    facts: FileStat,
    /// The directory's path without links.
    path: PathBuf,
    name: OsString,
    /// The first directory in which others than root and `trusted` can exchange the next part of the way.
    weak: Option<PathBuf>,
    trusted: u32,
}

/// Why a way ends before the file.
struct Stopped {
    errno: Errno,
    weak: Option<PathBuf>,
}

impl Way {
    /// Goes to the directory of `path`. A link is followed only where root and the user `trusted` alone can put one, all
    /// the way up; elsewhere it is ELOOP.
    fn to(path: &Path, trusted: u32) -> Result<Self, Stopped> {
        let stopped = |errno| Stopped { errno, weak: None };
        let path = std::path::absolute(path).map_err(|_| stopped(Errno::ENOENT))?;
        let name = path.file_name().ok_or(stopped(Errno::EISDIR))?.to_owned();
        let directory = root().map_err(stopped)?;
        let facts = fstat(&directory).map_err(stopped)?;
        let mut way = Self { directory, facts, path: "/".into(), name, weak: None, trusted };
        match way.go(parts_of(path.parent().unwrap_or(Path::new("/")))) {
            Ok(()) => Ok(way),
            Err(errno) => Err(Stopped { errno, weak: way.weak }),
        }
    }

    fn go(&mut self, mut parts: VecDeque<OsString>) -> nix::Result<()> {
        let mut links = 0;
        while let Some(part) = parts.pop_front() {
            match pass(&self.directory, &part) {
                Ok(next) => {
                    let found = fstat(&next)?;
                    self.judge(&found);
                    (self.directory, self.facts) = (next, found);
                    if part == ".." {
                        self.path.pop();
                    } else {
                        self.path.push(part);
                    }
                }
                // ENOTDIR is Linux's for a link that is opened by O_PATH, ELOOP the others'.
                Err(errno @ (Errno::ELOOP | Errno::ENOTDIR | Errno::EMLINK)) => {
                    let link = fstatat(&self.directory, part.as_os_str(), AtFlags::AT_SYMLINK_NOFOLLOW)?;
                    self.judge(&link);
                    let Ok(target) = readlinkat(&self.directory, part.as_os_str()) else { return Err(errno) };
                    links += 1;
                    if self.weak.is_some() || links > MOST_LINKS {
                        return Err(Errno::ELOOP);
                    }
                    if Path::new(&target).is_absolute() {
                        self.directory = root()?;
                        self.facts = fstat(&self.directory)?;
                        self.path = "/".into();
                    }
                    parts = parts_of(Path::new(&target)).into_iter().chain(parts).collect();
                }
                Err(errno) => return Err(errno),
            }
        }
        Ok(())
    }

    /// Notes the present directory if others can exchange `entry` in it.
    fn judge(&mut self, entry: &FileStat) {
        if self.weak.is_none() && !cannot_be_replaced(&self.facts, entry.st_uid, self.trusted) {
            self.weak = Some(self.path.clone());
        }
    }

    /// The first directory on the way, the last one included, in which others can exchange something.
    fn weakest(&self) -> Option<&Path> {
        let last = (!is_closed(&self.facts, self.trusted)).then_some(&self.path);
        self.weak.as_ref().or(last).map(PathBuf::as_path)
    }
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

/// Whether root and the user `trusted` alone can put something else in the place of an entry of `user`: in a sticky
/// directory that holds for their own entries.
fn cannot_be_replaced(directory: &FileStat, user: u32, trusted: u32) -> bool {
    let is_trusted = |user| user == ROOT || user == trusted;
    let is_sticky = directory.st_mode & libc::S_ISVTX != 0;
    is_closed(directory, trusted) || (is_sticky && is_trusted(directory.st_uid) && is_trusted(user))
}

/// Whether root and the user `trusted` alone can write a file, or put files into a directory. Where an access control
/// list lets others, the mode's bits of the group say so, too: acl(5).
fn is_closed(file: &FileStat, trusted: u32) -> bool {
    (file.st_uid == ROOT || file.st_uid == trusted) && file.st_mode & OTHERS_WRITE == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_where_others_can_put_files_is_not_private() {
        use std::os::unix::fs::PermissionsExt;
        let own = nix::unistd::geteuid().as_raw();
        let directory = std::env::temp_dir().join(format!("daemonic-private-{}", std::process::id()));
        std::fs::create_dir(&directory).unwrap();
        for (mode, expected) in [(0o755, true), (0o700, true), (0o1777, false), (0o775, false)] {
            std::fs::set_permissions(&directory, std::fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(is_private(&directory.join("d.pid"), own), expected, "{mode:o}");
        }
        std::fs::remove_dir(&directory).unwrap();
        assert!(!is_private(&directory.join("d.pid"), own));
    }
}
