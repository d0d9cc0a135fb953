//! Signals that the program maps by its `signals` option. A signal that it maps is the program's: what the supervisor does
//! by default with it gives way.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::policy::signal_name;

/// Signals with a default meaning for the supervisor: the log says that the program takes them.
const WITH_DEFAULT: [i32; 7] =
    [libc::SIGHUP, libc::SIGINT, libc::SIGQUIT, libc::SIGUSR1, libc::SIGUSR2, libc::SIGTTIN, libc::SIGTTOU];
/// Signals that the supervisor sends for itself, or that are always a stop.
const NEVER_MAPPED: [i32; 4] = [libc::SIGTERM, libc::SIGKILL, libc::SIGABRT, libc::SIGCHLD];

/// What the supervisor does with a mapped signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Share {
    Stop,
    Reload,
    ReopenLogs,
    /// Every worker gets it, once it is ready.
    PassOn,
}

/// What the program maps, by the numbers of the signals.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MappedSignals(BTreeMap<i32, Share>);

impl MappedSignals {
    /// What to do with a signal; None where the program doesn't map it.
    pub fn share(&self, signal: i32) -> Option<Share> {
        self.0.get(&signal).copied().filter(|_| !NEVER_MAPPED.contains(&signal))
    }

    /// Whether every worker gets the signal over its channel.
    pub fn is_passed_on(&self, signal: i32) -> bool {
        self.share(signal) == Some(Share::PassOn)
    }

    /// The numbers of the signals.
    pub fn numbers(&self) -> impl Iterator<Item = i32> {
        self.0.keys().copied().filter(|number| !NEVER_MAPPED.contains(number))
    }

    /// Says which signals no longer mean what they mean to a supervisor; None if all do.
    pub fn description(&self) -> Option<String> {
        let taken: Vec<_> =
            self.numbers().filter(|number| WITH_DEFAULT.contains(number) && self.is_passed_on(*number)).collect();
        let names: Vec<_> = taken.into_iter().map(signal_name).collect();
        (!names.is_empty()).then(|| format!("passed on to the program, which maps them: {}", names.join(", ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mapped(text: &str) -> MappedSignals {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn what_the_program_maps_is_its_own_but_for_a_stop() {
        let signals = mapped(r#"{"1":"pass-on","2":"stop","10":"reload","15":"pass-on"}"#);
        assert!(signals.is_passed_on(libc::SIGHUP));
        assert_eq!(signals.share(libc::SIGINT), Some(Share::Stop));
        assert_eq!(signals.share(libc::SIGTERM), None);
        assert_eq!(signals.share(libc::SIGUSR2), None);
        assert_eq!(signals.description().unwrap(), "passed on to the program, which maps them: SIGHUP");
    }

    #[test]
    fn nothing_is_said_where_the_supervisor_keeps_its_own() {
        assert_eq!(mapped(r#"{"2":"stop","14":"pass-on"}"#).description(), None);
    }
}
