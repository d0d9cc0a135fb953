//! A supervisor's worker: the same program, started from a process with one thread, in the supervisor's session.

use std::ffi::CString;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::path::{Path, PathBuf};

use crate::arrival::Role;
use crate::child::{self, Child, Context, Parent};
use crate::error::{During, Failure, Result, Step};
use crate::handover::{Handover, image, pair};
use crate::identity::Change;
use crate::limits::Limit;
use crate::pidfile::c_path;
use crate::plan::{LogFile, Owner};
use crate::stdio::{Later, Streams, Tail};
use crate::sys::signal::AllBlocked;
use crate::sys::{fd, process};

/// What each worker is started from.
#[derive(Debug)]
pub struct WorkerPlan {
    pub program: PathBuf,
    pub arguments: Vec<String>,
    pub directory: PathBuf,
    pub environment: Vec<(Vec<u8>, Vec<u8>)>,
    pub preserve: Vec<RawFd>,
    pub limits: Vec<Limit>,
    pub nice: Option<i32>,
    pub oom_score_adjust: Option<i32>,
    pub no_new_privileges: bool,
    /// Whose the memory is that stderr goes to.
    pub owner: Option<Owner>,
    /// Where stderr goes, if that is a file.
    pub stderr_log: Option<LogFile>,
    pub leads_group: bool,
    /// The number of the descriptor where it writes a newline when it is ready, if it does.
    pub ready: Option<RawFd>,
    pub kind: Kind,
}

#[derive(Debug)]
pub enum Kind {
    /// It calls daemonize(), or is made to: it takes a marker, and sets the rest of its context itself.
    Arriving,
    /// It never heard of us: all is set before it is executed.
    Foreign(ForeignContext),
}

#[derive(Debug, Default)]
pub struct ForeignContext {
    pub identity: Change,
    pub umask: Option<u32>,
    pub directory: Option<PathBuf>,
}

/// The supervisor's own streams, which are the workers' too.
#[derive(Debug, Default)]
pub struct LateStreams {
    /// What the outputs become at the worker's call; until then they are /dev/null and memory.
    pub stdout_at_call: Option<OwnedFd>,
    pub stderr_at_call: Option<OwnedFd>,
    /// What stderr becomes when the worker is ready; until then it is memory.
    pub stderr_at_ready: Option<OwnedFd>,
}

#[derive(Debug)]
pub struct Worker {
    pub pid: i32,
    pub channel: OwnedFd,
    /// The end of its stderr.
    pub tail: Option<Tail>,
    /// Where a newline says that it is ready.
    pub ready: Option<OwnedFd>,
}

impl WorkerPlan {
    /// Starts one, with these sockets by name, and variables of its own.
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
        let base = self.environment.iter().cloned();
        let marker_text = arrives.then(|| marker.text(note));
        let prepared = Child {
            image: image(&self.program, &self.arguments, base, variables, &names, marker_text)?,
            parent: Parent::Supervisor(std::process::id()),
            leads_group: self.leads_group,
            directory: c_path(&self.directory)?,
            moves: arrangement.moves().to_vec(),
            kept: arrangement.kept(),
            channel: marker.channel.unwrap_or(channel_source),
            channel_source,
            channel_ends_at_exec: !arrives,
            pid_file: None,
            limits: self.limits.clone(),
            nice: self.nice,
            oom_score_adjust: self.oom_score_adjust.map(|adjust| adjust.to_string().into_bytes()),
            no_new_privileges: self.no_new_privileges,
            context: self.context()?,
        };
        let stack = process::Stack::allocate();
        let pid = {
            // A signal that came in the child before it has restored the dispositions would run our handler there.
            let _blocked = AllBlocked::new().during(Step::Sigprocmask, "pthread_sigmask")?;
            // Once: whoever supervises waits, and tries again.
            process::fork_to_execute(1, child::run, &prepared, &stack).during(Step::SecondFork, "fork")?
        };
        Ok(Worker { pid: pid.as_raw(), channel, tail, ready })
    }

    /// Ours, but that stderr is memory of its own where the end of it can't be read elsewhere.
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
            (None, Some(_)) => Later::Never,
            (None, None) => return Ok((streams, self.stderr_log.as_ref().and_then(Tail::of_log))),
        };
        let tail = Tail::in_memory(self.owner).during(Step::Log, "memfd_create")?;
        streams.stderr = own(tail.descriptor())?;
        streams.later_stderr = later;
        Ok((streams, Some(tail)))
    }

    fn context(&self) -> Result<Option<Context>> {
        let Kind::Foreign(ForeignContext { identity, umask, directory }) = &self.kind else {
            return Ok(None);
        };
        let path = |path: &Path| -> Result<CString> { c_path(path) };
        Ok(Some(Context {
            umask: umask.and_then(|mask| libc::mode_t::try_from(mask).ok()),
            chroot: identity.chroot.as_deref().map(path).transpose()?,
            groups: identity.groups.clone(),
            group: identity.group,
            user: identity.user,
            directory: directory.as_deref().map(path).transpose()?,
        }))
    }
}
