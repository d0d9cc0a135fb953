//! What can go wrong, told from the place where it happened to the message that a person reads.

use std::path::{Path, PathBuf};

use nix::errno::Errno;

pub type Result<T> = std::result::Result<T, Error>;

#[derive(Debug)]
pub enum Error {
    System(Failure),
    /// The pid file is locked by a running (or starting) daemon.
    Running {
        path: PathBuf,
        pid: Option<i32>,
    },
    /// A foreign read lock covers the byte that excludes a second daemon.
    Blocked {
        path: PathBuf,
        pid: Option<i32>,
    },
    NotRunning {
        path: PathBuf,
    },
    /// Locked, but the kernel doesn't confirm by whom: nothing may be signalled.
    Unverified {
        path: PathBuf,
        pid: Option<i32>,
        reason: &'static str,
    },
}

/// A system call that failed, at a named step of the work.
#[derive(Debug)]
pub struct Failure {
    pub step: Step,
    pub syscall: &'static str,
    pub errno: Errno,
    pub path: Option<PathBuf>,
    pub detail: Option<String>,
}

macro_rules! steps {
    ($($variant:ident = $name:literal,)*) => {
        /// The named steps of a start; they cross the channel as their number.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[repr(u8)]
        pub enum Step { $($variant,)* }

        impl Step {
            const ALL: &'static [(Step, &'static str)] = &[$((Step::$variant, $name),)*];

            #[must_use]
            pub fn name(self) -> &'static str {
                Self::ALL[self as usize].1
            }

            #[must_use]
            pub fn from_number(number: usize) -> Option<Step> {
                Self::ALL.get(number).map(|&(step, _)| step)
            }

            #[must_use]
            pub fn from_name(name: &str) -> Option<Step> {
                Self::ALL.iter().find(|&&(_, each)| each == name).map(|&(step, _)| step)
            }
        }
    };
}

steps! {
    FirstFork = "first fork",
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
    /// The system call that fails at this step, where only the step crossed the channel.
    #[must_use]
    pub fn syscall(self) -> &'static str {
        match self {
            Self::FirstFork | Self::SecondFork => "fork",
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
    #[must_use]
    pub fn new(step: Step, syscall: &'static str, errno: Errno) -> Self {
        Self { step, syscall, errno, path: None, detail: None }
    }

    #[must_use]
    pub fn at(mut self, path: impl AsRef<Path>) -> Self {
        self.path = Some(path.as_ref().to_owned());
        self
    }

    #[must_use]
    pub fn because(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        Self::System(failure)
    }
}

/// Names the step and the system call of an errno: `open(…).during(Step::Log, "open")?`.
pub trait During<T> {
    fn during(self, step: Step, syscall: &'static str) -> std::result::Result<T, Failure>;
}

impl<T> During<T> for nix::Result<T> {
    fn during(self, step: Step, syscall: &'static str) -> std::result::Result<T, Failure> {
        self.map_err(|errno| Failure::new(step, syscall, errno))
    }
}

#[must_use]
pub fn errno_of(error: &std::io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::EINVAL, Errno::from_raw)
}
