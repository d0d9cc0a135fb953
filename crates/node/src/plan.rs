//! Plan of a start, as src/start/plan.ts makes it. Parsed strictly: what the types allow and the core doesn't is
//! refused.

use daemonic_core::error::{Error, Result, Step};
use daemonic_core::plan as core;
use daemonic_core::remnants::KilledDaemon;
use daemonic_core::sockets;
use napi_derive::napi;

use crate::resources::{Resources, malformed};

/// Everything that a start is made of.
#[napi(object)]
pub struct Plan {
    /// daemonic's own executable, which is the process between launcher and daemon.
    pub executable: String,
    pub program: String,
    /// All arguments, with argv[0].
    pub arguments: Vec<String>,
    pub directory: String,
    pub environment: Vec<EnvironmentChange>,
    /// JSON for daemonize() in the daemon.
    pub note: String,
    /// Whether the launcher goes on after the start: then its exit doesn't abort the start.
    pub outlives_launcher: bool,
    /// Name under which the launcher prints on stderr what a slow start waits for; absent: it prints nothing.
    pub hints_as: Option<String>,
    pub state: Option<StatePlan>,
    pub pid_file: Option<PidFilePlan>,
    pub stdin: StreamPlan,
    pub stdout: StreamPlan,
    pub stderr: StreamPlan,
    pub listen: Vec<ListenPlan>,
    /// Descriptors that stay open under their numbers.
    pub preserve: Vec<i32>,
    /// Owner of new logs.
    pub owner: Option<OwnerPlan>,
    pub resources: Resources,
    pub supervisor: Option<SupervisorPlan>,
}

/// Supervisor that is executed in the daemon's place.
#[napi(object)]
pub struct SupervisorPlan {
    pub executable: String,
    /// Configuration of the supervisor, as JSON.
    pub config: String,
}

/// State file beside the pid file.
#[napi(object)]
pub struct StatePlan {
    pub path: String,
    /// Path under which the file is written before it is renamed.
    pub draft: String,
    /// A JSON object, to which `pid` and `addresses` are added.
    pub text: String,
    /// Whether `session` and `pidSpace` are added, too.
    pub adds_session: bool,
    /// Addresses on which the program itself will listen.
    pub addresses: Vec<NamedAddress>,
}

/// Address of a socket, with the socket's name.
#[napi(object)]
pub struct NamedAddress {
    pub name: String,
    pub address: String,
}

/// User and group to whom files are given.
#[napi(object)]
pub struct OwnerPlan {
    pub user: u32,
    pub group: u32,
    /// Supplementary groups.
    pub groups: Vec<u32>,
}

/// Change of an environment variable.
#[napi(object)]
pub struct EnvironmentChange {
    pub name: String,
    /// Absent: the variable is removed.
    pub value: Option<String>,
}

/// Pid file of a daemon.
#[napi(object)]
pub struct PidFilePlan {
    pub path: String,
    pub mode: u32,
    /// Whether to replace the file if it is locked.
    pub overwrite: bool,
    /// Files beside it that are removed together with it.
    pub companions: Vec<String>,
    pub killed: Option<KilledDaemonPlan>,
}

/// Daemon with a supervisor that seems to have been killed: its state file tells this of it.
#[napi(object)]
pub struct KilledDaemonPlan {
    pub pid: i32,
    pub session: i32,
    pub pid_space: String,
    pub invocation: String,
    pub user: u32,
}

/// Destination of a standard stream.
#[napi(object)]
pub struct StreamPlan {
    #[napi(ts_type = "'null' | 'inherit' | 'descriptor' | 'file'")]
    pub kind: String,
    pub fd: Option<i32>,
    pub path: Option<String>,
    pub mode: Option<u32>,
    pub truncate: Option<bool>,
}

/// Socket that is to be bound.
#[napi(object)]
pub struct ListenPlan {
    pub name: String,
    pub host: Option<String>,
    pub port: Option<u16>,
    /// Path of a Unix socket; then host and port are absent.
    pub path: Option<String>,
    pub mode: Option<u32>,
    /// Descriptor of a socket that a service manager passed; then all else is ignored.
    pub fd: Option<i32>,
    pub backlog: i32,
    pub ipv6_only: bool,
    pub reuse_port: bool,
    pub udp: bool,
}

impl TryFrom<Plan> for core::Plan {
    type Error = Error;

    fn try_from(plan: Plan) -> Result<Self> {
        Ok(Self {
            executable: plan.executable.into(),
            program: plan.program.into(),
            arguments: plan.arguments,
            directory: plan.directory.into(),
            environment: plan.environment.into_iter().map(|change| (change.name, change.value)).collect(),
            note: plan.note,
            inherited: daemonic_core::sys::process::environment().collect(),
            outlives_launcher: plan.outlives_launcher,
            hints_as: plan.hints_as,
            state_file: plan.state.map(|state| core::StateFile {
                path: state.path.into(),
                draft: state.draft.into(),
                addresses: state.addresses.into_iter().map(|each| (each.name, each.address)).collect(),
                text: state.text,
                adds_session: state.adds_session,
            }),
            pid_file: plan.pid_file.map(|file| core::PidFile {
                path: file.path.into(),
                mode: file.mode,
                overwrite: file.overwrite,
                companions: file.companions.into_iter().map(Into::into).collect(),
                killed: file.killed.map(|killed| KilledDaemon {
                    pid: killed.pid,
                    session: killed.session,
                    pid_space: killed.pid_space,
                    invocation: killed.invocation,
                    user: killed.user,
                }),
            }),
            stdin: plan.stdin.try_into()?,
            stdout: plan.stdout.try_into()?,
            stderr: plan.stderr.try_into()?,
            listen: sockets_of(plan.listen)?,
            preserve: plan.preserve,
            owner: plan.owner.map(|owner| core::FileOwner {
                user: owner.user,
                group: owner.group,
                groups: owner.groups,
            }),
            resources: plan.resources.try_into()?,
            supervisor: plan.supervisor.map(|supervisor| core::Supervisor {
                executable: supervisor.executable.into(),
                config: supervisor.config,
            }),
        })
    }
}

/// Converts the sockets that are to be bound.
pub fn sockets_of(plans: Vec<ListenPlan>) -> Result<Vec<sockets::Listen>> {
    plans.into_iter().map(TryInto::try_into).collect()
}

impl TryFrom<StreamPlan> for core::Stream {
    type Error = Error;

    fn try_from(plan: StreamPlan) -> Result<Self> {
        match (plan.kind.as_str(), plan.fd, plan.path) {
            ("null", None, None) => Ok(Self::Null),
            ("inherit", None, None) => Ok(Self::Inherit),
            ("descriptor", Some(fd), None) => Ok(Self::Descriptor(fd)),
            ("file", None, Some(path)) => Ok(Self::File(core::LogFile {
                path: path.into(),
                mode: plan.mode.unwrap_or(0o640),
                truncate: plan.truncate.unwrap_or(false),
            })),
            _ => Err(malformed(Step::Log)),
        }
    }
}

impl TryFrom<ListenPlan> for sockets::Listen {
    type Error = Error;

    fn try_from(plan: ListenPlan) -> Result<Self> {
        let target = match (plan.host, plan.port, plan.path) {
            _ if plan.fd.is_some() => sockets::Target::Passed(plan.fd.unwrap_or(-1)),
            (None, None, Some(path)) => sockets::Target::Unix { path: path.into(), mode: plan.mode },
            (host, Some(port), None) => sockets::Target::Inet { host, port },
            _ => return Err(malformed(Step::Listen)),
        };
        let sockets = Self {
            name: plan.name,
            target,
            backlog: plan.backlog,
            ipv6_only: plan.ipv6_only,
            reuse_port: plan.reuse_port,
            udp: plan.udp,
        };
        Ok(sockets)
    }
}
