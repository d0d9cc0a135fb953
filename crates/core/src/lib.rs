//! Starts, pid files and daemons on the kernel's side, without Node.
//!
//! All unsafe code is in [`sys`]. The code between fork and exec is in [`middle`] and [`child`]: async-signal-safe
//! calls on memory prepared by [`launch`], and nothing else (signal-safety(7)).
#![deny(unsafe_code)]

pub mod arrival;
pub mod channel;
mod child;
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
pub mod pending_start;
pub mod pidfile;
pub mod place;
pub mod plan;
pub mod process_facts;
pub mod resources;
pub mod signalling;
pub mod sockets;
mod state_file;
pub mod stdio;
pub mod supervisor_client;
pub mod surroundings;
#[allow(unsafe_code)]
pub mod sys;
pub mod takeover;
pub mod worker;
