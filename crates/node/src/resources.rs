//! Resources of a process: limits, priorities, and the refusal of new privileges.

use daemonic_core::error::{Error, Failure, Result, Step};
use daemonic_core::limits::{self, Limit};
use daemonic_core::resources::{IoPriority as CoreIoPriority, Resources as CoreResources};
use napi_derive::napi;
use nix::errno::Errno;

use crate::refusal::{Refusal, refusal};

/// Resources that a process is given before its exec; what is absent stays as inherited.
#[napi(object)]
pub struct Resources {
    pub limits: Vec<LimitPlan>,
    pub nice: Option<i32>,
    pub io_priority: Option<IoPriority>,
    pub oom_score_adjust: Option<i32>,
    pub no_new_privileges: Option<bool>,
}

/// Soft and hard limit of one resource.
#[napi(object)]
pub struct LimitPlan {
    pub resource: String,
    /// Absent: unlimited.
    pub soft: Option<f64>,
    /// Absent: unlimited.
    pub hard: Option<f64>,
}

/// I/O scheduling class and level, from 0 (first served) to 7: ioprio_set(2).
#[napi(object)]
pub struct IoPriority {
    #[napi(ts_type = "'idle' | 'best-effort' | 'realtime'")]
    pub class: String,
    /// Absent for 'idle' alone.
    pub level: Option<u8>,
}

/// Lists the names of the resources that this system can limit.
#[napi(catch_unwind)]
pub fn known_limits() -> Vec<String> {
    limits::known().into_iter().map(str::to_owned).collect()
}

/// Gives the resources to this running process with all its threads, where nothing is executed.
#[napi(catch_unwind)]
pub fn apply_resources(resources: Resources) -> Option<Refusal> {
    refusal(CoreResources::try_from(resources).and_then(|resources| resources.apply_to_running_process()))
}

impl TryFrom<Resources> for CoreResources {
    type Error = Error;

    fn try_from(resources: Resources) -> Result<Self> {
        Ok(Self {
            limits: resources.limits.into_iter().map(TryInto::try_into).collect::<Result<_>>()?,
            nice: resources.nice,
            io_priority: resources.io_priority.map(TryInto::try_into).transpose()?,
            oom_score_adjust: resources.oom_score_adjust,
            no_new_privileges: resources.no_new_privileges.unwrap_or(false),
        })
    }
}

impl TryFrom<LimitPlan> for Limit {
    type Error = Error;

    fn try_from(plan: LimitPlan) -> Result<Self> {
        let whole = |value: f64| value as u64;
        Self::new(&plan.resource, plan.soft.map(whole), plan.hard.map(whole)).ok_or_else(|| malformed(Step::Limits))
    }
}

impl TryFrom<IoPriority> for CoreIoPriority {
    type Error = Error;

    fn try_from(priority: IoPriority) -> Result<Self> {
        match (priority.class.as_str(), priority.level) {
            ("idle", None) => Ok(Self::Idle),
            ("best-effort", Some(level)) => Ok(Self::BestEffort { level }),
            ("realtime", Some(level)) => Ok(Self::Realtime { level }),
            _ => Err(malformed(Step::IoPriority)),
        }
    }
}

/// Refuses a plan that the TypeScript types allow and the core doesn't.
pub fn malformed(step: Step) -> Error {
    Failure::new(step, step.syscall(), Errno::EINVAL).because("the plan of the start is malformed").into()
}
