//! Pid files.

use daemonic_core::pidfile::{self, Held, State};
use napi::bindgen_prelude::Either;
use napi_derive::napi;

use crate::refusal::{Answer, Refusal, answer, refusal};

/// A pid file that this process owns.
#[napi]
pub struct PidFile {
    held: Held,
}

#[napi(object)]
pub struct PidFileReport {
    #[napi(ts_type = "'absent' | 'free' | 'starting' | 'running'")]
    pub state: String,
    pub pid: Option<i32>,
    pub verified: bool,
}

#[napi]
impl PidFile {
    #[napi(getter, catch_unwind)]
    pub fn path(&self) -> String {
        self.held.path().to_string_lossy().into_owned()
    }

    #[napi(getter, catch_unwind)]
    pub fn held(&self) -> bool {
        self.held.is_held()
    }

    #[napi(catch_unwind)]
    pub fn is_intact(&self) -> bool {
        self.held.is_intact()
    }

    #[napi(catch_unwind)]
    pub fn started(&self) -> Option<Refusal> {
        refusal(self.held.started())
    }

    #[napi(catch_unwind)]
    pub fn assert_ownership(&self) -> Option<Refusal> {
        refusal(self.held.assert_ownership())
    }

    /// Removes the file and its companions, and unlocks.
    #[napi(catch_unwind)]
    pub fn release(&mut self, companions: Vec<String>) -> Option<Refusal> {
        let companions: Vec<_> = companions
            .iter()
            .filter_map(|path| pidfile::c_path(path.as_ref()).ok())
            .collect();
        refusal(self.held.release(&companions))
    }
}

impl PidFile {
    pub fn held_file(&self) -> &Held {
        &self.held
    }
}

impl From<Held> for PidFile {
    fn from(held: Held) -> Self {
        Self { held }
    }
}

/// Locks the file and writes our pid; it counts as starting until `started()`.
#[napi(catch_unwind)]
pub fn acquire_pid_file(path: String, mode: u32) -> Answer<PidFile> {
    answer(pidfile::claim(path.as_ref(), mode).and_then(pidfile::hold))
}

#[napi(catch_unwind)]
pub fn inspect_pid_file(path: String) -> Answer<PidFileReport> {
    match pidfile::inspect(path.as_ref()) {
        Ok(report) => Either::A(PidFileReport {
            state: match report.state {
                State::Absent => "absent",
                State::Free => "free",
                State::Starting => "starting",
                State::Running => "running",
            }
            .to_owned(),
            pid: report.pid,
            verified: report.verified,
        }),
        Err(error) => Either::B(error.into()),
    }
}
