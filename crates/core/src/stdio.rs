//! The daemon's three standard streams, opened in the launcher.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::path::Path;

use nix::fcntl::OFlag;
use nix::sys::stat::Mode;

use crate::error::{During, Failure, Result, Step, errno_of};
use crate::log_file::{self, MadeLog, give};
use crate::place::Place;
use crate::plan::{FileOwner, LogFile, Plan, Stream};
use crate::sys::{fd, memory_file};

/// Size of the part of a failed start's stderr that is kept for its error message, in bytes.
pub const STDERR_KEPT: u32 = 64 * 1024;

/// Streams that the daemon has at exec, and those that it changes to later.
#[derive(Debug)]
pub struct Streams {
    pub stdin: OwnedFd,
    pub stdout: OwnedFd,
    pub stderr: OwnedFd,
    /// Replaces stdout at the call of daemonize(): the launcher has run the same code up to the call, and what that
    /// printed must not appear twice.
    pub later_stdout: Option<OwnedFd>,
    pub later_stderr: Later,
    pub tail: Option<Tail>,
}

/// Moment when stderr, a memory file until then, changes to the stream that was asked for.
#[derive(Debug)]
pub enum Later {
    Never,
    AtCall(OwnedFd),
    AtReady(OwnedFd),
}

/// Reads the last part of a failed start's stderr.
#[derive(Debug)]
pub struct Tail {
    file: File,
    from: u64,
    pub in_memory: bool,
}

impl Streams {
    /// Opens all streams under numbers from `lowest` on, above those that the daemon will use. Logs that were not there
    /// are added to `made`, also where another stream fails.
    pub fn open(plan: &Plan, lowest: RawFd, made: &mut Vec<MadeLog>) -> Result<Self> {
        let null = || null_device(lowest);
        let stdin = match &plan.stdin {
            Stream::File(file) => above(open_input(&file.path, plan.owner.as_ref())?, lowest)?,
            other => open_other(other, 0, lowest)?.map_or_else(null, Ok)?,
        };
        let mut logs = Logs { opened: Vec::new(), owner: plan.owner.as_ref(), made };
        let stdout = logs.open(&plan.stdout, 1, lowest)?;
        let (stdout, later_stdout) = match plan.stdout {
            Stream::Inherit => (null()?, stdout),
            _ => (stdout.map_or_else(null, Ok)?, None),
        };
        let stderr = logs.open(&plan.stderr, 2, lowest)?;
        let tail = match &plan.stderr {
            Stream::File(file) => Tail::of_log(file, plan.owner.as_ref()),
            Stream::Descriptor(_) => None,
            Stream::Null | Stream::Inherit => {
                Some(Tail::in_memory(plan.owner.as_ref()).during(Step::Log, "memfd_create")?)
            }
        };
        let memory = |tail: &Option<Tail>| {
            let file = tail.as_ref().map_or(2, |tail| tail.file.as_raw_fd());
            fd::duplicate_raw(file, lowest).during(Step::Log, "fcntl")
        };
        let (stderr, later_stderr) = match (&plan.stderr, stderr) {
            (Stream::Inherit, Some(own)) => (memory(&tail)?, Later::AtCall(own)),
            (Stream::File(_) | Stream::Descriptor(_), Some(file)) => (file, Later::Never),
            _ => (memory(&tail)?, Later::AtReady(null()?)),
        };
        Ok(Self { stdin, stdout, stderr, later_stdout, later_stderr, tail })
    }
}

/// Opens log files so that two outputs to the same path share one open file.
struct Logs<'a> {
    opened: Vec<(&'a Path, RawFd)>,
    owner: Option<&'a FileOwner>,
    made: &'a mut Vec<MadeLog>,
}

impl<'a> Logs<'a> {
    fn open(&mut self, stream: &'a Stream, number: RawFd, lowest: RawFd) -> Result<Option<OwnedFd>> {
        let Stream::File(file) = stream else {
            return open_other(stream, number, lowest);
        };
        if let Some(&(_, same)) = self.opened.iter().find(|&&(path, _)| path == file.path) {
            return Ok(Some(fd::duplicate_raw(same, lowest).during(Step::Log, "fcntl")?));
        }
        let (log, made) = log_file::open(file, self.owner)?;
        self.made.extend(made);
        let opened = above(log, lowest)?;
        self.opened.push((&file.path, opened.as_raw_fd()));
        Ok(Some(opened))
    }
}

/// Copies the stream where it is a descriptor; None where it is a file or /dev/null.
fn open_other(stream: &Stream, number: RawFd, lowest: RawFd) -> Result<Option<OwnedFd>> {
    let step = if number == 0 { Step::Stdin } else { Step::Log };
    let source = match stream {
        Stream::Inherit => number,
        Stream::Descriptor(given) => *given,
        Stream::Null | Stream::File(_) => return Ok(None),
    };
    Ok(Some(
        fd::duplicate_raw(source, lowest)
            .during(step, "fcntl")
            .map_err(|failure| failure.at(format!("descriptor {source}")))?,
    ))
}

/// Opens a file for the standard input, in its [`Place`].
pub fn open_input(path: &Path, owner: Option<&FileOwner>) -> Result<OwnedFd> {
    let failed = |syscall, errno| Failure::new(Step::Stdin, syscall, errno).at(path);
    // O_NONBLOCK: the open of a fifo without a writer doesn't block. It is cleared again below, so that reads block as
    // usual.
    let flags = OFlag::O_RDONLY | OFlag::O_NOCTTY | OFlag::O_NONBLOCK;
    let place = Place::for_step(path, owner, Step::Stdin)?;
    let file = place.open(flags, Mode::empty()).map_err(|errno| failed("open", errno))?;
    nix::fcntl::fcntl(&file, nix::fcntl::FcntlArg::F_SETFL(OFlag::empty())).map_err(|errno| failed("fcntl", errno))?;
    Ok(file)
}

/// Opens /dev/null under a number from `lowest` on.
pub fn null_device(lowest: RawFd) -> Result<OwnedFd> {
    let path = Path::new("/dev/null");
    let null = OpenOptions::new()
        .read(true)
        .write(true)
        .open(path)
        .map_err(|error| Failure::new(Step::Log, "open", errno_of(&error)).at(path))?;
    above(null.into(), lowest)
}

/// Moves a file to a number from `lowest` on.
fn above(file: OwnedFd, lowest: RawFd) -> Result<OwnedFd> {
    let file = file; // closed once it is duplicated
    Ok(fd::duplicate_above(&file, lowest).during(Step::Log, "fcntl")?)
}

impl Tail {
    /// Makes a memory file for stderr, which belongs to `owner`.
    pub fn in_memory(owner: Option<&FileOwner>) -> nix::Result<Self> {
        let file = memory_file::create()?;
        if let Some(owner) = owner {
            give(&file, owner)?;
        }
        Ok(Self { file: file.into(), from: 0, in_memory: true })
    }

    /// Reads a memory file that another image of this process has made.
    #[must_use]
    pub fn of_memory(file: OwnedFd) -> Self {
        Self { file: file.into(), from: 0, in_memory: true }
    }

    /// Reads from the present end of a log on. None if the log can't be read.
    pub fn of_log(log: &LogFile, owner: Option<&FileOwner>) -> Option<Self> {
        let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
        let file = File::from(Place::of(&log.path, owner).and_then(|place| place.open(flags, Mode::empty())).ok()?);
        let status = file.metadata().ok()?;
        status.is_file().then(|| Self { from: status.len(), file, in_memory: false })
    }

    /// Number of the file that is read.
    #[must_use]
    pub fn descriptor(&self) -> RawFd {
        self.file.as_raw_fd()
    }

    /// Returns the last [`STDERR_KEPT`] bytes that were written since the start.
    #[must_use]
    pub fn read(&mut self) -> String {
        let mut text = Vec::new();
        let end = self.file.metadata().map_or(0, |status| status.len());
        let start = self.from.max(end.saturating_sub(u64::from(STDERR_KEPT)));
        if self.file.seek(SeekFrom::Start(start)).is_ok() {
            let _ = (&mut self.file).take(u64::from(STDERR_KEPT)).read_to_end(&mut text);
        }
        String::from_utf8_lossy(&text).into_owned()
    }
}

/// Tells what a descriptor is open for: `read`, `write` or `both`; None if it isn't open.
#[must_use]
pub fn access(number: RawFd) -> Option<&'static str> {
    match fd::status_flags(number).ok()? & libc::O_ACCMODE {
        libc::O_RDONLY => Some("read"),
        libc::O_WRONLY => Some("write"),
        _ => Some("both"),
    }
}
