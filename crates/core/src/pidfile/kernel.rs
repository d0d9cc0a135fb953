//! The system calls that the protocol is made of, so that the model in `model.rs` runs this very code on every
//! interleaving of them.

use std::ffi::CStr;
use std::os::fd::{AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::stat::{Mode, fchmod};

use super::Identity;
use crate::sys::lock::{self, Holder, Owner, Span};
use crate::sys::{fd, process};

pub trait Kernel {
    type File;

    /// open(2); with O_CREAT, for the owner alone until the mode is set.
    fn open(&self, name: &CStr, flags: i32) -> nix::Result<Self::File>;
    /// fstat(2)
    fn status(&self, file: &Self::File) -> nix::Result<Status>;
    /// lstat(2)
    fn named(&self, name: &CStr) -> nix::Result<Identity>;
    /// fchmod(2)
    fn set_mode(&self, file: &Self::File, mode: u32) -> nix::Result<()>;
    /// fcntl(2)
    fn lock(&self, file: &Self::File, owner: Owner, span: Span) -> nix::Result<()>;
    fn unlock(&self, file: &Self::File, owner: Owner, span: Span) -> nix::Result<()>;
    fn holder(&self, file: &Self::File, owner: Owner, span: Span) -> nix::Result<Option<Holder>>;
    /// pread(2)
    fn text(&self, file: &Self::File, buffer: &mut [u8]) -> nix::Result<usize>;
    /// pwrite(2), then ftruncate(2)
    fn rewrite(&self, file: &Self::File, text: &[u8]) -> nix::Result<()>;
    /// unlink(2)
    fn unlink(&self, name: &CStr) -> nix::Result<()>;
    /// getpid(2)
    fn pid(&self) -> u32;

    /// Whether the path still names this file: a lock is worth nothing on one that its last owner has unlinked.
    fn names_still(&self, name: &CStr, identity: Identity) -> bool {
        self.named(name) == Ok(identity)
    }
}

/// What fstat(2) tells of an open file.
#[derive(Debug, Clone, Copy)]
pub struct Status {
    pub identity: Identity,
    pub regular: bool,
    pub links: u64,
    pub owner: u32,
}

/// The kernel that we run on. Async-signal-safe throughout.
#[derive(Debug, Clone, Copy)]
pub struct Host;

impl Kernel for Host {
    type File = OwnedFd;

    fn open(&self, name: &CStr, flags: i32) -> nix::Result<OwnedFd> {
        fd::open(name, flags, 0o600)
    }

    #[allow(clippy::unnecessary_cast)] // nlink_t is narrower elsewhere
    fn status(&self, file: &OwnedFd) -> nix::Result<Status> {
        let stat = fd::stat_raw(file.as_raw_fd())?;
        Ok(Status {
            identity: Identity::of(&stat),
            regular: stat.st_mode & libc::S_IFMT == libc::S_IFREG,
            links: stat.st_nlink as u64,
            owner: stat.st_uid,
        })
    }

    fn named(&self, name: &CStr) -> nix::Result<Identity> {
        fd::stat_path(name, false).map(|stat| Identity::of(&stat))
    }

    fn set_mode(&self, file: &OwnedFd, mode: u32) -> nix::Result<()> {
        let mode = libc::mode_t::try_from(mode).map_err(|_| Errno::EINVAL)?;
        fchmod(file, Mode::from_bits_truncate(mode))
    }

    fn lock(&self, file: &OwnedFd, owner: Owner, span: Span) -> nix::Result<()> {
        lock::lock(file.as_raw_fd(), owner, span)
    }

    fn unlock(&self, file: &OwnedFd, owner: Owner, span: Span) -> nix::Result<()> {
        lock::unlock(file.as_raw_fd(), owner, span)
    }

    fn holder(&self, file: &OwnedFd, owner: Owner, span: Span) -> nix::Result<Option<Holder>> {
        lock::holder(file.as_raw_fd(), owner, span)
    }

    fn text(&self, file: &OwnedFd, buffer: &mut [u8]) -> nix::Result<usize> {
        fd::read_at_start(file.as_raw_fd(), buffer)
    }

    fn rewrite(&self, file: &OwnedFd, text: &[u8]) -> nix::Result<()> {
        fd::rewrite(file.as_raw_fd(), text)
    }

    fn unlink(&self, name: &CStr) -> nix::Result<()> {
        fd::unlink(name)
    }

    fn pid(&self) -> u32 {
        process::id()
    }
}
