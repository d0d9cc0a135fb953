//! Pid files locked by the kernel: a lock goes with its process, however that exits.
//!
//! | byte | lock | held | says |
//! |---|---|---|---|
//! | 0 | of the process | by the owner | who: F_GETLK gives the pid |
//! | 1 | of the open file | from start to exit, across exec | that it runs: the lock that excludes a second daemon |
//! | 2 | of the open file | from start to ready | that it is starting |
//! | 3 | of the open file | from the stop to the exit | that it is stopping: who wants a daemon waits for the next |
//! | 4 | of the open file | by another process | that this process is replacing the owner |
//!
//! A process's lock vanishes when the process closes any descriptor of the file. An open file's lock doesn't, but hides
//! its owner: hence both. Bytes 1 and 2 are taken in one request: taken one by one, a start would look ready for a
//! moment.
//!
//! Modules, each built on those before it: `kernel` (the system calls), `look` (reads the locks), `table` (the files
//! that this process holds), `claim` (takes the lock), `replace` (puts a new file in
//! the place of one that can't be locked), `held` (owns it), `orphan` and `inspect` (who owns it), `sweep`
//! (removes stale files), `wait`.

mod claim;
mod held;
mod inspect;
mod kernel;
mod layout;
mod look;
#[cfg(test)]
mod model;
mod orphan;
mod replace;
mod sweep;
mod table;
mod wait;

pub use claim::{Claim, claim, own};
pub use held::{Held, acquire};
pub use inspect::{Owner, inspect, is_ending, named_process, owner};
pub use kernel::RealKernel;
pub use look::{PidFileState, Report};
pub use orphan::holder;
pub use replace::replace_alone;
pub use sweep::{Sweep, remove_if_free};
pub use wait::{Waiting, wait_until_started};
