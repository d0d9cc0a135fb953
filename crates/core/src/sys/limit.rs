//! Resource limits by number: nix's names for them differ from system to system.

use nix::errno::Errno;

pub use libc::rlim_t;

#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub type Resource = libc::__rlimit_resource_t;
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub type Resource = libc::c_int;

/// The soft and the hard limit.
pub fn get(resource: Resource) -> nix::Result<(rlim_t, rlim_t)> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: getrlimit(2) fills the struct that we own; an unknown number is EINVAL.
    Errno::result(unsafe { libc::getrlimit(resource, &raw mut limit) })?;
    Ok((limit.rlim_cur, limit.rlim_max))
}

/// Async-signal-safe.
pub fn set(resource: Resource, soft: rlim_t, hard: rlim_t) -> nix::Result<()> {
    let limit = libc::rlimit { rlim_cur: soft, rlim_max: hard };
    // SAFETY: setrlimit(2) reads a struct that we own.
    Errno::result(unsafe { libc::setrlimit(resource, &raw const limit) }).map(drop)
}
