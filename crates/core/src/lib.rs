//! What a start, a pid file and a daemon are made of, without Node.
//!
//! All unsafe code is in [`sys`]. What runs between fork and exec is in [`middle`] and [`child`]: async-signal-safe
//! calls on memory prepared by [`launch`], and nothing else (signal-safety(7)).
#![deny(unsafe_code)]

pub mod arrival;
pub mod asking;
pub mod channel;
mod child;
pub mod context;
pub mod control;
pub mod descriptors;
pub mod error;
mod handover;
pub mod identity;
pub mod launch;
pub mod limits;
pub mod logs;
mod middle;
pub mod notify;
pub mod orders;
pub mod pidfile;
pub mod plan;
pub mod session;
pub mod sockets;
pub mod starting;
mod state;
pub mod stdio;
#[allow(unsafe_code)]
pub mod sys;
pub mod takeover;
pub mod worker;
