//! The place of the notify socket in the file system: OUTER/RANDOM/s, beside the pid file. Both directories can be
//! entered, but not listed, by other users, and /proc/net/unix shows the path by which the socket was bound, which is one
//! through a descriptor: only processes that were told the address find the socket.
#![cfg_attr(not(target_os = "linux"), allow(dead_code))] // no other system has the socket

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use daemonic_core::error::Step;
use daemonic_core::sys::fd::FileId;
use daemonic_core::sys::path::c_path;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, open, openat};
use nix::sys::stat::{FchmodatFlags, Mode, fchmod, fchmodat, fstat, mkdirat};
use nix::unistd::{Uid, UnlinkatFlags, fchownat, unlinkat};

/// The socket's name in the inner directory.
const SOCKET: &str = "s";
/// Mode of both directories: others enter them, and can't list them.
const MODE: Mode = Mode::S_IRWXU.union(Mode::S_IXGRP).union(Mode::S_IXOTH);
const DIRECTORY: OFlag = OFlag::O_DIRECTORY.union(OFlag::O_NOFOLLOW).union(OFlag::O_CLOEXEC);

/// The two directories.
pub struct NotifyDirectory {
    outer: OwnedFd,
    path: PathBuf,
    inner: String,
}

/// Who may write to the socket.
#[derive(Clone, Copy)]
pub enum Writers {
    /// This user.
    User(u32),
    /// Every user that knows the path: a program that changes its user itself is to be heard.
    All,
}

impl NotifyDirectory {
    /// Makes the directories at `path`, which no process uses. What an earlier supervisor left there is removed.
    pub fn create(path: &Path) -> nix::Result<Self> {
        let (parent, name) = path.parent().zip(path.file_name()).ok_or(Errno::EINVAL)?;
        let parent = open(parent, OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())?;
        match mkdirat(&parent, name, Mode::S_IRWXU) {
            Ok(()) | Err(Errno::EEXIST) => {}
            Err(errno) => return Err(errno),
        }
        let outer = openat(&parent, name, DIRECTORY, Mode::empty())?;
        require_own(&outer)?;
        fchmod(&outer, MODE)?;
        let place = Self { outer, path: path.to_owned(), inner: random_name()? };
        place.empty();
        mkdirat(&place.outer, place.inner.as_str(), Mode::S_IRWXU)?;
        Ok(place)
    }

    /// Takes over the directories that the image before this one made.
    pub const fn inherited(outer: OwnedFd, path: PathBuf, inner: String) -> Self {
        Self { outer, path, inner }
    }

    /// What [`inherited`](Self::inherited) needs to know.
    pub fn parts(&self) -> (&OwnedFd, &Path, &str) {
        (&self.outer, &self.path, &self.inner)
    }

    /// The address for programs.
    pub fn address(&self) -> PathBuf {
        self.path.join(&self.inner).join(SOCKET)
    }

    /// Whether `writers` can enter every directory above the socket.
    pub fn is_reachable(&self, writers: Writers) -> bool {
        let user = match writers {
            Writers::User(user) if user == nix::unistd::geteuid().as_raw() => return true,
            Writers::User(user) => Some(user),
            Writers::All => None,
        };
        let can_enter = |directory: &Path| {
            std::fs::metadata(directory).is_ok_and(|status| {
                let is_owner = user == Some(status.uid());
                status.mode() & (if is_owner { 0o100 } else { 0o001 }) != 0
            })
        };
        self.path
            .ancestors()
            .skip(1)
            .all(|each| can_enter(if each.as_os_str().is_empty() { Path::new(".") } else { each }))
    }

    /// Binds a socket in the inner directory by `bind`, which gets a short path, and lets `writers` write to it.
    pub fn bind(&self, writers: Writers, bind: impl FnOnce(&Path) -> nix::Result<()>) -> nix::Result<()> {
        let inner = openat(&self.outer, self.inner.as_str(), DIRECTORY, Mode::empty())?;
        bind(&PathBuf::from(format!("/proc/self/fd/{}/{SOCKET}", inner.as_raw_fd())))?;
        // Until here the directory is closed to others, so that no other file can lie under this name.
        let mode = match writers {
            Writers::User(user) => {
                fchownat(&inner, SOCKET, Some(Uid::from_raw(user)), None, AtFlags::AT_SYMLINK_NOFOLLOW)?;
                Mode::S_IRUSR | Mode::S_IWUSR
            }
            Writers::All => Mode::from_bits_truncate(0o666),
        };
        fchmodat(&inner, SOCKET, mode, FchmodatFlags::FollowSymlink)?;
        fchmod(&inner, MODE)
    }

    /// Removes socket and directories.
    pub fn remove(&self) {
        self.empty();
        // Only an empty directory can go, and only the one that was made.
        let there = c_path(&self.path, Step::Listen).ok().and_then(|path| FileId::named(&path).ok());
        if there.is_some() && there == fstat(&self.outer).ok().map(|own| FileId::of(&own)) {
            let _ = std::fs::remove_dir(&self.path);
        }
    }

    fn empty(&self) {
        let entries = std::fs::read_dir(format!("/proc/self/fd/{}", self.outer.as_raw_fd()));
        for entry in entries.into_iter().flatten().flatten() {
            let inner = entry.file_name();
            let _ = unlinkat(&self.outer, Path::new(&inner).join(SOCKET).as_path(), UnlinkatFlags::NoRemoveDir);
            let _ = unlinkat(&self.outer, Path::new(&inner), UnlinkatFlags::RemoveDir);
        }
    }
}

/// Refuses a directory that another user made, or may write to.
fn require_own(directory: &OwnedFd) -> nix::Result<()> {
    let status = fstat(directory)?;
    let is_own = status.st_uid == nix::unistd::geteuid().as_raw() && status.st_mode & 0o022 == 0;
    if is_own { Ok(()) } else { Err(Errno::EPERM) }
}

/// A name that nobody can guess.
fn random_name() -> nix::Result<String> {
    let mut bytes = [0; 8];
    let read = File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes));
    read.map_err(|_| Errno::ENODEV)?;
    Ok(format!("{:016x}", u64::from_ne_bytes(bytes)))
}
