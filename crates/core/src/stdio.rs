//! The daemon's three standard streams, opened in the launcher.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use nix::errno::Errno;
use nix::unistd::{Gid, Uid};

use crate::error::{During, Failure, Result, Step, errno_of};
use crate::pidfile::directory_of;
use crate::plan::{LogFile, Owner, Plan, Stream};
use crate::sys::{credentials, fd, memory_file};

/// How much of a failed start's stderr is kept and shown, in bytes.
pub const STDERR_KEPT: u32 = 64 * 1024;

/// What the daemon has at exec, and what it changes to later.
#[derive(Debug)]
pub struct Streams {
    pub stdin: OwnedFd,
    pub stdout: OwnedFd,
    pub stderr: OwnedFd,
    /// Taken at the call: what was printed before it, by the same code in the launcher, appears once.
    pub later_stdout: Option<OwnedFd>,
    pub later_stderr: Later,
    pub tail: Option<Tail>,
}

/// When stderr, which is memory until then, becomes what was asked for.
#[derive(Debug)]
pub enum Later {
    Never,
    AtCall(OwnedFd),
    AtReady(OwnedFd),
}

/// Where the end of a failed start's stderr can be read.
#[derive(Debug)]
pub struct Tail {
    file: File,
    from: u64,
    pub in_memory: bool,
}

impl Streams {
    /// Opens everything; `lowest` keeps the numbers out of the way of those that the daemon shall have.
    pub fn open(plan: &Plan, lowest: RawFd) -> Result<Self> {
        let null = || null_device(lowest);
        let stdin = match &plan.stdin {
            Stream::File(file) => above(open_input(&file.path)?, lowest)?,
            other => open_other(other, 0, lowest)?.map_or_else(null, Ok)?,
        };
        let mut logs = Logs { opened: Vec::new(), owner: plan.owner };
        let stdout = logs.open(&plan.stdout, 1, lowest)?;
        let (stdout, later_stdout) = match plan.stdout {
            Stream::Inherit => (null()?, stdout),
            _ => (stdout.map_or_else(null, Ok)?, None),
        };
        let stderr = logs.open(&plan.stderr, 2, lowest)?;
        let tail = match &plan.stderr {
            Stream::File(file) => Tail::of_log(file),
            Stream::Descriptor(_) => None,
            Stream::Null | Stream::Inherit => Some(Tail::in_memory(plan.owner).during(Step::Log, "memfd_create")?),
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

/// Both outputs to one path share one open file.
struct Logs<'a> {
    opened: Vec<(&'a Path, RawFd)>,
    owner: Option<Owner>,
}

impl<'a> Logs<'a> {
    fn open(&mut self, stream: &'a Stream, number: RawFd, lowest: RawFd) -> Result<Option<OwnedFd>> {
        let Stream::File(file) = stream else {
            return open_other(stream, number, lowest);
        };
        if let Some(&(_, same)) = self.opened.iter().find(|&&(path, _)| path == file.path) {
            return Ok(Some(fd::duplicate_raw(same, lowest).during(Step::Log, "fcntl")?));
        }
        let opened = above(open_log(file, self.owner)?, lowest)?;
        self.opened.push((&file.path, opened.as_raw_fd()));
        Ok(Some(opened))
    }
}

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

/// Opens a log to append to: never through a symbolic link, and only what is a regular file, or a device.
/// A new file gets its mode whatever the umask.
pub fn open_log(log: &LogFile, owner: Option<Owner>) -> Result<OwnedFd> {
    let failed = |syscall, errno| Failure::new(Step::Log, syscall, errno).at(&log.path);
    let as_owner =
        owner.filter(|_| others_can_write_beside(&log.path)).map(|owner| credentials::FileAccess::of(owner.user));
    // O_NONBLOCK: a fifo without a reader is refused, not waited for.
    let flags = libc::O_NOFOLLOW | libc::O_NOCTTY | libc::O_NONBLOCK;
    let mut options = OpenOptions::new();
    options.append(true).custom_flags(flags).mode(log.mode);
    let (file, created) = match options.open(&log.path) {
        Ok(file) => (file, false),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            match options.clone().create_new(true).open(&log.path) {
                Ok(file) => (file, true),
                // Another process was faster: then it is there now.
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                    (options.open(&log.path).map_err(|error| failed("open", errno_of(&error)))?, false)
                }
                Err(error) => return Err(failed("open", errno_of(&error)).into()),
            }
        }
        Err(error) => return Err(failed("open", errno_of(&error)).into()),
    };
    drop(as_owner);
    let status = file.metadata().map_err(|error| failed("fstat", errno_of(&error)))?;
    let as_root = nix::unistd::geteuid().is_root();
    let why_not = match status.mode() & u32::from(libc::S_IFMT) {
        kind if kind == u32::from(libc::S_IFCHR) => None,
        kind if kind != u32::from(libc::S_IFREG) => Some((Errno::EINVAL, "it is not a regular file")),
        _ if as_root && status.nlink() > 1 => {
            Some((Errno::EMLINK, "it has other names (hard links): it may be somebody's other file"))
        }
        _ => None,
    };
    if let Some((errno, why)) = why_not {
        return Err(failed("open", errno).because(why).into());
    }
    if created {
        file.set_permissions(std::fs::Permissions::from_mode(log.mode))
            .map_err(|error| failed("fchmod", errno_of(&error)))?;
        if let Some(Owner { user, group }) = owner {
            give(&file, user, group).map_err(|errno| failed("fchown", errno))?;
        }
    }
    if log.truncate {
        fd::truncate(file.as_raw_fd(), 0).map_err(|errno| failed("ftruncate", errno))?;
    }
    let flags = nix::fcntl::OFlag::O_APPEND;
    nix::fcntl::fcntl(&file, nix::fcntl::FcntlArg::F_SETFL(flags)).map_err(|errno| failed("fcntl", errno))?;
    Ok(file.into())
}

/// Root must not be made to open what the daemon's user couldn't: where others can put files, it looks with their eyes.
fn others_can_write_beside(path: &Path) -> bool {
    std::fs::metadata(directory_of(path))
        .is_ok_and(|status| status.mode() & 0o022 != 0 || status.uid() != nix::unistd::geteuid().as_raw())
}

fn give(file: impl AsFd, user: u32, group: u32) -> nix::Result<()> {
    nix::unistd::fchown(file, Some(Uid::from_raw(user)), Some(Gid::from_raw(group)))
}

pub fn open_input(path: &Path) -> Result<OwnedFd> {
    let failed = |syscall, errno| Failure::new(Step::Stdin, syscall, errno).at(path);
    // O_NONBLOCK: a fifo without a writer is not waited for; then reads shall wait as ever.
    let flags = libc::O_NOFOLLOW | libc::O_NOCTTY | libc::O_NONBLOCK;
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(flags)
        .open(path)
        .map_err(|error| failed("open", errno_of(&error)))?;
    nix::fcntl::fcntl(&file, nix::fcntl::FcntlArg::F_SETFL(nix::fcntl::OFlag::empty()))
        .map_err(|errno| failed("fcntl", errno))?;
    Ok(file.into())
}

pub fn null_device(lowest: RawFd) -> Result<OwnedFd> {
    let path = Path::new("/dev/null");
    let null = OpenOptions::new()
        .read(true)
        .write(true)
        .open(path)
        .map_err(|error| Failure::new(Step::Log, "open", errno_of(&error)).at(path))?;
    above(null.into(), lowest)
}

fn above(file: OwnedFd, lowest: RawFd) -> Result<OwnedFd> {
    let file = file; // closed once its duplicate is there
    Ok(fd::duplicate_above(&file, lowest).during(Step::Log, "fcntl")?)
}

impl Tail {
    pub fn in_memory(owner: Option<Owner>) -> nix::Result<Self> {
        let file = memory_file::create()?;
        if let Some(Owner { user, group }) = owner {
            give(&file, user, group)?;
        }
        Ok(Self { file: file.into(), from: 0, in_memory: true })
    }

    /// From the present end of a log, if we may read it.
    pub fn of_log(log: &LogFile) -> Option<Self> {
        let file =
            OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(&log.path).ok()?;
        let status = file.metadata().ok()?;
        status.is_file().then(|| Self { from: status.len(), file, in_memory: false })
    }

    #[must_use]
    pub fn descriptor(&self) -> RawFd {
        self.file.as_raw_fd()
    }

    /// The last [`STDERR_KEPT`] bytes that were written since the start.
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

/// What a descriptor may be used for; None if it isn't open.
#[must_use]
pub fn access(number: RawFd) -> Option<&'static str> {
    match fd::status_flags(number).ok()? & libc::O_ACCMODE {
        libc::O_RDONLY => Some("read"),
        libc::O_WRONLY => Some("write"),
        _ => Some("both"),
    }
}
