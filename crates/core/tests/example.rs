//! The example that daemonizes a Rust program, run as its reader would.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use daemonic_core::pidfile::{PidFileState, inspect};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

const DEADLINE: Duration = Duration::from_secs(60);

/// Finds the example where cargo has put it: beside the folder of this test.
fn example() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    test.parent().and_then(|deps| deps.parent()).unwrap().join("examples/daemon")
}

fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < DEADLINE, "{what}");
        std::thread::yield_now();
    }
}

#[test]
fn a_rust_program_becomes_a_daemon_that_its_pid_file_names() {
    let directory = std::env::temp_dir().join(format!("daemonic-example-{}", std::process::id()));
    fs::create_dir(&directory).unwrap();
    let [pid_file, log] = ["ticking.pid", "ticking.log"].map(|name| directory.join(name));
    let start = || -> Output { Command::new(example()).args([&pid_file, &log]).output().unwrap() };

    let first = start();
    let said = String::from_utf8(first.stdout).unwrap();
    let pid: i32 = said.trim_start_matches("running with pid ").trim().parse().expect(&said);
    let session = nix::unistd::getsid(Some(Pid::from_raw(pid)));
    let second = start();
    wait_until("the daemon writes to its log", || {
        fs::read_to_string(&log).is_ok_and(|text| text.starts_with(&format!("tick of process {pid}\n")))
    });
    kill(Pid::from_raw(pid), Signal::SIGTERM).unwrap();
    wait_until("the kernel frees the lock", || inspect(&pid_file).unwrap().state == PidFileState::Free);
    fs::remove_dir_all(&directory).unwrap();

    assert!(first.status.success());
    assert_ne!(session, nix::unistd::getsid(None), "the daemon has left this session");
    assert_eq!(second.status.code(), Some(1));
    let refusal = String::from_utf8(second.stderr).unwrap();
    assert!(refusal.contains(&format!("is locked by process {pid}")), "{refusal}");
}
