//! Starts, pid files and daemons on the kernel's side, without Node.
//!
//! All unsafe code is in [`sys`]. The code between fork and exec is in [`child`]: async-signal-safe calls on prepared
//! memory, and nothing else (signal-safety(7)).
#![deny(unsafe_code)]

pub mod arrival;
pub mod channel;
mod child;
pub mod descriptors;
pub mod error;
mod handover;
mod id_change;
pub mod identity;
pub mod launch;
pub mod limits;
pub mod lines;
pub mod logs;
pub mod middle;
mod middle_order;
pub mod notify;
pub mod orders;
pub mod own_executable;
mod packing;
pub mod pending_start;
pub mod pidfile;
pub mod place;
pub mod plan;
pub mod process_facts;
pub mod resources;
pub mod service_manager;
pub mod signalling;
pub mod sockets;
pub mod start_channel;
mod state_file;
pub mod stdio;
pub mod supervisor_client;
pub mod surroundings;
#[allow(unsafe_code)]
pub mod sys;
pub mod takeover;
pub mod worker;
pub mod worker_channel;
