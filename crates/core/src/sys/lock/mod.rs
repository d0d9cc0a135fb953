//! Advisory locks on single bytes of a file, and their substitute on systems that can lock only whole files.

/// Owner of a lock: the process (the lock is dropped when it closes any descriptor of the file), or the open file
/// description (the lock is shared over fork, kept over exec, and dropped with the last descriptor).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LockOwner {
    Process,
    OpenFile,
}

/// Range of bytes: `length` bytes from `start` on.
#[derive(Debug, Clone, Copy)]
pub struct Span {
    pub start: u8,
    pub length: u8,
}

/// Kind of a lock or of a request for one: any number of readers, or one writer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    Read,
    Write,
}

/// Lock that is in the way of another. `pid` is as the kernel gives it: -1 for the lock of an open file, 0 for a
/// process in another PID namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Holder {
    pub pid: i32,
    pub reader: bool,
}

#[cfg(any(target_os = "linux", target_vendor = "apple"))]
mod record;
#[cfg(not(any(target_os = "linux", target_vendor = "apple")))]
mod whole;

#[cfg(any(target_os = "linux", target_vendor = "apple"))]
pub use record::{holder, lock, unlock, wait_to_read, wait_to_write};
#[cfg(not(any(target_os = "linux", target_vendor = "apple")))]
pub use whole::{holder, lock, unlock, wait_to_read, wait_to_write};
