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
use crate::sys::{close, fd, process};

/// Prepared by the launcher.
pub struct Child {
    pub image: Image,
    pub directory: CString,
    /// Where descriptors are, and the numbers that the daemon has them under; sources lie above all targets.
    pub moves: Vec<(RawFd, RawFd)>,
    /// All targets, sorted.
    pub kept: Vec<RawFd>,
    /// The target number of the channel, and where it is before the moves.
    pub channel: RawFd,
    pub channel_source: RawFd,
    /// The target number of the claimed pid file.
    pub pid_file: Option<RawFd>,
    pub limits: Vec<Limit>,
    pub nice: Option<i32>,
    /// Its text.
    pub oom_score_adjust: Option<Vec<u8>>,
    pub no_new_privileges: bool,
}

/// The body of the second fork. Dispositions are default and the mask is empty: the middle did that.
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
    // A group of its own, so that a signal to the daemon's group reaches it and its children alone.
    process::lead_process_group().map_err(|errno| (Step::Process, errno))?;
    // Until ready.
    process::die_with_middle().map_err(|errno| (Step::Process, errno))?;
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
    if child.no_new_privileges {
        process::forbid_new_privileges().map_err(|errno| (Step::NoNewPrivileges, errno))?;
    }
    Ok(())
}
