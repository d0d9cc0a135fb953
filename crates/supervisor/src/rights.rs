//! Whether a worker still has the supervisor's rights: what it could do itself, the supervisor may do for it.

use std::os::unix::fs::MetadataExt;

use daemonic_core::process_facts::status_field;

/// Fields of /proc/PID/status (proc_pid_status(5)): all user and group ids, and the effective capabilities.
const CREDENTIALS: [&str; 4] = ["Uid:", "Gid:", "Groups:", "CapEff:"];

/// Whether a process has the supervisor's ids, groups, capabilities and root directory.
pub fn are_shared_with(pid: i32) -> bool {
    let pid = pid.to_string();
    let is_same = |name: &str| {
        let own = status_field("self", name);
        own.is_some() && own == status_field(&pid, name)
    };
    CREDENTIALS.into_iter().all(is_same) && root_of("self").is_some_and(|root| Some(root) == root_of(&pid))
}

/// The effective user of a process. The owner of /proc/PID tells less: it is root for a process that has given up its
/// rights, proc(5).
pub fn user_of(pid: i32) -> Option<u32> {
    status_field(&pid.to_string(), "Uid:")?.split_whitespace().nth(1)?.parse().ok()
}

/// Device and inode of a process's root directory.
fn root_of(pid: &str) -> Option<(u64, u64)> {
    let root = std::fs::metadata(format!("/proc/{pid}/root/.")).ok()?;
    Some((root.dev(), root.ino()))
}
