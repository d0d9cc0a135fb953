//! When a worker that has exited is started again, and after how long: a decision only, which touches no process.

use serde::{Deserialize, Serialize};

use crate::clock::Millis;

/// Milliseconds that the supervisor pauses after the second failure in a row; each further pause is twice as long.
const FIRST_RESTART_DELAY: Millis = 100;

/// Signals by which a program is killed for an error or for passing a limit: the list of systemd.service(5) and of Open
/// vSwitch. SIGKILL is among them, since a kernel short of memory sends it; a stopping supervisor, which sends it as
/// well, restarts nothing.
pub const ERROR_SIGNALS: [i32; 10] = [
    libc::SIGABRT,
    libc::SIGALRM,
    libc::SIGBUS,
    libc::SIGFPE,
    libc::SIGILL,
    libc::SIGKILL,
    libc::SIGPIPE,
    libc::SIGSEGV,
    libc::SIGXCPU,
    libc::SIGXFSZ,
];

/// After which exits a worker is started again, by the words of systemd.service(5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Restart {
    No,
    OnAbnormal,
    OnFailure,
    Always,
}

/// Who a Node.js program is from its exec to its call of daemonize().
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StartAs {
    /// The user that it takes.
    User,
    /// Root, if the supervisor is.
    Root,
}

/// How a reload has new workers take over from old ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reload {
    /// By a successor beside each, unless the workers bind their own port: then a reload is refused.
    Auto,
    /// By a successor beside each, whatever the workers bind.
    RollOver,
    /// By one that starts when its predecessor has exited.
    Restart,
}

/// The `monitor` and `workers` options.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Supervision {
    /// The number of workers at the start.
    pub workers: usize,
    /// Whether their number may change.
    pub scalable: bool,
    pub restart: Restart,
    /// The longest pause before a restart.
    pub max_delay: Millis,
    /// A worker that has run for so long has its count of failures, and so the pause, reset.
    pub steady_after: Millis,
    /// A worker whose event loop has not turned for so long hangs.
    pub watchdog: Option<Millis>,
    /// After so many failures in a row of one worker the supervisor gives up.
    pub max_failures: Option<u32>,
    /// Bytes of resident memory; a worker that has more is replaced.
    pub max_memory: Option<u64>,
    /// How long the first new worker of a reload serves beside the old ones, before the first of these is asked to stop.
    pub settle: Millis,
    /// Whether a worker's process group ends with the worker.
    pub kill_tree: bool,
    pub reload: Reload,
    /// Signal that has the program itself reload: then a reload sends it, and replaces no worker.
    pub reload_signal: Option<i32>,
    pub start_as: StartAs,
}

/// How a process exited or was killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Exit {
    Code(i32),
    Signal { number: i32, core_dumped: bool },
}

/// Why the supervisor kills a worker, or asks it to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    /// The event loop has not turned within the watchdog's limit.
    Hung,
    /// The resident memory has passed maxMemory.
    TooLarge,
    /// It was not ready within startTimeout.
    Late,
}

impl Exit {
    /// Reads a status of wait(2).
    pub fn of(status: i32) -> Self {
        if libc::WIFEXITED(status) {
            Self::Code(libc::WEXITSTATUS(status))
        } else {
            Self::Signal { number: libc::WTERMSIG(status), core_dumped: libc::WCOREDUMP(status) }
        }
    }

    /// The exit code as a shell gives it: 128 + N for signal N.
    pub fn code(self) -> i32 {
        match self {
            Self::Code(code) => code,
            Self::Signal { number, .. } => 128 + number,
        }
    }

    /// Whether the kernel wrote a core file.
    pub fn dumped_core(self) -> bool {
        matches!(self, Self::Signal { core_dumped: true, .. })
    }
}

impl std::fmt::Display for Exit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Code(code) => write!(f, "ended with {code}"),
            Self::Signal { number, core_dumped } => {
                let core = if *core_dumped { ", core dumped" } else { "" };
                write!(f, "killed by {}{core}", signal_name(*number))
            }
        }
    }
}

/// The name of a signal, such as SIGTERM; `signal N` where it has none.
pub fn signal_name(number: i32) -> String {
    nix::sys::signal::Signal::try_from(number).map_or_else(|_| format!("signal {number}"), |signal| signal.to_string())
}

impl Supervision {
    /// Whether a worker that exited like this is started again; `failed_to_start`: before it was ready.
    pub fn restarts(&self, exit: Exit, verdict: Option<Verdict>, failed_to_start: bool) -> bool {
        match self.restart {
            Restart::No => false,
            Restart::Always => true,
            Restart::OnAbnormal => is_error(exit, verdict),
            Restart::OnFailure => is_failure(exit, verdict, failed_to_start),
        }
    }

    /// Milliseconds to wait for the restart after this many failures in a row: none after the first.
    pub fn delay(&self, failures: u32) -> Millis {
        match failures {
            0 | 1 => 0,
            _ => FIRST_RESTART_DELAY.saturating_mul(1 << (failures - 2).min(32)).min(self.max_delay),
        }
    }
}

/// Whether a worker that exited like this has failed; `failed_to_start`: before it was ready.
pub fn is_failure(exit: Exit, verdict: Option<Verdict>, failed_to_start: bool) -> bool {
    is_error(exit, verdict) || failed_to_start || matches!(exit, Exit::Code(1..))
}

fn is_error(exit: Exit, verdict: Option<Verdict>) -> bool {
    verdict.is_some() || matches!(exit, Exit::Signal { number, .. } if ERROR_SIGNALS.contains(&number))
}

#[cfg(test)]
pub mod tests {
    use super::*;

    pub fn supervision(restart: Restart) -> Supervision {
        Supervision {
            workers: 1,
            scalable: false,
            restart,
            max_delay: 10_000,
            steady_after: 10_000,
            watchdog: None,
            max_failures: None,
            max_memory: None,
            settle: 0,
            kill_tree: true,
            reload: Reload::Auto,
            reload_signal: None,
            start_as: StartAs::User,
        }
    }

    #[test]
    fn the_words_mean_what_systemd_says() {
        let signal = |number| Exit::Signal { number, core_dumped: false };
        let cases = [
            (Exit::Code(0), None, [false, false, false, true]),
            (Exit::Code(3), None, [false, false, true, true]),
            (signal(libc::SIGSEGV), None, [false, true, true, true]),
            (signal(libc::SIGKILL), None, [false, true, true, true]),
            (signal(libc::SIGTERM), None, [false, false, false, true]),
            (signal(libc::SIGHUP), None, [false, false, false, true]),
            (signal(libc::SIGTERM), Some(Verdict::TooLarge), [false, true, true, true]),
            (Exit::Code(0), Some(Verdict::Hung), [false, true, true, true]),
        ];
        for (exit, verdict, expected) in cases {
            let restarts = |word| supervision(word).restarts(exit, verdict, false);
            let words = [Restart::No, Restart::OnAbnormal, Restart::OnFailure, Restart::Always];
            assert_eq!(words.map(restarts), expected, "{exit} {verdict:?}");
        }
    }

    #[test]
    fn an_exit_before_readiness_is_a_failure_whatever_its_code() {
        let words = [Restart::No, Restart::OnAbnormal, Restart::OnFailure, Restart::Always];
        let restarts = |word| supervision(word).restarts(Exit::Code(0), None, true);
        assert_eq!(words.map(restarts), [false, false, true, true]);
    }

    #[test]
    fn the_first_restart_is_at_once_and_each_pause_twice_as_long_up_to_the_longest() {
        let all = supervision(Restart::Always);
        let delays: Vec<_> = (1..=10).map(|failures| all.delay(failures)).collect();
        assert_eq!(delays, [0, 100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000]);
        assert_eq!(all.delay(u32::MAX), 10_000);
    }

    #[test]
    fn an_exit_reads_as_a_person_would_say_it() {
        assert_eq!(Exit::of(3 << 8).to_string(), "ended with 3");
        assert_eq!(Exit::of(libc::SIGSEGV | 0x80).to_string(), "killed by SIGSEGV, core dumped");
        assert_eq!(Exit::of(libc::SIGKILL).code(), 137);
    }
}
