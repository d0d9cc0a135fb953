//! Pid files.

use std::cell::RefCell;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use daemonic_core::pidfile::{self, Held, State, Waiting};
use napi::Env;
use napi::bindgen_prelude::{Either, Either3, Null, Object};
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
    pub fn ending(&self) {
        self.held.ending();
    }

    #[napi(catch_unwind)]
    pub fn assert_ownership(&self) -> Option<Refusal> {
        refusal(self.held.assert_ownership())
    }

    /// Removes the file and its companions, and unlocks: now, or with the end of the process.
    #[napi(catch_unwind)]
    pub fn release(&mut self, companions: Vec<String>, ending: bool) -> Option<Refusal> {
        let companions: Vec<_> = companions.iter().filter_map(|path| pidfile::c_path(path.as_ref()).ok()).collect();
        refusal(self.held.release(&companions, ending))
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
pub fn acquire_pid_file(path: String, mode: u32, overwrite: bool) -> Answer<PidFile> {
    answer(pidfile::acquire(path.as_ref(), mode, overwrite))
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

/// A wait for a pid file, in a thread of its own.
#[napi]
#[derive(Default)]
pub struct PidFileWait {
    waiting: Arc<Wait>,
}

/// None before it was started, and after it was cancelled.
type Wait = Mutex<Option<Waiting>>;

#[napi]
impl PidFileWait {
    #[napi(constructor, catch_unwind)]
    pub fn new() -> Self {
        Self::default()
    }

    /// Resolves with the file, why it can't be had, or null after `cancel()`. Call it once.
    #[napi(catch_unwind, ts_return_type = "Promise<PidFile | Refusal | null>")]
    pub fn start<'env>(&mut self, env: &'env Env, path: String, mode: u32) -> napi::Result<Object<'env>> {
        let (deferred, promise) = env.create_deferred()?;
        cancel_at_end_of(*env, &self.waiting)?;
        let waiting = Waiting::start(path.into(), mode, move |result| {
            deferred.resolve(move |_| {
                Ok(match result {
                    Ok(None) => Either3::C(Null),
                    Ok(Some(held)) => Either3::A(PidFile::from(held)),
                    Err(error) => Either3::B(Refusal::from(error)),
                })
            });
        });
        *self.waiting.lock().unwrap_or_else(PoisonError::into_inner) = Some(waiting);
        Ok(promise)
    }

    /// Resolves once the owner of the file neither starts nor ends: true, or why that can't be known, or null after
    /// `cancel()`. Call it once.
    #[napi(catch_unwind, ts_return_type = "Promise<true | Refusal | null>")]
    pub fn settled<'env>(&mut self, env: &'env Env, path: String) -> napi::Result<Object<'env>> {
        let (deferred, promise) = env.create_deferred()?;
        cancel_at_end_of(*env, &self.waiting)?;
        let waiting = Waiting::until_settled(path.into(), move |result| {
            deferred.resolve(move |_| {
                Ok(match result {
                    Ok(true) => Either3::A(true),
                    Ok(false) => Either3::C(Null),
                    Err(error) => Either3::B(Refusal::from(error)),
                })
            });
        });
        *self.waiting.lock().unwrap_or_else(PoisonError::into_inner) = Some(waiting);
        Ok(promise)
    }

    /// When this returns, the wait has been won or never will be: the promise tells.
    #[napi(catch_unwind)]
    pub fn cancel(&mut self) {
        end(&self.waiting);
    }
}

fn end(waiting: &Wait) {
    drop(waiting.lock().unwrap_or_else(PoisonError::into_inner).take());
}

thread_local! {
    /// The waits of this thread's environment (a worker thread has its own), once its end is hooked.
    static WAITS: RefCell<Option<Vec<Weak<Wait>>>> = const { RefCell::new(None) };
}

/// No thread of ours may call into an environment that is gone.
fn cancel_at_end_of(env: Env, waiting: &Arc<Wait>) -> napi::Result<()> {
    WAITS.with_borrow_mut(|known| {
        if known.is_none() {
            env.add_env_cleanup_hook((), |()| {
                let waits = WAITS.take().unwrap_or_default();
                waits.iter().filter_map(Weak::upgrade).for_each(|each| end(&each));
            })?;
        }
        let waits = known.get_or_insert_default();
        waits.retain(|each| each.strong_count() > 0);
        waits.push(Arc::downgrade(waiting));
        Ok(())
    })
}
