//! The native supervisor: takes the daemon's place, and starts, watches and replaces the program's processes.
//!
//! One thread, one event loop. [`fleet`] decides and touches nothing; [`host`] touches and decides nothing.
#![forbid(unsafe_code)]

mod config;
mod control;
mod fleet;
mod host;
mod journal;
mod listeners;
mod notifications;
mod policy;
mod readiness;
mod resume;
mod start;
mod supervisor;

fn main() {
    std::process::exit(start::run())
}
