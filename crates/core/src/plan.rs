//! What a start is made of. The TypeScript side normalises and validates options into it; what must hold here is
//! checked again where it is used.

use std::path::PathBuf;

use crate::limits::Limit;
use crate::sockets::Listen;

#[derive(Debug)]
pub struct Plan {
    /// The program to execute and its arguments, argv[0] included.
    pub program: PathBuf,
    pub arguments: Vec<String>,
    /// Where it is executed: where the launcher was started.
    pub directory: PathBuf,
    /// Changes to this process's environment; None removes a variable.
    pub environment: Vec<(String, Option<String>)>,
    /// What the daemon's side of the call wants to know, opaque here; travels in the marker.
    pub note: String,
    /// The environment that the changes are made to: taken by the thread that may read it.
    pub inherited: Vec<(Vec<u8>, Vec<u8>)>,
    /// The caller goes on: its end doesn't end the start, and its signals are its own.
    pub outlives_launcher: bool,
    pub state: Option<State>,
    pub pid_file: Option<PidFile>,
    pub stdin: Stream,
    pub stdout: Stream,
    pub stderr: Stream,
    pub listen: Vec<Listen>,
    pub limits: Vec<Limit>,
    /// Descriptors that stay open under their numbers, above those of the sockets.
    pub preserve: Vec<i32>,
    /// User and group of the daemon, where they will be others than ours: new logs are theirs.
    pub owner: Option<Owner>,
    pub nice: Option<i32>,
    pub oom_score_adjust: Option<i32>,
    pub no_new_privileges: bool,
    /// Takes the daemon's place, and starts the program as its worker.
    pub supervisor: Option<Supervisor>,
}

#[derive(Debug)]
pub struct Supervisor {
    pub executable: PathBuf,
    /// What it is to do, opaque here; travels in a memory file.
    pub config: String,
}

/// What the file beside the pid file will say: a JSON object without the pid and the addresses.
#[derive(Debug)]
pub struct State {
    pub path: PathBuf,
    pub draft: PathBuf,
    pub text: String,
    /// Where the program itself listens, by name; what we bind comes before.
    pub addresses: Vec<(String, String)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owner {
    pub user: u32,
    pub group: u32,
}

#[derive(Debug)]
pub struct PidFile {
    pub path: PathBuf,
    pub mode: u32,
    /// Takes the file over although it is locked.
    pub overwrite: bool,
    /// Files beside it that are removed with it.
    pub companions: Vec<PathBuf>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stream {
    /// /dev/null.
    Null,
    /// The launcher's own.
    Inherit,
    /// A descriptor that the launcher was given.
    Descriptor(i32),
    File(LogFile),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogFile {
    pub path: PathBuf,
    pub mode: u32,
    pub truncate: bool,
}
