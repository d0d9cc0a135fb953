//! Resource limits by name: getrlimit(2).

use nix::errno::Errno;

use serde::{Deserialize, Serialize};

use crate::error::{During, Failure, Step};
use crate::packing::Pack;
use crate::process_facts::status_field;
use crate::sys::limit::{self, Resource, rlim_t};

/// Soft and hard limit of one resource.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(try_from = "LimitText", into = "LimitText")]
pub struct Limit {
    /// Resource that is limited.
    pub resource: Resource,
    /// Limit that the kernel enforces.
    pub soft: rlim_t,
    /// Ceiling up to which a process may raise the soft limit.
    pub hard: rlim_t,
}

/// Resources that this system can limit, by the lower-case ends of their RLIMIT_* names.
const RESOURCES: &[(&str, Resource)] = &[
    ("as", libc::RLIMIT_AS),
    ("core", libc::RLIMIT_CORE),
    ("cpu", libc::RLIMIT_CPU),
    ("data", libc::RLIMIT_DATA),
    ("fsize", libc::RLIMIT_FSIZE),
    #[cfg(target_os = "linux")]
    ("locks", libc::RLIMIT_LOCKS),
    ("memlock", libc::RLIMIT_MEMLOCK),
    #[cfg(target_os = "linux")]
    ("msgqueue", libc::RLIMIT_MSGQUEUE),
    #[cfg(target_os = "linux")]
    ("nice", libc::RLIMIT_NICE),
    ("nofile", libc::RLIMIT_NOFILE),
    ("nproc", libc::RLIMIT_NPROC),
    ("rss", libc::RLIMIT_RSS),
    #[cfg(target_os = "linux")]
    ("rtprio", libc::RLIMIT_RTPRIO),
    #[cfg(target_os = "linux")]
    ("rttime", libc::RLIMIT_RTTIME),
    #[cfg(target_os = "linux")]
    ("sigpending", libc::RLIMIT_SIGPENDING),
    ("stack", libc::RLIMIT_STACK),
];

impl Limit {
    /// Makes a limit; None for a name that this system doesn't know. A value of None means unlimited.
    #[must_use]
    pub fn new(name: &str, soft: Option<u64>, hard: Option<u64>) -> Option<Self> {
        let &(_, resource) = RESOURCES.iter().find(|&&(each, _)| each == name)?;
        let value = |limit: Option<u64>| {
            limit.map_or(libc::RLIM_INFINITY, |limit| limit.try_into().unwrap_or(libc::RLIM_INFINITY))
        };
        Some(Self { resource, soft: value(soft), hard: value(hard) })
    }

    fn name(self) -> &'static str {
        RESOURCES.iter().find(|&&(_, each)| each == self.resource).map_or("", |&(name, _)| name)
    }

    /// Whether it limits the resource of this name.
    #[must_use]
    pub fn is_of(self, name: &str) -> bool {
        self.name() == name
    }

    /// Limits the calling process: setrlimit(2). Async-signal-safe.
    pub fn apply(self) -> nix::Result<()> {
        limit::set(self.resource, self.soft, self.hard)
    }

    /// Refuses what the kernel would refuse, before anything is started, and names the present value.
    pub fn check(self) -> std::result::Result<(), Failure> {
        let (_, hard) = limit::get(self.resource).during(Step::Limits, "getrlimit")?;
        if self.soft > self.hard {
            return Err(Failure::new(Step::Limits, "setrlimit", Errno::EINVAL));
        }
        if self.hard > hard && !may_raise() {
            let present = format!("the hard limit of {} is {hard}", self.name());
            return Err(Failure::new(Step::Limits, "setrlimit", Errno::EPERM).because(present));
        }
        Ok(())
    }
}

/// Whether this process has CAP_SYS_RESOURCE (capabilities(7)), which root often lacks in containers.
fn may_raise() -> bool {
    const CAP_SYS_RESOURCE: u64 = 1 << 24;
    match status_field("self", "CapEff:").and_then(|bits| u64::from_str_radix(&bits, 16).ok()) {
        Some(bits) => bits & CAP_SYS_RESOURCE != 0,
        None => nix::unistd::geteuid().is_root(),
    }
}

/// Limit as JSON has it: a resource's name and its values; an absent value means unlimited.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct LimitText {
    resource: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    soft: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hard: Option<u64>,
}

impl Pack for Limit {
    // Resource is unsigned with glibc, rlim_t is signed on FreeBSD.
    #[allow(clippy::unnecessary_cast, clippy::cast_sign_loss, clippy::cast_possible_wrap)]
    fn pack(&self, to: &mut Vec<u8>) {
        (self.resource as i32).pack(to);
        (self.soft as u64, self.hard as u64).pack(to);
    }

    #[allow(clippy::unnecessary_cast, clippy::cast_sign_loss, clippy::cast_possible_wrap)]
    fn unpack(from: &mut &[u8]) -> Option<Self> {
        let resource = i32::unpack(from)? as Resource;
        let (soft, hard) = <(u64, u64)>::unpack(from)?;
        Some(Self { resource, soft: soft as rlim_t, hard: hard as rlim_t })
    }
}

impl TryFrom<LimitText> for Limit {
    type Error = String;

    fn try_from(LimitText { resource, soft, hard }: LimitText) -> Result<Self, String> {
        Self::new(&resource, soft, hard).ok_or_else(|| format!("this system has no limit called {resource}"))
    }
}

impl From<Limit> for LimitText {
    #[allow(clippy::unnecessary_cast, clippy::cast_sign_loss)] // rlim_t is signed on FreeBSD
    fn from(limit: Limit) -> Self {
        let value = |limit: rlim_t| (limit != libc::RLIM_INFINITY).then_some(limit as u64);
        Self { resource: limit.name().to_owned(), soft: value(limit.soft), hard: value(limit.hard) }
    }
}

/// Lists the names of the resources that this system can limit.
#[must_use]
pub fn known() -> Vec<&'static str> {
    RESOURCES.iter().map(|&(name, _)| name).collect()
}
