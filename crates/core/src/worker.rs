//! Workers of a supervisor: the program, started in the supervisor's session by a process with one thread.

use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::path::PathBuf;

use crate::arrival::Role;
use crate::child::{self, Child, ExecContext, Parent};
use crate::error::{During, Failure, Result, Step};
use crate::handover::{Handover, command, pair};
use crate::id_change::IdChange;
use crate::identity::Change;
use crate::plan::{FileOwner, LogFile};
use crate::resources::Resources;
use crate::stdio::{Later, Streams, Tail};
use crate::sys::exec::Image;
use crate::sys::path::c_path;
use crate::sys::signal::AllBlocked;
use crate::sys::{fd, fork};

/// Plan from which every worker is started.
#[derive(Debug)]
pub struct WorkerPlan {
    pub program: PathBuf,
    pub arguments: Vec<String>,
    pub directory: PathBuf,
    pub environment: Vec<(Vec<u8>, Vec<u8>)>,
    pub preserve: Vec<RawFd>,
    pub resources: Resources,
    /// Owner of the memory file that stderr goes to.
    pub owner: Option<FileOwner>,
    /// The log that stderr goes to, if it goes to one.
    pub stderr_log: Option<LogFile>,
    /// Root directory and ids that it has from its exec on. What is absent it keeps or, if it knows daemonic, takes at its
    /// call.
    pub identity: Change,
    /// Whether it leads a process group of its own.
    pub leads_group: bool,
    /// Number of the descriptor to which the program writes a newline when it is ready, if it does that.
    pub ready: Option<RawFd>,
    pub kind: Kind,
}

/// Whether the program knows daemonic.
#[derive(Debug)]
pub enum Kind {
    /// It calls daemonize(), or a preload does: it gets a marker, and sets the rest of its context itself.
    Arriving,
    /// It doesn't know daemonic: everything is set before it is executed.
    Foreign(ForeignContext),
}

/// Umask and directory of a program that doesn't know daemonic.
#[derive(Debug, Default)]
pub struct ForeignContext {
    pub umask: Option<u32>,
    pub directory: Option<PathBuf>,
}

/// Output streams that workers change to after their exec; the supervisor has them open for all workers.
#[derive(Debug, Default)]
pub struct LateStreams {
    /// Streams that replace /dev/null and a memory file as stdout and stderr at the worker's call of daemonize().
    pub stdout_at_call: Option<OwnedFd>,
    pub stderr_at_call: Option<OwnedFd>,
    /// Stream that replaces a memory file as stderr when the worker is ready.
    pub stderr_at_ready: Option<OwnedFd>,
}

/// Worker that was started, and the supervisor's ends of what connects them.
#[derive(Debug)]
pub struct Worker {
    pub pid: i32,
    pub channel: OwnedFd,
    /// Reads the last part of its stderr.
    pub tail: Option<Tail>,
    /// Receives the newline that says that it is ready.
    pub ready: Option<OwnedFd>,
}

impl WorkerPlan {
    /// Starts a worker with these sockets, by name, and these variables of its own.
    pub fn start(
        &self,
        late: &LateStreams,
        sockets: &[(&str, BorrowedFd<'_>)],
        variables: &[(String, Option<String>)],
        note: &str,
    ) -> Result<Worker> {
        let mut kept_numbers = self.preserve.clone();
        kept_numbers.extend(self.ready);
        let lowest =
            Handover::lowest(sockets.len(), &kept_numbers).max(kept_numbers.iter().max().map_or(0, |max| max + 1));
        let (streams, tail) = self.streams(late, lowest)?;
        let (channel, far_end) = pair(lowest)?;
        let channel_source = far_end.as_raw_fd();
        let mut preserve = Vec::new();
        for &number in self.preserve.iter().filter(|&&number| number > 2) {
            preserve.push((fd::duplicate_raw(number, lowest).during(Step::Dup2, "fcntl")?, number));
        }
        let mut ready = None;
        if let Some(number) = self.ready {
            let (reader, writer) = pair(lowest)?;
            preserve.push((writer, number));
            ready = Some(reader);
        }
        let copy =
            |&(_, socket): &(&str, BorrowedFd<'_>)| fd::duplicate_above(socket, lowest).during(Step::Listen, "fcntl");
        let handover = Handover {
            streams,
            sockets: sockets.iter().map(copy).collect::<std::result::Result<_, Failure>>()?,
            preserve,
            channel: far_end,
            pid_file: None,
            config: None,
        };
        let (arrangement, marker) = handover.arrange(Role::Worker)?;
        let arrives = matches!(self.kind, Kind::Arriving);
        let names: Vec<_> = sockets.iter().map(|&(name, _)| name).collect();
        let marker_text = arrives.then(|| marker.text(note));
        let prepared = Child {
            image: Image::new(command(
                &self.program,
                &self.arguments,
                &self.environment,
                variables,
                &names,
                marker_text,
            )?),
            parent: Parent::Supervisor(std::process::id()),
            leads_group: self.leads_group,
            directory: c_path(&self.directory, Step::Chdir)?,
            moves: arrangement.moves().to_vec(),
            kept: arrangement.kept(),
            channel: marker.channel.unwrap_or(channel_source),
            channel_source,
            channel_ends_at_exec: !arrives,
            pid_file: None,
            holds_signals: false,
            resources: self.resources.clone(),
            context: self.context()?,
        };
        let stack = fork::Stack::allocate();
        let pid = {
            // A signal that reached the child before it has restored the dispositions would run the supervisor's
            // handler there.
            let _blocked = AllBlocked::new().during(Step::Sigprocmask, "pthread_sigmask")?;
            fork::fork_to_execute(child::run, &prepared, &stack)
                .map_err(|errno| fork::failure(Step::SecondFork, errno))?
        };
        Ok(Worker { pid: pid.as_raw(), channel, tail, ready })
    }

    /// Copies the supervisor's streams. Without a log file to read back, stderr is a memory file instead.
    fn streams(&self, late: &LateStreams, lowest: RawFd) -> Result<(Streams, Option<Tail>)> {
        let copy = |file: &OwnedFd| fd::duplicate_above(file, lowest).during(Step::Log, "fcntl");
        let own = |number: RawFd| fd::duplicate_raw(number, lowest).during(Step::Log, "fcntl");
        let arrives = matches!(self.kind, Kind::Arriving);
        let stdout = if arrives { None } else { late.stdout_at_call.as_ref() };
        let later_stdout = late.stdout_at_call.as_ref().filter(|_| arrives).map(copy).transpose()?;
        let mut streams = Streams {
            stdin: own(0)?,
            stdout: stdout.map_or_else(|| own(1), copy)?,
            stderr: own(2)?,
            later_stdout,
            later_stderr: Later::Never,
            tail: None,
        };
        let later = match (&late.stderr_at_call, &late.stderr_at_ready) {
            (Some(file), _) if !arrives => {
                streams.stderr = copy(file)?;
                return Ok((streams, None));
            }
            (Some(file), _) => Later::AtCall(copy(file)?),
            (None, Some(file)) if arrives => Later::AtReady(copy(file)?),
            (None, Some(file)) if self.resources.limit_file_size() => {
                // It writes there for good, and would be killed once it has written as much as a file may have.
                streams.stderr = copy(file)?;
                return Ok((streams, None));
            }
            (None, Some(_)) => Later::Never,
            (None, None) => {
                return Ok((streams, self.stderr_log.as_ref().and_then(|log| Tail::of_log(log, self.owner.as_ref()))));
            }
        };
        let tail = Tail::in_memory(self.owner.as_ref()).during(Step::Log, "memfd_create")?;
        streams.stderr = own(tail.descriptor())?;
        streams.later_stderr = later;
        Ok((streams, Some(tail)))
    }

    /// Prepares the context that the program gets before exec.
    fn context(&self) -> Result<Option<ExecContext>> {
        let (umask, directory) = match &self.kind {
            Kind::Arriving if !self.identity.has_ids() => return Ok(None),
            Kind::Arriving => (None, None),
            Kind::Foreign(ForeignContext { umask, directory }) => (*umask, directory.as_deref()),
        };
        Ok(Some(ExecContext {
            umask: umask.and_then(|mask| libc::mode_t::try_from(mask).ok()),
            ids: IdChange::new(&self.identity)?,
            directory: directory.map(|path| c_path(path, Step::Chdir)).transpose()?,
        }))
    }
}
