//! What the launcher tells the middle process: everything that can be prepared, in a memory file.

use std::ffi::CString;
use std::os::fd::{OwnedFd, RawFd};

use crate::error::{During, Failure, Step};
use crate::middle::Leftovers;
use crate::packing::{Pack, pack_fields};
use crate::resources::Resources;
use crate::state_file::StateWriter;
use crate::sys::exec::Command;
use crate::sys::memory_file;

/// Everything that the middle process and the daemon need. All numbers of descriptors are the middle's, or the daemon's.
pub struct MiddleOrder {
    /// What is executed as the daemon.
    pub command: Command,
    pub directory: CString,
    /// Descriptors, each with the number that the daemon has it under.
    pub moves: Vec<(RawFd, RawFd)>,
    /// Number of the channel in the daemon.
    pub channel: RawFd,
    /// Number of the claimed pid file in the daemon.
    pub pid_file: Option<(RawFd, u32)>,
    pub resources: Resources,
    /// Whether the daemon is a supervisor, rather than the program.
    pub executes_supervisor: bool,
    /// Channel to the launcher. When the launcher closes it before the daemon is ready, the daemon is killed.
    pub launcher: RawFd,
    /// Channel from the daemon.
    pub daemon: RawFd,
    pub stderr_memory: Option<RawFd>,
    pub leftovers: Leftovers,
    pub state: Option<StateWriter>,
    /// Whether the daemon outlives its launcher: then only the launcher's order kills it, not the closing of the
    /// channel.
    pub outlives_launcher: bool,
}

pack_fields!(MiddleOrder {
    command,
    directory,
    moves,
    channel,
    pid_file,
    resources,
    executes_supervisor,
    launcher,
    daemon,
    stderr_memory,
    leftovers,
    state,
    outlives_launcher,
});

impl MiddleOrder {
    /// Writes the order into a memory file.
    pub fn write(&self) -> Result<OwnedFd, Failure> {
        let mut bytes = Vec::new();
        self.pack(&mut bytes);
        memory_file::with_bytes(&bytes).during(Step::Channel, "memfd_create")
    }

    /// Reads the order from its memory file.
    pub fn read(file: &OwnedFd) -> Option<Self> {
        Self::unpack(&mut memory_file::bytes_of(file).ok()?.as_slice())
    }
}

/// Numbers of descriptors in the middle process: none of them is one of the daemon's, so that no dup2 overwrites a
/// descriptor that is still needed.
pub struct Numbering<'a> {
    next: RawFd,
    /// Numbers of the daemon that may lie at `next` or above.
    taken: &'a [RawFd],
    pairs: Vec<(RawFd, RawFd)>,
}

impl<'a> Numbering<'a> {
    /// Numbers from `first` on, without those in `taken`.
    pub fn from(first: RawFd, taken: &'a [RawFd]) -> Self {
        Self { next: first, taken, pairs: Vec::new() }
    }

    /// Gives the launcher's descriptor `source` the next number.
    pub fn give(&mut self, source: RawFd) -> RawFd {
        while self.taken.contains(&self.next) {
            self.next += 1;
        }
        let number = self.next;
        self.pairs.push((source, number));
        self.next += 1;
        number
    }

    /// Pairs of the launcher's number and the middle's.
    pub fn pairs(&self) -> &[(RawFd, RawFd)] {
        &self.pairs
    }
}
