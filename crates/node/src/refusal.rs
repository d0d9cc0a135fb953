//! Errors as plain objects, which src/binding/addon.ts throws as error classes.

use daemonic_core::error::{Error, Result};
use napi::bindgen_prelude::Either;
use napi_derive::napi;

/// Reason why a call failed. `kind` says which error class it becomes; `system` has step, syscall and errno.
#[napi(object)]
pub struct Refusal {
    #[napi(ts_type = "'system' | 'running' | 'blocked' | 'not-running' | 'unverified'")]
    pub kind: String,
    pub path: Option<String>,
    pub pid: Option<i32>,
    pub step: Option<String>,
    pub syscall: Option<String>,
    pub errno: Option<i32>,
    pub detail: Option<String>,
}

/// Result of a function: the value, or why there is none.
pub type Answer<T> = Either<T, Refusal>;

/// Converts a result with a value.
pub fn answer<T, V: From<T>>(result: Result<T>) -> Answer<V> {
    match result {
        Ok(value) => Either::A(value.into()),
        Err(error) => Either::B(error.into()),
    }
}

/// Converts a result without a value: null is success.
pub fn refusal(result: Result<()>) -> Option<Refusal> {
    result.err().map(Refusal::from)
}

impl Refusal {
    /// Makes a refusal about a pid file.
    fn of(kind: &str, path: &std::path::Path, pid: Option<i32>) -> Self {
        Self {
            kind: kind.to_owned(),
            path: Some(path.to_string_lossy().into_owned()),
            pid,
            step: None,
            syscall: None,
            errno: None,
            detail: None,
        }
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        match error {
            Error::System(failure) => Self {
                kind: "system".to_owned(),
                path: failure.path.map(|path| path.to_string_lossy().into_owned()),
                pid: None,
                step: Some(failure.step.name().to_owned()),
                syscall: Some(failure.syscall.to_owned()),
                errno: Some(failure.errno as i32),
                detail: failure.detail,
            },
            Error::Running { path, pid } => Self::of("running", &path, pid),
            Error::Blocked { path, pid } => Self::of("blocked", &path, pid),
            Error::NotRunning { path } => Self::of("not-running", &path, None),
            Error::Unverified { path, pid, reason } => {
                Self { detail: Some(reason.to_owned()), ..Self::of("unverified", &path, pid) }
            }
        }
    }
}

/// Converts JavaScript's milliseconds; a number that is no duration means forever.
pub fn milliseconds(number: f64) -> std::time::Duration {
    std::time::Duration::try_from_secs_f64(number / 1000.0).unwrap_or(std::time::Duration::MAX)
}
