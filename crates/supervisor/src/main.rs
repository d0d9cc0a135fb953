//! The native supervisor: takes the daemon's place, and starts, watches and replaces the program's processes.
//!
//! One thread, one event loop. [`fleet`] decides and touches no process; [`real_world`] touches processes and decides
//! nothing.
#![forbid(unsafe_code)]

mod clock;
mod config;
mod control_socket;
mod entry;
mod fleet;
mod listeners;
mod mapped_signals;
mod notify_socket;
mod policy;
mod readiness_probe;
mod real_world;
mod reexec;
mod status_report;
mod supervisor;
mod supervisor_log;

fn main() {
    std::process::exit(entry::run())
}
