//! The native supervisor: takes the daemon's place, and starts, watches and replaces the program's processes.
//!
//! One thread, one event loop. [`fleet`] decides and touches no process; [`real_world`] touches processes and decides
//! nothing.
#![forbid(unsafe_code)]

mod announcements;
mod clock;
mod config;
mod control_socket;
mod entry;
mod fleet;
mod listeners;
mod mapped_signals;
mod notify_directory;
mod notify_socket;
mod own_ports;
mod passed_sockets;
mod policy;
mod probe;
mod readiness_probe;
mod real_world;
mod reexec;
mod rights;
mod settling;
mod start_report;
mod state_file;
mod status_report;
mod stderr_memory;
mod supervisor;
mod supervisor_log;
mod worker_processes;

#[global_allocator]
static ALLOCATOR: daemonic_core::sys::allocator::Patient = daemonic_core::sys::allocator::Patient;

fn main() {
    std::process::exit(entry::run())
}
