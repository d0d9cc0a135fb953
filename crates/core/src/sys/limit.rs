//! Resource limits by number: nix's names for them differ from system to system.

use nix::errno::Errno;

pub use libc::rlim_t;

/// Number of a resource: RLIMIT_*.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub type Resource = libc::__rlimit_resource_t;
/// Number of a resource: RLIMIT_*.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub type Resource = libc::c_int;

/// Returns the soft and the hard limit: getrlimit(2).
pub fn get(resource: Resource) -> nix::Result<(rlim_t, rlim_t)> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: getrlimit(2) fills a struct of this frame; an unknown number is EINVAL.
    Errno::result(unsafe { libc::getrlimit(resource, &raw mut limit) })?;
    Ok((limit.rlim_cur, limit.rlim_max))
}

/// Sets the soft and the hard limit: setrlimit(2). Async-signal-safe.
pub fn set(resource: Resource, soft: rlim_t, hard: rlim_t) -> nix::Result<()> {
    let limit = libc::rlimit { rlim_cur: soft, rlim_max: hard };
    // SAFETY: setrlimit(2) reads a struct of this frame.
    Errno::result(unsafe { libc::setrlimit(resource, &raw const limit) }).map(drop)
}
