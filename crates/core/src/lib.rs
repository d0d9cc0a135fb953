//! Starts, pid files and daemons on the kernel's side, without Node: for Rust programs that become daemons.
//!
//! A [`plan`] says what is started and how; [`launch::begin`] starts it in a session of its own, and
//! [`pending_start::PendingStart::wait`] returns when the daemon is ready, or with what failed. The daemon takes up what
//! was handed to it by [`arrival::Arrival::of_this_process`]; [`pidfile`] has its lock, [`signalling`] ends it. The process
//! between launcher and daemon is an executable that calls [`middle::run_if_asked`]: the program's own will do. The
//! example `daemon.rs` shows all of it.
//!
//! What is hidden from this documentation serves daemonic's Node addon and its supervisor, and may change in any version.
//!
//! All unsafe code is in [`sys`]. The code between fork and exec is in `child`: async-signal-safe calls on prepared
//! memory, and nothing else (signal-safety(7)).
#![deny(unsafe_code)]
#![warn(missing_docs)]

pub mod arrival;
#[doc(hidden)]
pub mod channel;
mod child;
#[doc(hidden)]
pub mod descriptors;
pub mod error;
mod handover;
mod id_change;
pub mod identity;
pub mod launch;
pub mod limits;
#[doc(hidden)]
pub mod lines;
mod log_file;
#[doc(hidden)]
pub mod logs;
pub mod middle;
mod middle_order;
#[doc(hidden)]
pub mod notify;
#[doc(hidden)]
pub mod orders;
#[doc(hidden)]
pub mod own_executable;
mod packing;
pub mod pending_start;
pub mod pid_space;
pub mod pidfile;
#[doc(hidden)]
pub mod place;
pub mod plan;
pub mod process_facts;
pub mod remnants;
pub mod resources;
pub mod service_manager;
pub mod signalling;
pub mod sockets;
#[doc(hidden)]
pub mod start_channel;
mod state_file;
#[doc(hidden)]
pub mod stdio;
#[doc(hidden)]
pub mod supervisor_client;
#[doc(hidden)]
pub mod surroundings;
#[doc(hidden)]
#[allow(unsafe_code)]
pub mod sys;
#[doc(hidden)]
pub mod takeover;
#[doc(hidden)]
pub mod worker;
#[doc(hidden)]
pub mod worker_channel;
