//! Takeover in the foreground: the supervisor is executed in this very process, with the same pid, standard streams and
//! session.

use std::convert::Infallible;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use nix::errno::Errno;

use crate::arrival::Marker;
use crate::error::{During, Failure, Result, Step};
use crate::handover::command;
use crate::log_file::{self, MadeLog};
use crate::pidfile::{self, Claim, RealKernel, claim};
use crate::plan::{FileOwner, LogFile, Plan, Stream, Supervisor};
use crate::remnants;
use crate::sockets::{self, Bound};
use crate::stdio;
use crate::sys::exec::Image;
use crate::sys::signal::HeldOver;
use crate::sys::{fd, memory_file};

/// Lowest number of a descriptor for the supervisor. Node uses those below: if the exec fails, Node goes on.
const LOWEST: RawFd = 64;

/// Claims the pid file, binds the sockets, calls `bound` with their addresses, and executes the supervisor. Returns
/// only if something failed; then the pid file and the sockets are removed again, and the standard streams are as they
/// were. Called in the main thread.
pub fn execute_supervisor(plan: &Plan, bound: impl FnOnce(&[String])) -> Result<Infallible> {
    let Some(supervisor) = &plan.supervisor else {
        return Err(Failure::new(Step::Exec, "execve", Errno::EINVAL).into());
    };
    plan.resources.check()?;
    // From the pid file on, a signal must not kill this process and leave its files: the supervisor takes it.
    let _held_over = HeldOver::new().during(Step::Sigprocmask, "pthread_sigmask")?;
    let claimed = plan.pid_file.as_ref().map(|file| claim(&file.path, file.mode, file.overwrite)).transpose()?;
    remnants::clear_away(plan);
    let result = match sockets::bind_all(&plan.listen) {
        Ok(sockets) => {
            bound(&sockets.iter().map(|each| each.address.clone()).collect::<Vec<_>>());
            let result = execute(plan, supervisor, claimed.as_ref(), &sockets);
            sockets::remove_files(&sockets);
            result
        }
        Err(error) => Err(error),
    };
    if let Some(claim) = claimed {
        claim.abandon();
    }
    result
}

/// Executes the supervisor with everything that it inherits.
fn execute(plan: &Plan, supervisor: &Supervisor, claim: Option<&Claim>, sockets: &[Bound]) -> Result<Infallible> {
    let config = memory_file::with_text(&supervisor.config).during(Step::Channel, "memfd_create")?;
    let config = fd::duplicate_above(&config, LOWEST).during(Step::Channel, "fcntl")?;
    let block = Block::of(sockets)?;
    let mut marker = Marker::default();
    marker.config = Some(config.as_raw_fd());
    marker.pid_file = claim.map(|claim| claim.file.as_raw_fd());
    marker.first_socket = block.first;
    let names: Vec<_> = plan.listen.iter().map(|each| each.name.as_str()).collect();
    let arguments = [supervisor.executable.to_string_lossy().into_owned()];
    let image = Image::new(command(
        &supervisor.executable,
        &arguments,
        &plan.inherited,
        &plan.environment,
        &names,
        Some(marker.text(&plan.note)),
    )?);
    let mut changes = Changes::default();
    changes.redirect(plan)?;
    changes.keep_at_exec(config.as_raw_fd()).during(Step::Exec, "fcntl")?;
    for &number in &plan.preserve {
        changes.keep_at_exec(number).during(Step::Exec, "fcntl")?;
    }
    if let Some(Claim { file, mode, .. }) = claim {
        changes.keep_at_exec(file.as_raw_fd()).during(Step::Exec, "fcntl")?;
        pidfile::own(&RealKernel, file, *mode).map_err(|(step, errno)| Failure::new(step, step.syscall(), errno))?;
    }
    let errno = image.execute();
    Err(Failure::new(Step::Exec, "execve", errno).at(&supervisor.executable).into())
}

/// Changes of this process's descriptors for the exec. They are undone when this is dropped: the exec has failed then,
/// and the program goes on.
#[derive(Default)]
struct Changes {
    /// Standard streams that were replaced, each with a copy of what it was; None if it was closed.
    replaced: Vec<(RawFd, Option<OwnedFd>)>,
    /// Descriptors that were to be closed at exec.
    kept: Vec<RawFd>,
    /// Logs that were not there.
    made: Vec<MadeLog>,
}

impl Changes {
    /// Redirects the standard streams that the plan doesn't inherit.
    fn redirect(&mut self, plan: &Plan) -> Result<()> {
        for (stream, number) in [(&plan.stdin, 0), (&plan.stdout, 1), (&plan.stderr, 2)] {
            let file = match stream {
                Stream::Inherit => {
                    // Node marks even these to be closed at exec when it boots. A stream that is closed stays closed.
                    let _ = self.keep_at_exec(number);
                    continue;
                }
                Stream::Null => stdio::null_device(LOWEST)?,
                Stream::Descriptor(given) => fd::duplicate_raw(*given, LOWEST).during(Step::Dup2, "fcntl")?,
                Stream::File(file) if number == 0 => stdio::open_input(&file.path, plan.owner.as_ref())?,
                Stream::File(file) => self.open_log(file, plan.owner.as_ref())?,
            };
            self.replace(number, &file).during(Step::Dup2, "dup2")?;
        }
        Ok(())
    }

    fn open_log(&mut self, log: &LogFile, owner: Option<&FileOwner>) -> Result<OwnedFd> {
        let (file, made) = log_file::open(log, owner)?;
        self.made.extend(made);
        Ok(file)
    }

    fn replace(&mut self, number: RawFd, file: &OwnedFd) -> nix::Result<()> {
        if fd::closes_at_exec(number) == Ok(true) {
            self.kept.push(number);
        }
        self.replaced.push((number, fd::duplicate_raw(number, LOWEST).ok()));
        fd::place(file.as_raw_fd(), number)
    }

    fn keep_at_exec(&mut self, number: RawFd) -> nix::Result<()> {
        if fd::closes_at_exec(number)? {
            self.kept.push(number);
        }
        fd::keep_at_exec(number)
    }
}

impl Drop for Changes {
    fn drop(&mut self) {
        for (number, before) in &self.replaced {
            match before {
                Some(file) => drop(fd::place(file.as_raw_fd(), *number)),
                None => fd::close_raw(*number),
            }
        }
        for &number in &self.kept {
            let _ = fd::close_at_exec(number);
        }
        self.made.iter().for_each(MadeLog::remove_if_empty);
    }
}

/// Sockets at consecutive numbers, open at exec, closed when dropped.
struct Block {
    first: RawFd,
    numbers: Vec<RawFd>,
}

impl Block {
    /// Copies the sockets to the first free block of numbers.
    fn of(sockets: &[Bound]) -> Result<Self> {
        let count = RawFd::try_from(sockets.len()).unwrap_or(0);
        let free = |number: RawFd| fd::status_flags(number).is_err();
        let first = (LOWEST..RawFd::MAX - count)
            .find(|&first| (first..first + count).all(free))
            .ok_or_else(|| Failure::new(Step::Listen, "dup2", Errno::EMFILE))?;
        let mut block = Self { first, numbers: Vec::new() };
        for (bound, number) in sockets.iter().zip(first..) {
            fd::place(bound.socket.as_raw_fd(), number).during(Step::Listen, "dup2")?;
            block.numbers.push(number);
        }
        Ok(block)
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        self.numbers.iter().for_each(|&number| fd::close_raw(number));
    }
}
