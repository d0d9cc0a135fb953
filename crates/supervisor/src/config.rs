//! What the supervisor is told, as src/supervisor.ts writes it. Parsed strictly.

use std::collections::BTreeMap;
use std::path::PathBuf;

use daemonic_core::identity::Change;
use daemonic_core::plan::{FileOwner, LogFile};
use daemonic_core::resources::Resources;
use daemonic_core::sockets;
use daemonic_core::worker::{ForeignContext, Kind, WorkerPlan};
use serde::{Deserialize, Serialize};

use crate::fleet::Terms;
use crate::policy::{Millis, Supervision};

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Config {
    pub name: String,
    /// Our own executable, as it may be found again.
    pub executable: PathBuf,
    pub program: Program,
    /// Set before exec for a program that never heard of us; absent for one that arrives at daemonize().
    pub foreign: Option<Foreign>,
    pub ready: Ready,
    /// What each worker is told in its marker, with its index added.
    pub note: serde_json::Map<String, serde_json::Value>,
    pub pid_file: Option<PidFile>,
    /// The path of the control socket.
    pub control: Option<PathBuf>,
    pub sockets: Vec<Socket>,
    pub logs: Vec<Log>,
    pub owner: Option<Ids>,
    pub resources: Resources,
    pub preserve: Vec<i32>,
    pub supervision: Supervision,
    pub start_timeout: Millis,
    pub stop_timeout: Millis,
    pub ends_idle: bool,
    /// Whoever started us may have ended by the time we are ready.
    pub outlives_launcher: bool,
    /// How much it tells: 0 info, 1 debug.
    pub verbosity: u8,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Program {
    pub path: PathBuf,
    /// argv[0] included.
    pub arguments: Vec<String>,
    pub directory: PathBuf,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Foreign {
    chroot: Option<PathBuf>,
    user: Option<u32>,
    group: Option<u32>,
    groups: Option<Vec<u32>>,
    umask: Option<u32>,
    directory: Option<PathBuf>,
}

/// When a worker counts as ready.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ready {
    /// It says so itself; or, where it can't, it was executed and has lived for a moment.
    Auto,
    /// It says so itself.
    Manual,
    /// It writes a newline to this descriptor: s6's way.
    Fd(i32),
    /// These addresses answer.
    Port(Vec<String>),
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PidFile {
    pub path: PathBuf,
    /// Files that are removed with it.
    pub companions: Vec<PathBuf>,
}

/// A listening socket; what it is made of is needed where every worker gets one of its own.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
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
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    pub fd: i32,
    pub path: PathBuf,
    pub mode: u32,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ids {
    pub user: u32,
    pub group: u32,
}

pub type Environment = Vec<(Vec<u8>, Vec<u8>)>;

impl Config {
    pub fn terms(&self) -> Terms {
        Terms {
            supervision: self.supervision.clone(),
            start_timeout: self.start_timeout,
            stop_timeout: self.stop_timeout,
            ends_idle: self.ends_idle,
        }
    }

    pub fn owner(&self) -> Option<FileOwner> {
        self.owner.map(|Ids { user, group }| FileOwner { user, group })
    }

    /// The numbers of the outputs by log: both may share one.
    pub fn logs_by_path(&self) -> BTreeMap<PathBuf, (u32, Vec<i32>)> {
        let mut logs = BTreeMap::new();
        for Log { fd, path, mode } in &self.logs {
            logs.entry(path.clone()).or_insert((*mode, Vec::new())).1.push(*fd);
        }
        logs
    }

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
            leads_group: self.supervision.kill_tree,
            ready: match self.ready {
                Ready::Fd(number) => Some(number),
                _ => None,
            },
            kind: self.kind(),
        }
    }

    fn kind(&self) -> Kind {
        let Some(Foreign { chroot, user, group, groups, umask, directory }) = self.foreign.clone() else {
            return Kind::Arriving;
        };
        let identity = Change { chroot, user, group, groups, dumpable: false };
        Kind::Foreign(ForeignContext { identity, umask, directory })
    }
}

impl Ready {
    /// What the program's runtime says of itself doesn't count.
    pub fn is_seen_otherwise(&self) -> bool {
        matches!(self, Self::Fd(_) | Self::Port(_))
    }
}

impl Socket {
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

    /// The same once more, at the port that the first one has got.
    pub fn another(&self, port: u16) -> Option<sockets::Listen> {
        self.path.is_none().then(|| Self { port: Some(port), ..self.clone() }.listen())
    }
}
