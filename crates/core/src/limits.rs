//! Resource limits by name: getrlimit(2).

use nix::errno::Errno;

use crate::error::{During, Failure, Result, Step};
use crate::session::status_field;
use crate::sys::limit::{self, Resource, rlim_t};

#[derive(Debug, Clone, Copy)]
pub struct Limit {
    name: &'static str,
    pub resource: Resource,
    pub soft: rlim_t,
    pub hard: rlim_t,
}

/// The resources that this system knows, by the names that ulimit's manual and RLIMIT_* share.
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
    /// `None` for a name that this system doesn't know. A value of `None` is "unlimited".
    #[must_use]
    pub fn new(name: &str, soft: Option<u64>, hard: Option<u64>) -> Option<Self> {
        let &(name, resource) = RESOURCES.iter().find(|&&(each, _)| each == name)?;
        let value = |limit: Option<u64>| {
            limit.map_or(libc::RLIM_INFINITY, |limit| limit.try_into().unwrap_or(libc::RLIM_INFINITY))
        };
        Some(Self { name, resource, soft: value(soft), hard: value(hard) })
    }

    /// Async-signal-safe: a system call on numbers.
    pub fn apply(self) -> nix::Result<()> {
        limit::set(self.resource, self.soft, self.hard)
    }

    /// Refuses what the kernel would refuse, with the present value, before anything is started.
    pub fn check(self) -> std::result::Result<(), Failure> {
        let (_, hard) = limit::get(self.resource).during(Step::Limits, "getrlimit")?;
        if self.soft > self.hard {
            return Err(Failure::new(Step::Limits, "setrlimit", Errno::EINVAL));
        }
        if self.hard > hard && !may_raise() {
            let present = format!("the hard limit of {} is {hard}", self.name);
            return Err(Failure::new(Step::Limits, "setrlimit", Errno::EPERM).because(present));
        }
        Ok(())
    }
}

/// Whether this process has CAP_SYS_RESOURCE (capabilities(7)); root often hasn't, in containers.
fn may_raise() -> bool {
    const CAP_SYS_RESOURCE: u64 = 1 << 24;
    match status_field("self", "CapEff:").and_then(|bits| u64::from_str_radix(&bits, 16).ok()) {
        Some(bits) => bits & CAP_SYS_RESOURCE != 0,
        None => nix::unistd::geteuid().is_root(),
    }
}

/// In this process.
pub fn set(limit: Limit) -> Result<()> {
    limit.check()?;
    Ok(limit.apply().during(Step::Limits, "setrlimit")?)
}

#[must_use]
pub fn known() -> Vec<&'static str> {
    RESOURCES.iter().map(|&(name, _)| name).collect()
}
