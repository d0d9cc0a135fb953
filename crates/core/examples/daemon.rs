//! A Rust program that makes itself a daemon: `cargo run --example daemon /tmp/ticking.pid /tmp/ticking.log`, and
//! `kill $(cat /tmp/ticking.pid)` ends it. The file stays then, unlocked: the next start takes it.
//!
//! This one executable runs in three roles: the launcher, which returns when the daemon is ready; the process between
//! the two; and the daemon.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::exit;
use std::thread::sleep;
use std::time::Duration;

use daemonic_core::arrival::Arrival;
use daemonic_core::launch;
use daemonic_core::middle;
use daemonic_core::pending_start::Outcome;
use daemonic_core::pidfile::Held;
use daemonic_core::plan::{LogFile, PidFile, Plan, Stream};

const START_TIMEOUT: Duration = Duration::from_secs(10);

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if let Some(code) = middle::run_if_asked(&arguments[1..]) {
        exit(code);
    }
    let [_, pid_file, log] = arguments.as_slice() else {
        eprintln!("two arguments are needed: the pid file and the log");
        exit(2);
    };
    let result = match Arrival::of_this_process() {
        Some(arrival) => run(arrival, Path::new(pid_file)),
        None => start(&arguments, pid_file.into(), log.into()),
    };
    if let Err(error) = result {
        eprintln!("{error}");
        exit(1);
    }
}

/// Starts this same executable as the daemon; returns when that is ready.
fn start(arguments: &[String], pid_file: PathBuf, log: PathBuf) -> Result<(), Box<dyn Error>> {
    let executable = std::env::current_exe()?;
    let log = Stream::File(LogFile { path: log, mode: 0o640, truncate: false });
    let plan = Plan {
        pid_file: Some(PidFile { path: pid_file, mode: 0o644, overwrite: false, companions: Vec::new(), killed: None }),
        stdout: log.clone(),
        stderr: log,
        ..Plan::new(executable.clone(), executable, arguments.to_vec())
    };
    let mut start = launch::begin(&plan, START_TIMEOUT)?;
    match start.wait()? {
        Outcome::Ready => println!("running with pid {}", start.pid()),
        other => return Err(format!("the daemon did not start: {other:?}").into()),
    }
    Ok(())
}

/// The daemon: takes up its pid file and its log, says that it is ready, and works.
fn run(mut arrival: Arrival, path: &Path) -> Result<(), Box<dyn Error>> {
    let held = arrival.pid_file.take().map(|file| Held::register(file, path)).transpose()?;
    arrival.take_streams()?;
    arrival.ready(held.as_ref(), true)?;
    loop {
        println!("tick of process {}", std::process::id());
        sleep(Duration::from_secs(1));
    }
}
