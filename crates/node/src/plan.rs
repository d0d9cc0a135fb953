//! The plan of a start, as src/options.ts makes it. Parsed strictly: what the types allow and the core doesn't is refused.

use daemonic_core::error::{Error, Failure, Result, Step};
use daemonic_core::limits;
use daemonic_core::plan as core;
use daemonic_core::sockets;
use napi_derive::napi;
use nix::errno::Errno;

#[napi(object)]
pub struct Plan {
    pub program: String,
    /// argv[0] included.
    pub arguments: Vec<String>,
    pub directory: String,
    pub environment: Vec<EnvironmentChange>,
    pub note: String,
    /// The caller goes on, and may end before the daemon is ready.
    pub outlives_launcher: bool,
    pub state: Option<StatePlan>,
    pub pid_file: Option<PidFilePlan>,
    pub stdin: StreamPlan,
    pub stdout: StreamPlan,
    pub stderr: StreamPlan,
    pub listen: Vec<ListenPlan>,
    pub limits: Vec<LimitPlan>,
    pub preserve: Vec<i32>,
    /// Whose new logs are.
    pub owner: Option<OwnerPlan>,
    pub nice: Option<i32>,
    pub oom_score_adjust: Option<i32>,
    pub no_new_privileges: bool,
    pub supervisor: Option<SupervisorPlan>,
}

#[napi(object)]
pub struct SupervisorPlan {
    pub executable: String,
    /// Its configuration, as JSON.
    pub config: String,
}

#[napi(object)]
pub struct StatePlan {
    pub path: String,
    pub draft: String,
    /// A JSON object, to which `pid` and `addresses` are added.
    pub text: String,
    /// Where the program itself will listen.
    pub addresses: Vec<NamedAddress>,
}

#[napi(object)]
pub struct NamedAddress {
    pub name: String,
    pub address: String,
}

#[napi(object)]
pub struct OwnerPlan {
    pub user: u32,
    pub group: u32,
}

#[napi(object)]
pub struct EnvironmentChange {
    pub name: String,
    /// Absent: removed.
    pub value: Option<String>,
}

#[napi(object)]
pub struct PidFilePlan {
    pub path: String,
    pub mode: u32,
    pub overwrite: bool,
    pub companions: Vec<String>,
}

#[napi(object)]
pub struct StreamPlan {
    #[napi(ts_type = "'null' | 'inherit' | 'descriptor' | 'file'")]
    pub kind: String,
    pub fd: Option<i32>,
    pub path: Option<String>,
    pub mode: Option<u32>,
    pub truncate: Option<bool>,
}

#[napi(object)]
pub struct ListenPlan {
    pub name: String,
    pub host: Option<String>,
    pub port: Option<u16>,
    /// A Unix socket's; then host and port are absent.
    pub path: Option<String>,
    pub mode: Option<u32>,
    /// Of a socket that a service manager passed; then all else is its business.
    pub fd: Option<i32>,
    pub backlog: i32,
    pub ipv6_only: bool,
    pub reuse_port: bool,
    pub udp: bool,
}

#[napi(object)]
pub struct LimitPlan {
    pub resource: String,
    /// Absent: unlimited.
    pub soft: Option<f64>,
    pub hard: Option<f64>,
}

impl TryFrom<Plan> for core::Plan {
    type Error = Error;

    fn try_from(plan: Plan) -> Result<Self> {
        Ok(Self {
            program: plan.program.into(),
            arguments: plan.arguments,
            directory: plan.directory.into(),
            environment: plan.environment.into_iter().map(|change| (change.name, change.value)).collect(),
            note: plan.note,
            inherited: daemonic_core::sys::process::environment().collect(),
            outlives_launcher: plan.outlives_launcher,
            state: plan.state.map(|state| core::State {
                path: state.path.into(),
                draft: state.draft.into(),
                addresses: state.addresses.into_iter().map(|each| (each.name, each.address)).collect(),
                text: state.text,
            }),
            pid_file: plan.pid_file.map(|file| core::PidFile {
                path: file.path.into(),
                mode: file.mode,
                overwrite: file.overwrite,
                companions: file.companions.into_iter().map(Into::into).collect(),
            }),
            stdin: plan.stdin.try_into()?,
            stdout: plan.stdout.try_into()?,
            stderr: plan.stderr.try_into()?,
            listen: sockets_of(plan.listen)?,
            limits: limits_of(plan.limits)?,
            preserve: plan.preserve,
            owner: plan.owner.map(|owner| core::Owner { user: owner.user, group: owner.group }),
            nice: plan.nice,
            oom_score_adjust: plan.oom_score_adjust,
            no_new_privileges: plan.no_new_privileges,
            supervisor: plan.supervisor.map(|supervisor| core::Supervisor {
                executable: supervisor.executable.into(),
                config: supervisor.config,
            }),
        })
    }
}

pub fn sockets_of(plans: Vec<ListenPlan>) -> Result<Vec<sockets::Listen>> {
    plans.into_iter().map(TryInto::try_into).collect()
}

pub fn limits_of(plans: Vec<LimitPlan>) -> Result<Vec<limits::Limit>> {
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

impl TryFrom<LimitPlan> for limits::Limit {
    type Error = Error;

    fn try_from(plan: LimitPlan) -> Result<Self> {
        let whole = |value: f64| value as u64;
        Self::new(&plan.resource, plan.soft.map(whole), plan.hard.map(whole)).ok_or_else(|| malformed(Step::Limits))
    }
}

fn malformed(step: Step) -> Error {
    Failure::new(step, step.syscall(), Errno::EINVAL).because("the plan is malformed").into()
}
