//! Layout of the bytes of a pid file that are locked.

use crate::sys::lock::Span;

/// Owner: locked by its process.
pub const WHO: Span = Span { start: 0, length: 1 };
/// Existence of an owner: the lock that excludes a second one.
pub const RUNNING: Span = Span { start: 1, length: 1 };
/// Start of the owner, until it is ready.
pub const STARTING: Span = Span { start: 2, length: 1 };
/// Both bytes that a start takes in one request.
pub const RUNNING_AND_STARTING: Span = Span { start: 1, length: 2 };
/// Stop of the owner, until it exits.
pub const ENDING: Span = Span { start: 3, length: 1 };
/// Both bytes on which a process waits until the owner is neither starting nor stopping.
pub const STARTING_AND_ENDING: Span = Span { start: 2, length: 2 };
/// Replacement of the owner: locked by the process that replaces it.
pub const REPLACING: Span = Span { start: 4, length: 1 };

/// All bytes that anything locks.
pub const ALL: Span = Span { start: 0, length: 5 };

/// Number of races in a row that a process may lose: after that, something else must be wrong.
pub const MOST_RACES: u32 = 1000;
