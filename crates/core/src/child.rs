//! From the second fork to exec: what code must not run without.
//!
//! SACRED: runs in the child of a multithreaded process. Async-signal-safe calls on prepared memory only, no
//! allocation, no lock, no panic; leave with `exit_now`. Read top to bottom.

use std::ffi::CString;
use std::mem::ManuallyDrop;
use std::os::fd::RawFd;

use nix::errno::Errno;

use crate::channel::say_failure;
use crate::error::Step;
use crate::limits::Limit;
use crate::pidfile::{self, Host};
use crate::sys::process::Image;
use crate::sys::{close, credentials, fd, process, signal};

/// Prepared by the launcher.
pub struct Child {
    pub image: Image,
    pub parent: Parent,
    /// A process group of its own.
    pub leads_group: bool,
    pub directory: CString,
    /// Where descriptors are, and the numbers that the daemon has them under; sources lie above all targets.
    pub moves: Vec<(RawFd, RawFd)>,
    /// All targets, sorted.
    pub kept: Vec<RawFd>,
    /// The target number of the channel, and where it is before the moves.
    pub channel: RawFd,
    pub channel_source: RawFd,
    /// The program never heard of it: its end says that the program was executed.
    pub channel_ends_at_exec: bool,
    /// The target number of the claimed pid file.
    pub pid_file: Option<RawFd>,
    pub limits: Vec<Limit>,
    pub nice: Option<i32>,
    /// Its text.
    pub oom_score_adjust: Option<Vec<u8>>,
    pub no_new_privileges: bool,
    /// What a program that never calls daemonize() gets before it is executed.
    pub context: Option<Context>,
}

/// Whose end is this process's too.
pub enum Parent {
    /// It leads the session, and has restored signals.
    Middle,
    /// The process of this id; signals are still as it has them.
    Supervisor(u32),
}

/// Root, identity and directory, as the calls take them.
pub struct Context {
    pub umask: Option<libc::mode_t>,
    pub chroot: Option<CString>,
    pub groups: Option<Vec<u32>>,
    pub group: Option<u32>,
    pub user: Option<u32>,
    /// Inside of the new root.
    pub directory: Option<CString>,
}

/// The body of the second fork, and of a supervisor's.
pub fn run(child: &Child) -> ! {
    if let Err(errno) = fd::place(child.channel_source, child.channel) {
        say_failure(child.channel_source, Step::Channel, errno);
        process::exit_now(1);
    }
    let (step, errno) = match prepare(child) {
        Ok(()) => (Step::Exec, child.image.execute()),
        Err(failure) => failure,
    };
    say_failure(child.channel, step, errno);
    process::exit_now(1)
}

fn prepare(child: &Child) -> Result<(), (Step, Errno)> {
    if let Parent::Supervisor(_) = child.parent {
        signal::restore_defaults().map_err(|errno| (Step::Sigprocmask, errno))?;
    }
    if child.leads_group {
        // So that a signal to the daemon's group reaches it and its children alone.
        process::lead_process_group().map_err(|errno| (Step::Process, errno))?;
    }
    die_with_parent(&child.parent)?;
    process::change_directory(&child.directory).map_err(|errno| (Step::Chdir, errno))?;
    for &(source, target) in &child.moves {
        fd::place(source, target).map_err(|errno| (Step::Dup2, errno))?;
    }
    // Closed, not marked: a descriptor of the pid file that closed at exec would take byte 0 with it.
    close::close_all_but(&child.kept);
    if let Some(pid_file) = child.pid_file {
        // Ours alone, and to be open at exec: never dropped.
        pidfile::own(&Host, &ManuallyDrop::new(fd::adopt(pid_file)))?;
    }
    // Last: a limit of files or their size must not stop what stands above.
    if let Some(nice) = child.nice {
        process::set_nice(nice).map_err(|errno| (Step::Nice, errno))?;
    }
    if let Some(adjust) = &child.oom_score_adjust {
        process::set_oom_score_adjust(adjust).map_err(|errno| (Step::OomScoreAdjust, errno))?;
    }
    for limit in &child.limits {
        limit.apply().map_err(|errno| (Step::Limits, errno))?;
    }
    if let Some(context) = &child.context {
        enter(context)?;
        // The change of ids has taken it back.
        die_with_parent(&child.parent)?;
    }
    if child.no_new_privileges {
        process::forbid_new_privileges().map_err(|errno| (Step::NoNewPrivileges, errno))?;
    }
    if child.channel_ends_at_exec {
        fd::close_at_exec(child.channel).map_err(|errno| (Step::Channel, errno))?;
    }
    Ok(())
}

/// A daemon until it is ready, a worker for good.
fn die_with_parent(parent: &Parent) -> Result<(), (Step, Errno)> {
    match parent {
        Parent::Middle => process::die_with_middle(),
        Parent::Supervisor(pid) => process::die_with(*pid),
    }
    .map_err(|errno| (Step::Process, errno))
}

/// Groups before user: once the user is another, they can't be changed. Verified, like the change at the call
/// (identity.rs): a change that only seems to succeed would run the program as root.
fn enter(context: &Context) -> Result<(), (Step, Errno)> {
    if let Some(umask) = context.umask {
        process::set_umask(umask);
    }
    if let Some(root) = &context.chroot {
        process::change_root(root).map_err(|errno| (Step::Chroot, errno))?;
        process::change_directory(c"/").map_err(|errno| (Step::Chdir, errno))?;
    }
    if let Some(groups) = &context.groups {
        credentials::set_groups(groups).map_err(|errno| (Step::Setgroups, errno))?;
    }
    if let Some(group) = context.group {
        credentials::set_group(group).map_err(|errno| (Step::Setgid, errno))?;
        if !credentials::is_group(group) {
            return Err((Step::Setgid, Errno::EPERM));
        }
    }
    if let Some(user) = context.user {
        credentials::set_user(user).map_err(|errno| (Step::Setuid, errno))?;
        if !credentials::is_user(user) || (user != 0 && credentials::set_user(0).is_ok()) {
            return Err((Step::Setuid, Errno::EPERM));
        }
    }
    match &context.directory {
        Some(directory) => process::change_directory(directory).map_err(|errno| (Step::Chdir, errno)),
        None => Ok(()),
    }
}
