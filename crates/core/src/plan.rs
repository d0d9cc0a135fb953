//! Plan of a start. The TypeScript side makes it from validated options; what must hold here is checked again where it
//! is used.

use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use crate::remnants::KilledDaemon;
use crate::resources::Resources;
use crate::sockets::Listen;

/// Everything that a start is made of.
#[derive(Debug)]
pub struct Plan {
    /// daemonic's own executable, which is the process between launcher and daemon.
    pub executable: PathBuf,
    /// The program to execute, and its arguments with `argv[0]`.
    pub program: PathBuf,
    /// Arguments of the program, with `argv[0]`.
    pub arguments: Vec<String>,
    /// Directory in which the program is executed: the one where the launcher was started.
    pub directory: PathBuf,
    /// Changes to the inherited environment; None removes a variable.
    pub environment: Vec<(String, Option<String>)>,
    /// JSON for daemonize() in the daemon; travels in the marker, and is not read here.
    pub note: String,
    /// Environment of the launcher. It was copied in JavaScript's thread, the only one that may read it.
    pub inherited: Vec<(Vec<u8>, Vec<u8>)>,
    /// Whether the launcher goes on after the start: then its exit doesn't abort the start, and its signals stay its
    /// own.
    pub outlives_launcher: bool,
    /// Name under which the launcher prints what a slow start waits for; None: it prints nothing.
    pub hints_as: Option<String>,
    /// State file beside the pid file.
    pub state_file: Option<StateFile>,
    /// Pid file, which is locked before the first process is started.
    pub pid_file: Option<PidFile>,
    /// Where the daemon reads from.
    pub stdin: Stream,
    /// Where its output goes.
    pub stdout: Stream,
    /// Where its errors go, once it is ready: until then the launcher gets them too.
    pub stderr: Stream,
    /// Sockets that are bound by the launcher.
    pub listen: Vec<Listen>,
    /// Descriptors that stay open under their numbers, above those of the sockets.
    pub preserve: Vec<i32>,
    /// User and group of the daemon, where they differ from the launcher's. New logs belong to them.
    pub owner: Option<FileOwner>,
    /// Limits and priorities of the daemon.
    pub resources: Resources,
    /// Supervisor that is executed in the daemon's place, and starts the program as its worker.
    pub supervisor: Option<Supervisor>,
}

impl Plan {
    /// Plans a start of `program` with these arguments, `argv[0]` first: in the root directory, with this process's
    /// environment, without pid file, log or sockets. `executable` becomes the process between launcher and daemon: see
    /// [`crate::middle::run_if_asked`].
    #[must_use]
    pub fn new(executable: PathBuf, program: PathBuf, arguments: Vec<String>) -> Self {
        Self {
            executable,
            program,
            arguments,
            directory: "/".into(),
            environment: Vec::new(),
            note: "{}".to_owned(),
            inherited: std::env::vars_os().map(|(name, value)| (name.into_vec(), value.into_vec())).collect(),
            outlives_launcher: false,
            hints_as: None,
            state_file: None,
            pid_file: None,
            stdin: Stream::Null,
            stdout: Stream::Null,
            stderr: Stream::Null,
            listen: Vec::new(),
            preserve: Vec::new(),
            owner: None,
            resources: Resources::default(),
            supervisor: None,
        }
    }
}

/// The native supervisor.
#[derive(Debug)]
pub struct Supervisor {
    /// File of the supervisor.
    pub executable: PathBuf,
    /// JSON of its configuration; travels in a memory file, and is not read here.
    pub config: String,
}

/// State file beside the pid file: a JSON object, to which the pid and the addresses are added.
#[derive(Debug)]
pub struct StateFile {
    /// Path of the file.
    pub path: PathBuf,
    /// Path under which the file is written before it is renamed.
    pub draft: PathBuf,
    /// JSON object.
    pub text: String,
    /// Whether the daemon's session is added, too, for the next start: [`crate::remnants`].
    pub adds_session: bool,
    /// Addresses on which the program itself listens, by name. Those that the launcher binds come before them.
    pub addresses: Vec<(String, String)>,
}

/// User and group to whom files are given, and with whose rights they are opened where others than root can write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileOwner {
    /// User id.
    pub user: u32,
    /// Group id.
    pub group: u32,
    /// Supplementary groups, whose rights the user has as well.
    pub groups: Vec<u32>,
}

/// Pid file of a daemon.
#[derive(Debug)]
pub struct PidFile {
    /// Path of the file.
    pub path: PathBuf,
    /// Mode of a new file.
    pub mode: u32,
    /// Whether to replace the file if it is locked.
    pub overwrite: bool,
    /// Files beside it that are removed together with it.
    pub companions: Vec<PathBuf>,
    /// The last daemon with this pid file, if it was killed and had a supervisor.
    pub killed: Option<KilledDaemon>,
}

/// Destination of a standard stream of the daemon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stream {
    /// /dev/null.
    Null,
    /// The launcher's own stream of this number.
    Inherit,
    /// A descriptor that is open in the launcher.
    Descriptor(i32),
    /// A log file.
    File(LogFile),
}

/// Log file to append to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogFile {
    /// Path of the file.
    pub path: PathBuf,
    /// Mode of a new file.
    pub mode: u32,
    /// Whether its former content is discarded.
    pub truncate: bool,
}
