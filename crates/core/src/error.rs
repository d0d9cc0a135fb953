//! Errors: step, system call, errno and path, from the place of the failure to the message that a person reads.

use std::fmt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;

/// Result of a call of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a call failed. Each variant is an error class of the TypeScript side.
#[derive(Debug)]
pub enum Error {
    /// A system call failed.
    System(Failure),
    /// The pid file is locked by a running (or starting) daemon.
    Running {
        /// The pid file.
        path: PathBuf,
        /// Pid of the process, where the kernel says it.
        pid: Option<i32>,
    },
    /// Another process has a read lock on the byte that excludes a second daemon.
    Blocked {
        /// The pid file.
        path: PathBuf,
        /// Pid of the process, where the kernel says it.
        pid: Option<i32>,
    },
    /// No process locks the pid file.
    NotRunning {
        /// The pid file.
        path: PathBuf,
    },
    /// The pid file is locked, but the kernel doesn't confirm by which process: none may be signalled.
    Unverified {
        /// The pid file.
        path: PathBuf,
        /// Pid that the text of the file says.
        pid: Option<i32>,
        /// Why the kernel doesn't confirm it.
        reason: &'static str,
    },
}

/// System call that failed, at a named step of the work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Step of the work.
    pub step: Step,
    /// System call that failed.
    pub syscall: &'static str,
    /// Error that it gave.
    pub errno: Errno,
    /// File that it was about.
    pub path: Option<PathBuf>,
    /// What a person needs to know beyond that.
    pub detail: Option<String>,
}

macro_rules! steps {
    ($($variant:ident = $name:literal,)*) => {
        /// Named steps of the work. The TypeScript side says for each of them what could not be done.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[repr(u8)]
        pub enum Step { $(#[doc = concat!("The step “", $name, "”.")] $variant,)* }

        impl Step {
            const ALL: &'static [(Step, &'static str)] = &[$((Step::$variant, $name),)*];

            /// The name of the step, as the TypeScript side knows it.
            #[must_use]
            pub fn name(self) -> &'static str {
                Self::ALL[self as usize].1
            }

            /// Lists the names of all steps.
            pub fn names() -> impl Iterator<Item = &'static str> {
                Self::ALL.iter().map(|&(_, name)| name)
            }

            /// Finds a step by its number, as which it crosses the channel.
            #[must_use]
            pub fn from_number(number: usize) -> Option<Step> {
                Self::ALL.get(number).map(|&(step, _)| step)
            }

            /// Finds a step by its name.
            #[must_use]
            pub fn from_name(name: &str) -> Option<Step> {
                Self::ALL.iter().find(|&&(_, each)| each == name).map(|&(step, _)| step)
            }
        }
    };
}

steps! {
    FirstFork = "first fork",
    Executable = "executable",
    SecondFork = "second fork",
    Setsid = "setsid",
    Sigprocmask = "sigprocmask",
    Chdir = "chdir",
    Chroot = "chroot",
    Umask = "umask",
    Setgroups = "setgroups",
    Setgid = "setgid",
    Setuid = "setuid",
    Limits = "limits",
    Nice = "nice",
    IoPriority = "io priority",
    OomScoreAdjust = "oom score",
    NoNewPrivileges = "no new privileges",
    Close = "close",
    Dup2 = "dup2",
    PidFileCreate = "pid file create",
    PidFileLock = "pid file lock",
    PidFileWrite = "pid file write",
    PidFileRelease = "pid file release",
    Stdin = "stdin",
    Log = "log",
    Listen = "listen",
    Channel = "channel",
    Exec = "exec",
    Signal = "signal",
    Process = "process",
    Control = "control",
}

impl Step {
    /// Names the system call that fails at this step, for a failure of which only step and errno crossed the channel.
    #[must_use]
    pub fn syscall(self) -> &'static str {
        match self {
            Self::FirstFork | Self::Executable => "posix_spawn",
            Self::SecondFork => "fork",
            Self::Setsid => "setsid",
            Self::Sigprocmask => "sigprocmask",
            Self::Chdir => "chdir",
            Self::Chroot => "chroot",
            Self::Umask => "umask",
            Self::Setgroups => "setgroups",
            Self::Setgid => "setgid",
            Self::Setuid => "setuid",
            Self::Limits => "setrlimit",
            Self::Nice => "setpriority",
            Self::IoPriority => "ioprio_set",
            Self::Close => "close_range",
            Self::Dup2 => "dup2",
            Self::PidFileWrite | Self::OomScoreAdjust => "write",
            Self::PidFileLock => "fcntl",
            Self::PidFileRelease => "unlink",
            Self::PidFileCreate | Self::Stdin | Self::Log => "open",
            Self::Listen => "bind",
            Self::Channel => "socketpair",
            Self::Control => "connect",
            Self::Exec => "execve",
            Self::Signal => "sigaction",
            Self::Process | Self::NoNewPrivileges => "prctl",
        }
    }
}

impl Failure {
    /// Describes a failed system call.
    #[must_use]
    pub fn new(step: Step, syscall: &'static str, errno: Errno) -> Self {
        Self { step, syscall, errno, path: None, detail: None }
    }

    /// Reads a failure as it crosses a channel: `step errno [path]`. Its writer may be a program that is not trusted, so
    /// that the path keeps no control characters.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut words = text.splitn(3, ' ');
        let step = Step::from_number(words.next()?.parse().ok()?)?;
        let errno = Errno::from_raw(words.next()?.parse().ok()?);
        let failure = Self::new(step, step.syscall(), errno);
        Some(match words.next() {
            Some(path) => failure.at(path.replace(char::is_control, "?")),
            None => failure,
        })
    }

    /// Adds the path of the file that the call was about.
    #[must_use]
    pub fn at(mut self, path: impl AsRef<Path>) -> Self {
        self.path = Some(path.as_ref().to_owned());
        self
    }

    /// Adds what a person needs to know beyond the errno.
    #[must_use]
    pub fn because(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: {}", self.step.name(), self.syscall)?;
        if let Some(path) = &self.path {
            write!(out, " {}", path.display())?;
        }
        write!(out, ": {}", self.errno.desc())?;
        self.detail.as_ref().map_or(Ok(()), |detail| write!(out, " ({detail})"))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let by = |pid: &Option<i32>| pid.map_or_else(|| "a process".to_owned(), |pid| format!("process {pid}"));
        match self {
            Self::System(failure) => failure.fmt(out),
            Self::Running { path, pid } => write!(out, "{} is locked by {}", path.display(), by(pid)),
            Self::Blocked { path, pid } => write!(out, "{} is read-locked by {}", path.display(), by(pid)),
            Self::NotRunning { path } => write!(out, "no process locks {}", path.display()),
            Self::Unverified { path, reason, .. } => {
                write!(out, "the owner of {} is not known: {reason}", path.display())
            }
        }
    }
}

impl std::error::Error for Failure {}
impl std::error::Error for Error {}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        Self::System(failure)
    }
}

/// Adds step and system call to an errno: `open(…).during(Step::Log, "open")?`.
pub trait During<T> {
    /// Turns an errno into a [`Failure`].
    fn during(self, step: Step, syscall: &'static str) -> std::result::Result<T, Failure>;
}

impl<T> During<T> for nix::Result<T> {
    fn during(self, step: Step, syscall: &'static str) -> std::result::Result<T, Failure> {
        self.map_err(|errno| Failure::new(step, syscall, errno))
    }
}

/// Returns the errno of an error of the standard library; EINVAL if it has none.
#[must_use]
pub fn errno_of(error: &std::io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::EINVAL, Errno::from_raw)
}
