//! A pid file locked by the kernel: gone when its process is, however that ends.
//!
//! | byte | lock | held | says |
//! |---|---|---|---|
//! | 0 | of the process | by the owner | who: F_GETLK gives the pid |
//! | 1 | of the open file | from start to end, across exec | that it runs: the lock that excludes |
//! | 2 | of the open file | from start to ready | that it is starting |
//! | 3 | of the open file | from the stop to the end | that it is ending: whoever wants a daemon waits for the next |
//! | 4 | of the open file | by others | that one of them replaces it |
//!
//! The process's lock vanishes when its owner closes any descriptor of the file; the open file's doesn't, but hides its
//! owner: hence both. Bytes 1 and 2 are taken in one request, or a start would look ready for a moment.

mod claim;
mod held;
mod inspect;
mod kernel;
#[cfg(test)]
mod model;
mod orphan;
mod sweep;
mod wait;

pub use claim::{Claim, c_path, claim, directory_of, own};
pub use held::{Held, acquire};
pub use inspect::{Owner, Report, State, inspect, owner};
pub use kernel::{Host, Kernel};
pub use orphan::holder;
pub use sweep::{Sweep, remove_if_free};
pub use wait::{Waiting, replace_alone, wait_until_started};

use crate::sys::lock::Span;

const WHO: Span = Span { start: 0, length: 1 };
const RUNNING: Span = Span { start: 1, length: 1 };
const STARTING: Span = Span { start: 2, length: 1 };
const RUNNING_AND_STARTING: Span = Span { start: 1, length: 2 };
const ENDING: Span = Span { start: 3, length: 1 };
const STARTING_AND_ENDING: Span = Span { start: 2, length: 2 };
const REPLACING: Span = Span { start: 4, length: 1 };

/// How often a lost race is run again before we believe that something else is wrong.
const MOST_RACES: u32 = 1000;

/// Device and inode: which file it is, whatever it is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    device: u64,
    inode: u64,
}

impl Identity {
    /// The widths differ between systems; only equality counts.
    #[allow(clippy::unnecessary_cast, clippy::cast_sign_loss)]
    fn of(stat: &libc::stat) -> Self {
        Self { device: stat.st_dev as u64, inode: stat.st_ino as u64 }
    }
}
