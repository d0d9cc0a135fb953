//! The configuration of a supervisor: JSON as src/start/supervisor-plan.ts writes it, parsed strictly.

use std::collections::BTreeMap;
use std::path::PathBuf;

use daemonic_core::identity::Change;
use daemonic_core::plan::{FileOwner, LogFile};
use daemonic_core::resources::Resources;
use daemonic_core::service_manager::ServiceManager;
use daemonic_core::sockets;
use daemonic_core::sys::process;
use daemonic_core::worker::{ForeignContext, Kind, WorkerPlan};
use serde::{Deserialize, Serialize};

use crate::clock::Millis;
use crate::fleet::{ReadyBy, Terms};
use crate::mapped_signals::MappedSignals;
use crate::policy::{StartAs, Supervision};

/// Everything that the supervisor is to know; a re-execution hands it on.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Config {
    pub name: String,
    /// What ps shows; absent in the state that an earlier version hands over.
    #[serde(default)]
    pub title: Option<String>,
    /// The path of the supervisor's executable, which SIGUSR2 executes again: an upgrade may have replaced it by then.
    pub executable: PathBuf,
    pub program: Program,
    /// The files of the program that its user must not be able to write where it begins as root.
    pub code: Vec<PathBuf>,
    /// Who the workers are: as the start says or, where it leaves that open, as the program's first call said.
    pub identity: Identity,
    /// What else is set before exec for a foreign program; absent for a program that calls daemonize(), which sets it
    /// there.
    pub foreign: Option<Foreign>,
    pub ready: Ready,
    /// JSON that each worker gets in its marker, with its index added.
    pub note: serde_json::Map<String, serde_json::Value>,
    pub pid_file: Option<PidFile>,
    /// The path of the control socket.
    pub control: Option<PathBuf>,
    pub sockets: Vec<Socket>,
    pub logs: Vec<Log>,
    pub resources: Resources,
    pub preserve: Vec<i32>,
    pub supervision: Supervision,
    /// What the program maps, as its workers say.
    #[serde(default)]
    pub signals: MappedSignals,
    pub start_timeout: Millis,
    pub stop_timeout: Millis,
    pub ends_idle: bool,
    /// What the operator left for the program's own call to decide.
    #[serde(default)]
    pub open: Open,
    /// Whether the daemon goes on where its launcher has exited before the daemon is ready.
    pub outlives_launcher: bool,
    /// The least level that is logged: 0 info, 1 debug.
    pub verbosity: u8,
}

/// What the operator left open, in the options of launch() or of the command. Nothing is open where the program itself
/// starts the daemon: its options are here.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[allow(clippy::struct_excessive_bools)] // options, each open or not, and no states
pub struct Open {
    pub identity: bool,
    pub supervision: bool,
    pub stop_timeout: bool,
    pub idle_timeout: bool,
}

/// What a program's own call of daemonize() wants of its supervisor.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Wishes {
    /// The identity that it takes at this call, and the resources that go with it.
    pub identity: Option<Identity>,
    #[serde(default)]
    pub resources: Resources,
    pub supervision: Option<Supervision>,
    pub stop_timeout: Option<Millis>,
    pub ends_idle: Option<bool>,
}

/// The program that workers run.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Program {
    pub path: PathBuf,
    /// All of argv, argv[0] included.
    pub arguments: Vec<String>,
    pub directory: PathBuf,
}

/// Root directory, user and groups; what is absent stays the supervisor's.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    pub chroot: Option<PathBuf>,
    pub user: Option<u32>,
    group: Option<u32>,
    groups: Option<Vec<u32>>,
}

/// Umask and directory of a foreign program.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Foreign {
    umask: Option<u32>,
    directory: Option<PathBuf>,
}

/// When a worker counts as ready.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ready {
    /// When it says READY=1; a foreign program when it has run for a moment after its exec.
    Auto,
    /// When it says READY=1.
    Manual,
    /// When it writes a newline to this descriptor, as s6 has it.
    Fd(i32),
    /// When connections to all of these addresses succeed.
    Port(Vec<String>),
}

/// The pid file, which the supervisor holds locked.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PidFile {
    pub path: PathBuf,
    /// Files that are removed together with the pid file.
    pub companions: Vec<PathBuf>,
}

/// How a listening socket is bound. The launcher has bound the first one already; with reusePort, the supervisor binds
/// another for every further worker.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[allow(clippy::struct_excessive_bools)] // options that have nothing to do with each other
pub struct Socket {
    pub name: String,
    pub host: Option<String>,
    pub port: Option<u16>,
    pub path: Option<PathBuf>,
    pub mode: Option<u32>,
    pub backlog: i32,
    pub ipv6_only: bool,
    pub reuse_port: bool,
    pub udp: bool,
    /// Whether a service manager has bound or kept it: then it is neither stored nor is its file removed.
    #[serde(default)]
    pub passed: bool,
}

/// An output of the workers that goes to a file.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    pub fd: i32,
    pub path: PathBuf,
    pub mode: u32,
}

/// Variables by name.
pub type Environment = Vec<(Vec<u8>, Vec<u8>)>;

impl Config {
    /// The part of the configuration that the fleet decides by.
    pub fn terms(&self) -> Terms {
        Terms {
            supervision: self.supervision.clone(),
            start_timeout: self.start_timeout,
            stop_timeout: self.stop_timeout,
            ends_idle: self.ends_idle,
        }
    }

    /// Whether workers begin with root's rights and give them up at their call.
    pub fn begins_as_root(&self) -> bool {
        self.gives_up_root() && self.changes_at_call()
    }

    /// Whether workers take their identity at their call, and not before. A new root directory need not have Node.
    fn changes_at_call(&self) -> bool {
        self.foreign.is_none() && (self.supervision.start_as == StartAs::Root || self.identity.chroot.is_some())
    }

    /// Whether the supervisor is root and its workers are not.
    pub fn gives_up_root(&self) -> bool {
        nix::unistd::geteuid().is_root() && self.identity.user.is_some_and(|user| user != 0)
    }

    /// What a worker becomes before its exec.
    fn identity_at_exec(&self) -> Change {
        if self.changes_at_call() {
            return Change::default();
        }
        let Identity { chroot, user, group, groups } = self.identity.clone();
        Change { chroot, user, group, groups, dumpable: false }
    }

    /// Takes over what the program wants of that which is open; its other wishes are dropped.
    pub fn grant(&mut self, open: Open, wishes: Wishes) {
        if let Some(supervision) = wishes.supervision.filter(|_| open.supervision) {
            self.note.insert("workers".to_owned(), supervision.workers.into());
            self.supervision = supervision;
        }
        if let Some(timeout) = wishes.stop_timeout.filter(|_| open.stop_timeout) {
            self.stop_timeout = timeout;
        }
        if let Some(ends_idle) = wishes.ends_idle.filter(|_| open.idle_timeout) {
            self.ends_idle = ends_idle;
        }
    }

    /// Watches the event loops of workers where the service manager watches the supervisor and no other limit is given:
    /// then a worker that hangs is replaced, and the service goes on. A foreign program may know of no watchdog.
    pub fn watch_workers_for(&mut self, manager: Option<&ServiceManager>) {
        let limit = manager.and_then(|manager| manager.watchdog).map(|microseconds| microseconds / 1000);
        let Some(limit) = limit.filter(|_| self.foreign.is_none() && self.supervision.watchdog.is_none()) else {
            return;
        };
        self.supervision.watchdog = Some(limit);
        self.note.insert("watchdog".to_owned(), limit.into());
    }

    /// The user and group that new log files get, where they are not the supervisor's.
    fn owner(&self) -> Option<FileOwner> {
        let own = (nix::unistd::geteuid().as_raw(), nix::unistd::getegid().as_raw());
        let Identity { user, group, groups, .. } = &self.identity;
        let (user, group) = (user.unwrap_or(own.0), group.unwrap_or(own.1));
        ((user, group) != own).then(|| FileOwner { user, group, groups: groups.clone().unwrap_or_default() })
    }

    /// Modes and descriptor numbers of the log files: stdout and stderr may share a file.
    pub fn logs_by_path(&self) -> BTreeMap<PathBuf, (u32, Vec<i32>)> {
        let mut logs = BTreeMap::new();
        for Log { fd, path, mode } in &self.logs {
            logs.entry(path.clone()).or_insert((*mode, Vec::new())).1.push(*fd);
        }
        logs
    }

    /// The plan that every worker is started by.
    pub fn worker_plan(&self, environment: Environment) -> WorkerPlan {
        let stderr_log = self.logs.iter().find(|log| log.fd == 2);
        WorkerPlan {
            program: self.program.path.clone(),
            arguments: self.program.arguments.clone(),
            directory: self.program.directory.clone(),
            environment,
            preserve: self.preserve.clone(),
            resources: self.resources.clone(),
            owner: self.owner(),
            stderr_log: stderr_log.map(|log| LogFile { path: log.path.clone(), mode: log.mode, truncate: false }),
            identity: self.identity_at_exec(),
            // Of another group than the terminal's it could not read that: EIO.
            leads_group: !process::reads_terminal(),
            ready: match self.ready {
                Ready::Fd(number) => Some(number),
                _ => None,
            },
            kind: self.kind(),
        }
    }

    fn kind(&self) -> Kind {
        match self.foreign.clone() {
            Some(Foreign { umask, directory }) => Kind::Foreign(ForeignContext { umask, directory }),
            None => Kind::Arriving,
        }
    }
}

impl Wishes {
    /// Whether nothing is left to be granted.
    pub fn is_empty(&self) -> bool {
        self.supervision.is_none() && self.stop_timeout.is_none() && self.ends_idle.is_none()
    }
}

impl Ready {
    /// Whether the supervisor looks itself whether a worker is ready, so that READY=1 doesn't count.
    pub fn is_probed(&self) -> bool {
        matches!(self, Self::Fd(_) | Self::Port(_))
    }

    /// Who says that a worker is ready, where the supervisor looks itself: a newline is the program's own word.
    pub fn probed_by(&self) -> ReadyBy {
        if matches!(self, Self::Fd(_)) { ReadyBy::Program } else { ReadyBy::Sight }
    }
}

impl Socket {
    /// The socket as the core binds it.
    pub fn listen(&self) -> sockets::Listen {
        let target = match &self.path {
            Some(path) => sockets::Target::Unix { path: path.clone(), mode: self.mode },
            None => sockets::Target::Inet { host: self.host.clone(), port: self.port.unwrap_or(0) },
        };
        sockets::Listen {
            name: self.name.clone(),
            target,
            backlog: self.backlog,
            ipv6_only: self.ipv6_only,
            reuse_port: self.reuse_port,
            udp: self.udp,
        }
    }

    /// Another socket for the port that the kernel gave the first one; None for a Unix socket.
    pub fn at_port(&self, port: u16) -> Option<sockets::Listen> {
        self.path.is_none().then(|| Self { port: Some(port), ..self.clone() }.listen())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> Config {
        let text = r#"{"name":"d","executable":"/s","program":{"path":"/p","arguments":[],"directory":"/"},"code":[],
            "identity":{},"foreign":null,"ready":"auto","note":{},"pidFile":null,"control":null,"sockets":[],"logs":[],
            "resources":{},
            "preserve":[],"supervision":{"workers":1,"scalable":false,"restart":"no","maxDelay":1,"steadyAfter":1,
            "watchdog":null,"maxFailures":3,"maxMemory":null,"settle":1000,"killTree":false,"reload":"auto","reloadSignal":null,"startAs":"user"},"startTimeout":1,
            "stopTimeout":2,"endsIdle":false,"outlivesLauncher":true,"verbosity":0}"#;
        serde_json::from_str(text).unwrap()
    }

    fn wishes() -> Wishes {
        serde_json::from_str(
            r#"{"supervision":{"workers":9,"scalable":true,"restart":"always","maxDelay":1,"steadyAfter":1,"watchdog":null,
            "maxFailures":null,"maxMemory":null,"settle":1000,"killTree":false,"reload":"auto","reloadSignal":null,"startAs":"user"},"stopTimeout":70,
            "endsIdle":true}"#,
        )
        .unwrap()
    }

    #[test]
    fn a_wish_loosens_nothing_that_the_operator_set() {
        let mut config = config();
        config.grant(Open::default(), wishes());
        assert_eq!((config.supervision.workers, config.supervision.max_failures), (1, Some(3)));
        assert_eq!((config.stop_timeout, config.ends_idle), (2, false));
    }

    #[test]
    fn what_is_open_is_granted() {
        let mut config = config();
        config.grant(Open { identity: false, supervision: true, stop_timeout: true, idle_timeout: true }, wishes());
        assert_eq!((config.supervision.workers, config.stop_timeout, config.ends_idle), (9, 70, true));
    }
}
