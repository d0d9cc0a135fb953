//! When a worker that has ended is started again, and after how long. Numbers and words; no process is touched here.

use serde::{Deserialize, Serialize};

/// Milliseconds on the monotonic clock, or between two points of it.
pub type Millis = u64;

/// The pause after the second failure in a row; each next one is twice as long.
const FIRST_DELAY: Millis = 100;

/// Signals that tell of an error in the program, or of a limit that it passed: systemd.service(5) and Open vSwitch have
/// these. KILL, which nobody sends but the kernel short of memory or a person, is one unless it was us.
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

/// systemd's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Restart {
    No,
    OnAbnormal,
    OnFailure,
    Always,
}

/// The `monitor` and `workers` options.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Supervision {
    /// How many at the start.
    pub workers: usize,
    /// Whether their number may change.
    pub scalable: bool,
    pub restart: Restart,
    pub max_delay: Millis,
    /// A run of this length resets delay and count.
    pub steady_after: Millis,
    pub watchdog: Option<Millis>,
    pub max_failures: Option<u32>,
    /// Bytes.
    pub max_memory: Option<u64>,
    pub kill_tree: bool,
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Exit {
    Code(i32),
    Signal { number: i32, core_dumped: bool },
}

/// Why we ended a worker ourselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    /// Its event loop didn't turn.
    Hung,
    TooLarge,
    /// It was not ready in time.
    Late,
}

impl Exit {
    /// Of wait(2)'s status.
    pub fn of(status: i32) -> Self {
        if libc::WIFEXITED(status) {
            Self::Code(libc::WEXITSTATUS(status))
        } else {
            Self::Signal { number: libc::WTERMSIG(status), core_dumped: libc::WCOREDUMP(status) }
        }
    }

    /// What a shell would call it: 128 + N for signal N.
    pub fn code(self) -> i32 {
        match self {
            Self::Code(code) => code,
            Self::Signal { number, .. } => 128 + number,
        }
    }

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

pub fn signal_name(number: i32) -> String {
    nix::sys::signal::Signal::try_from(number).map_or_else(|_| format!("signal {number}"), |signal| signal.to_string())
}

impl Supervision {
    /// Whether a worker that ended so is started again.
    pub fn restarts(&self, exit: Exit, verdict: Option<Verdict>) -> bool {
        let is_error =
            verdict.is_some() || matches!(exit, Exit::Signal { number, .. } if ERROR_SIGNALS.contains(&number));
        match self.restart {
            Restart::No => false,
            Restart::Always => true,
            Restart::OnAbnormal => is_error,
            Restart::OnFailure => is_error || matches!(exit, Exit::Code(1..)),
        }
    }

    /// The pause before the start that follows this many failures in a row: none after the first.
    pub fn delay(&self, failures: u32) -> Millis {
        match failures {
            0 | 1 => 0,
            _ => FIRST_DELAY.saturating_mul(1 << (failures - 2).min(32)).min(self.max_delay),
        }
    }
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
            kill_tree: false,
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
            let words = [Restart::No, Restart::OnAbnormal, Restart::OnFailure, Restart::Always];
            assert_eq!(words.map(|word| supervision(word).restarts(exit, verdict)), expected, "{exit} {verdict:?}");
        }
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
