//! The memory files that hold the stderr of workers: a foreign program writes to its own as long as it runs, and only the
//! end of it is kept.

use daemonic_core::stdio::{STDERR_KEPT, Tail};
use daemonic_core::sys::memory_file;

use crate::clock::Millis;
use crate::worker_processes::WorkerProcesses;

/// Milliseconds between two times at which the files are cut to their last STDERR_KEPT bytes.
const TRIM_EVERY: Millis = 1_000;

/// When the memory files are cut next.
#[derive(Default)]
pub struct StderrMemory {
    next_trim: Millis,
}

impl StderrMemory {
    /// Frees all but the end of every memory file, once that is due.
    pub fn trim(&mut self, workers: &WorkerProcesses, now: Millis) {
        if self.next_trim > now {
            return;
        }
        self.next_trim = now + TRIM_EVERY;
        for tail in in_memory(workers) {
            memory_file::keep_last(tail.descriptor(), i64::from(STDERR_KEPT));
        }
    }

    /// When [`trim`](Self::trim) is due.
    pub fn next_trim(&self, workers: &WorkerProcesses) -> Option<Millis> {
        in_memory(workers).next().map(|_| self.next_trim)
    }
}

fn in_memory(workers: &WorkerProcesses) -> impl Iterator<Item = &Tail> {
    workers.iter().filter_map(|(_, process)| process.tail.as_ref()).filter(|tail| tail.in_memory)
}
