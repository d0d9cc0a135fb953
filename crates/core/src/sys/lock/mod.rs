//! Advisory locks on single bytes of a file, and what stands in for them where a system has fewer kinds.

/// Who owns a lock: the process (dropped when it closes any descriptor of the file), or the open file description
/// (shared over fork and exec, dropped with its last descriptor).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    Process,
    OpenFile,
}

/// `length` bytes from `start` on.
#[derive(Debug, Clone, Copy)]
pub struct Span {
    pub start: u8,
    pub length: u8,
}

/// A lock that stands in the way. `pid` is as the kernel gives it: -1 for an OFD lock, 0 for another PID namespace.
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
