//! Starts in a process whose other threads start processes too. Built for musl (`--target x86_64-unknown-linux-musl`), this
//! shows whether any code of a start waits for a lock of libc's that such a thread held: musl's fork holds several.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use daemonic_core::launch::begin;
use daemonic_core::plan::Plan;

const STARTS: usize = 60;
const FORKING_THREADS: usize = 2;
/// Generous: a start takes some milliseconds.
const DEADLINE: Duration = Duration::from_secs(120);

fn plan(executable: PathBuf) -> Plan {
    let arguments = ["sleep", "1000"].map(str::to_owned).to_vec();
    Plan { outlives_launcher: true, inherited: Vec::new(), ..Plan::new(executable, "/bin/sleep".into(), arguments) }
}

#[test]
fn starts_come_to_their_end_while_other_threads_fork() {
    let executable = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../native/daemonic-supervisor");
    if !executable.exists() {
        eprintln!("skipped: {} is not built (npm run build:native)", executable.display());
        return;
    }
    let over = Arc::new(AtomicBool::new(false));
    let forking: Vec<_> = (0..FORKING_THREADS)
        .map(|_| {
            let over = Arc::clone(&over);
            std::thread::spawn(move || {
                while !over.load(Ordering::Relaxed) {
                    let _ = Command::new("/bin/true").status();
                }
            })
        })
        .collect();
    let (done, all) = mpsc::channel();
    std::thread::spawn(move || {
        let plan = plan(executable);
        for _ in 0..STARTS {
            // Dropping the start ends it.
            let start = begin(&plan, DEADLINE).unwrap();
            assert!(start.pid() > 0);
        }
        let _ = done.send(());
    });
    let result = all.recv_timeout(DEADLINE);
    over.store(true, Ordering::Relaxed);
    for thread in forking {
        thread.join().unwrap();
    }
    result.expect("all starts have come to their end");
}
