//! The system calls that the locking protocol is made of, as a trait: `model.rs` runs the protocol's code on a
//! simulated kernel, through every interleaving of these calls.

use std::ffi::CStr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::stat::{Mode, fchmod};

use crate::sys::fd::{self, FileId};
use crate::sys::lock::{self, Access, Holder, LockOwner, Span};
use crate::sys::process;

/// Time between two attempts.
const PAUSE: Duration = Duration::from_millis(1);

/// Kernel that the protocol runs on: the real one, or the model's.
pub trait Kernel {
    type File;

    /// Number of attempts for which readers may be in the way: a process that waits for a start takes a read lock for a
    /// moment, which is no reason to replace the file.
    const PATIENCE: u32;

    /// open(2). With O_CREAT, the file's mode is 0600 until [`Kernel::set_mode`].
    fn open(&self, name: &CStr, flags: i32) -> nix::Result<Self::File>;
    /// fstat(2)
    fn status(&self, file: &Self::File) -> nix::Result<Status>;
    /// lstat(2)
    fn named(&self, name: &CStr) -> nix::Result<FileId>;
    /// fchmod(2)
    fn set_mode(&self, file: &Self::File, mode: u32) -> nix::Result<()>;
    /// fcntl(2)
    fn lock(&self, file: &Self::File, owner: LockOwner, access: Access, span: Span) -> nix::Result<()>;
    /// fcntl(2)
    fn unlock(&self, file: &Self::File, owner: LockOwner, span: Span) -> nix::Result<()>;
    /// fcntl(2)
    fn holder(&self, file: &Self::File, owner: LockOwner, access: Access, span: Span) -> nix::Result<Option<Holder>>;
    /// pread(2)
    fn text(&self, file: &Self::File, buffer: &mut [u8]) -> nix::Result<usize>;
    /// pwrite(2), then ftruncate(2)
    fn rewrite(&self, file: &Self::File, text: &[u8]) -> nix::Result<()>;
    /// unlink(2)
    fn unlink(&self, name: &CStr) -> nix::Result<()>;
    /// rename(2)
    fn rename(&self, from: &CStr, to: &CStr) -> nix::Result<()>;
    /// link(2)
    fn link(&self, from: &CStr, to: &CStr) -> nix::Result<()>;
    /// getpid(2)
    fn pid(&self) -> u32;
    /// Whether only this user and root can put files beside `path`, and move its directory.
    fn is_private(&self, path: &Path) -> bool;
    /// Waits a moment before the next attempt.
    fn pause(&self);

    /// Whether the path still names this file: a lock on a file that its last owner has unlinked excludes no other
    /// process.
    fn names_still(&self, name: &CStr, identity: FileId) -> bool {
        self.named(name) == Ok(identity)
    }
}

/// Result of fstat(2), as far as the protocol needs it.
#[derive(Debug, Clone, Copy)]
pub struct Status {
    pub identity: FileId,
    pub regular: bool,
    pub links: u64,
    pub owner: u32,
}

/// The kernel that this process runs on. Every call but `is_private` and `pause` is async-signal-safe.
#[derive(Debug, Clone, Copy)]
pub struct RealKernel;

impl Kernel for RealKernel {
    type File = OwnedFd;

    const PATIENCE: u32 = 20;

    fn open(&self, name: &CStr, flags: i32) -> nix::Result<OwnedFd> {
        fd::open(name, flags, 0o600)
    }

    #[allow(clippy::unnecessary_cast, clippy::cast_lossless)] // nlink_t is narrower elsewhere
    fn status(&self, file: &OwnedFd) -> nix::Result<Status> {
        let stat = fd::stat_raw(file.as_raw_fd())?;
        Ok(Status {
            identity: FileId::of(&stat),
            regular: stat.st_mode & libc::S_IFMT == libc::S_IFREG,
            links: stat.st_nlink as u64,
            owner: stat.st_uid,
        })
    }

    fn named(&self, name: &CStr) -> nix::Result<FileId> {
        FileId::named(name)
    }

    fn set_mode(&self, file: &OwnedFd, mode: u32) -> nix::Result<()> {
        let mode = libc::mode_t::try_from(mode).map_err(|_| Errno::EINVAL)?;
        fchmod(file, Mode::from_bits_truncate(mode))
    }

    fn lock(&self, file: &OwnedFd, owner: LockOwner, access: Access, span: Span) -> nix::Result<()> {
        lock::lock(file.as_raw_fd(), owner, access, span)
    }

    fn unlock(&self, file: &OwnedFd, owner: LockOwner, span: Span) -> nix::Result<()> {
        lock::unlock(file.as_raw_fd(), owner, span)
    }

    fn holder(&self, file: &OwnedFd, owner: LockOwner, access: Access, span: Span) -> nix::Result<Option<Holder>> {
        lock::holder(file.as_raw_fd(), owner, access, span)
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

    fn rename(&self, from: &CStr, to: &CStr) -> nix::Result<()> {
        fd::rename(from, to)
    }

    fn link(&self, from: &CStr, to: &CStr) -> nix::Result<()> {
        fd::link(from, to)
    }

    fn pid(&self) -> u32 {
        process::id()
    }

    fn is_private(&self, path: &Path) -> bool {
        crate::place::is_private(path, nix::unistd::geteuid().as_raw())
    }

    fn pause(&self) {
        std::thread::sleep(PAUSE);
    }
}
