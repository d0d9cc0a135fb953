//! From the second fork to exec: gives the new process what it must have before any of its own code runs.
//!
//! SACRED: shares the memory of its parent, the middle or the supervisor, which stands still meanwhile (or is the child
//! of a fork). Async-signal-safe calls on prepared memory only, no allocation, no lock, no panic; leave with `exit_now`.
//! Read top to bottom.

use std::ffi::CString;
use std::mem::ManuallyDrop;
use std::os::fd::RawFd;

use nix::errno::Errno;

use crate::channel::send_failure;
use crate::error::Step;
use crate::id_change::IdChange;
use crate::pidfile::{self, RealKernel};
use crate::resources::Resources;
use crate::sys::exec::Image;
use crate::sys::{close, credentials, fd, process, signal};

/// Everything that the child needs, prepared by its launcher or supervisor.
pub struct Child {
    pub image: Image,
    pub parent: Parent,
    /// Whether it leads a process group of its own.
    pub leads_group: bool,
    pub directory: CString,
    /// Descriptors, each with the number that the new process has it under. All sources lie above all targets.
    pub moves: Vec<(RawFd, RawFd)>,
    /// All target numbers, sorted: other descriptors are closed.
    pub kept: Vec<RawFd>,
    /// Target number of the channel, and its number before the moves.
    pub channel: RawFd,
    pub channel_source: RawFd,
    /// Whether exec closes the channel, which says that the program was executed: for a program that doesn't know
    /// daemonic.
    pub channel_ends_at_exec: bool,
    /// Target number of the claimed pid file, and the mode that it gets.
    pub pid_file: Option<(RawFd, u32)>,
    /// Whether signals wait, from the pid file on, until the program takes them: a supervisor does.
    pub holds_signals: bool,
    pub resources: Resources,
    /// Context of a program that never calls daemonize().
    pub context: Option<ExecContext>,
}

/// The process that forked this one. When it dies, this one is killed too.
pub enum Parent {
    /// The middle process, which leads the session and has restored the signal dispositions.
    Middle,
    /// The supervisor with this pid. Signal dispositions and mask are still the supervisor's.
    Supervisor(u32),
}

/// Umask, root, ids and directory of a program, in the form that the system calls take.
pub struct ExecContext {
    pub umask: Option<libc::mode_t>,
    pub ids: IdChange,
    /// Path inside of the new root.
    pub directory: Option<CString>,
}

/// Runs the child: the body of the second fork, and of a supervisor's fork.
pub fn run(child: &Child) -> ! {
    if let Err(errno) = fd::place(child.channel_source, child.channel) {
        send_failure(child.channel_source, Step::Channel, errno);
        process::exit_now(1);
    }
    let (step, errno) = match prepare(child) {
        Ok(()) => (Step::Exec, child.image.execute()),
        Err(failure) => failure,
    };
    send_failure(child.channel, step, errno);
    process::exit_now(1)
}

fn prepare(child: &Child) -> Result<(), (Step, Errno)> {
    if let Parent::Supervisor(_) = child.parent {
        signal::restore_defaults().map_err(|errno| (Step::Sigprocmask, errno))?;
    }
    if child.leads_group {
        // A signal to this group then reaches the daemon and its children alone.
        process::lead_process_group().map_err(|errno| (Step::Process, errno))?;
    }
    set_parent_death_signal(&child.parent)?;
    process::change_directory(&child.directory).map_err(|errno| (Step::Chdir, errno))?;
    for &(source, target) in &child.moves {
        fd::place(source, target).map_err(|errno| (Step::Dup2, errno))?;
    }
    // Closed, not marked to be closed at exec: a descriptor of the pid file that closed at exec would drop byte 0.
    close::close_all_but(&child.kept);
    if child.holds_signals {
        // From the pid file on, others know the pid and may signal it.
        signal::block_all().map_err(|errno| (Step::Sigprocmask, errno))?;
    }
    if let Some((pid_file, mode)) = child.pid_file {
        // ManuallyDrop: the only descriptor of the file must stay open over exec.
        pidfile::own(&RealKernel, &ManuallyDrop::new(fd::adopt(pid_file)), mode)?;
    }
    // After everything that opens files: a limit on their number or size must not stop it.
    child.resources.apply()?;
    if credentials::is_root() {
        // Else they would survive a change of ids that the program makes later, in each of its threads.
        credentials::clear_inheritable_capabilities().map_err(|errno| (Step::Setuid, errno))?;
    }
    if let Some(context) = &child.context {
        enter(context)?;
        // The kernel clears the parent-death signal when the ids change.
        set_parent_death_signal(&child.parent)?;
    }
    if child.channel_ends_at_exec {
        fd::close_at_exec(child.channel).map_err(|errno| (Step::Channel, errno))?;
    }
    Ok(())
}

/// Has the kernel kill this process when its parent dies: a daemon until it is ready, a worker for good.
fn set_parent_death_signal(parent: &Parent) -> Result<(), (Step, Errno)> {
    match parent {
        Parent::Middle => process::die_with_middle(),
        Parent::Supervisor(pid) => process::die_with(*pid),
    }
    .map_err(|errno| (Step::Process, errno))
}

/// Sets umask, root, ids and directory.
fn enter(context: &ExecContext) -> Result<(), (Step, Errno)> {
    if let Some(umask) = context.umask {
        process::set_umask(umask);
    }
    context.ids.make().map_err(|refused| (refused.step, refused.errno))?;
    match &context.directory {
        Some(directory) => process::change_directory(directory).map_err(|errno| (Step::Chdir, errno)),
        None => Ok(()),
    }
}
