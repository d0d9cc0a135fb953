//! Pid files.

use std::cell::RefCell;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use daemonic_core::pidfile::{self, Held, PidFileState, Waiting};
use napi::Env;
use napi::bindgen_prelude::{Either, Either3, Null, Object};
use napi_derive::napi;

use crate::refusal::{Answer, Refusal, answer, refusal};

/// Pid file that this process owns.
#[napi]
pub struct PidFile {
    held: Held,
}

/// Report of what the locks and the text of a pid file say.
#[napi(object)]
pub struct PidFileReport {
    #[napi(ts_type = "'absent' | 'free' | 'starting' | 'running'")]
    pub state: String,
    pub pid: Option<i32>,
    /// Whether the kernel named the owner, not only the file's text.
    pub verified: bool,
}

#[napi]
impl PidFile {
    /// Path by which it was locked.
    #[napi(getter, catch_unwind)]
    pub fn path(&self) -> String {
        self.held.path().to_string_lossy().into_owned()
    }

    /// Whether it has not been released yet.
    #[napi(getter, catch_unwind)]
    pub fn held(&self) -> bool {
        self.held.is_held()
    }

    /// Whether the path still names this file.
    #[napi(catch_unwind)]
    pub fn is_intact(&self) -> bool {
        self.held.is_intact()
    }

    /// Marks the start as completed, for those who wait for it.
    #[napi(catch_unwind)]
    pub fn started(&self) -> Option<Refusal> {
        refusal(self.held.mark_started())
    }

    /// Announces that this process is stopping: whoever wants a daemon waits for the next one.
    #[napi(catch_unwind)]
    pub fn ending(&self) {
        self.held.mark_ending();
    }

    /// Takes byte 0 again, in case other code of this process closed a descriptor of the file.
    #[napi(catch_unwind)]
    pub fn assert_ownership(&self) {
        self.held.assert_ownership();
    }

    /// Removes the file and its companions, and unlocks it: at once, or with `untilExit` when the process exits.
    #[napi(catch_unwind)]
    pub fn release(&mut self, companions: Vec<String>, until_exit: bool) -> Option<Refusal> {
        refusal(self.held.release(&companions, until_exit))
    }
}

impl PidFile {
    /// Returns the core's side of this object.
    pub fn held_file(&self) -> &Held {
        &self.held
    }
}

impl From<Held> for PidFile {
    fn from(held: Held) -> Self {
        Self { held }
    }
}

/// Locks the file and writes this process's pid into it. The file counts as starting until `started()`.
#[napi(catch_unwind)]
pub fn acquire_pid_file(path: String, mode: u32, overwrite: bool) -> Answer<PidFile> {
    answer(pidfile::acquire(path.as_ref(), mode, overwrite))
}

/// Tells the state of a pid file, without changing it.
#[napi(catch_unwind)]
pub fn inspect_pid_file(path: String) -> Answer<PidFileReport> {
    match pidfile::inspect(path.as_ref()) {
        Ok(report) => Either::A(PidFileReport {
            state: match report.state {
                PidFileState::Absent => "absent",
                PidFileState::Free => "free",
                PidFileState::Starting => "starting",
                PidFileState::Running => "running",
            }
            .to_owned(),
            pid: report.pid,
            verified: report.verified,
        }),
        Err(error) => Either::B(error.into()),
    }
}

/// Tells whether the owner of a pid file has announced its exit.
#[napi(catch_unwind)]
pub fn is_ending(path: String) -> bool {
    pidfile::is_ending(path.as_ref())
}

/// Finds a live process that an unlocked pid file names: another system's daemon, perhaps.
#[napi(catch_unwind)]
pub fn named_process(path: String) -> Option<i32> {
    pidfile::named_process(path.as_ref())
}

/// Wait for a pid file, in a thread of its own.
#[napi]
#[derive(Default)]
pub struct PidFileWait {
    waiting: Arc<Wait>,
}

/// Wait under way; None before it is started, and after it is cancelled.
type Wait = Mutex<Option<Waiting>>;

#[napi]
impl PidFileWait {
    /// Prepares a wait.
    #[napi(constructor, catch_unwind)]
    pub fn new() -> Self {
        Self::default()
    }

    /// Resolves with the file, with the reason why it can't be locked, or with null after `cancel()`. Call it once.
    #[napi(catch_unwind, ts_return_type = "Promise<PidFile | Refusal | null>")]
    pub fn start<'env>(&mut self, env: &'env Env, path: String, mode: u32) -> napi::Result<Object<'env>> {
        let (deferred, promise) = env.create_deferred()?;
        cancel_with(*env, &self.waiting)?;
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

    /// Resolves with true once the owner of the file is neither starting nor stopping, with the reason why that can't
    /// be known, or with null after `cancel()`. Call it once.
    #[napi(catch_unwind, ts_return_type = "Promise<true | Refusal | null>")]
    pub fn settled<'env>(&mut self, env: &'env Env, path: String) -> napi::Result<Object<'env>> {
        let (deferred, promise) = env.create_deferred()?;
        cancel_with(*env, &self.waiting)?;
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

    /// Cancels the wait. When this returns, the wait has either succeeded, which the promise tells, or never will.
    #[napi(catch_unwind)]
    pub fn cancel(&mut self) {
        cancel(&self.waiting);
    }
}

/// Cancels a wait, if it was started.
fn cancel(waiting: &Wait) {
    drop(waiting.lock().unwrap_or_else(PoisonError::into_inner).take());
}

thread_local! {
    /// Waits of this thread's environment (each worker thread has its own); None until a cleanup hook is registered.
    static WAITS: RefCell<Option<Vec<Weak<Wait>>>> = const { RefCell::new(None) };
}

/// Has the wait cancelled when its environment goes, since its thread must not call into that environment afterwards.
fn cancel_with(env: Env, waiting: &Arc<Wait>) -> napi::Result<()> {
    WAITS.with_borrow_mut(|known| {
        if known.is_none() {
            env.add_env_cleanup_hook((), |()| {
                let waits = WAITS.take().unwrap_or_default();
                waits.iter().filter_map(Weak::upgrade).for_each(|each| cancel(&each));
            })?;
        }
        let waits = known.get_or_insert_default();
        waits.retain(|each| each.strong_count() > 0);
        waits.push(Arc::downgrade(waiting));
        Ok(())
    })
}
