//! Starts, from the launcher's side.

use std::os::unix::net::UnixStream;
use std::path::Path;

use daemonic_core::error::Result;
use daemonic_core::pending_start::{Outcome as CoreOutcome, PendingStart};
use daemonic_core::plan::Plan as CorePlan;
use daemonic_core::{launch, own_executable, takeover};
use napi::Env;
use napi::bindgen_prelude::{Function, Object};
use napi_derive::napi;

use crate::plan::Plan;
use crate::refusal::{Answer, Refusal, answer, milliseconds};

/// Opens daemonic's own executable for the life of this process: an upgrade of the package may replace it, and the new
/// one would not understand this addon. A failure shows at the first start.
#[napi(catch_unwind)]
pub fn keep_executable(path: String) {
    let _ = own_executable::open(Path::new(&path));
}

/// Starts the daemon and blocks until it is ready, or until it has exited and its files are removed. The timeout is in
/// milliseconds.
#[napi(catch_unwind)]
pub fn start(plan: Plan, timeout: f64) -> Answer<Launch> {
    answer(plan.try_into().and_then(|plan| launch_and_wait(&plan, timeout, None)))
}

fn launch_and_wait(plan: &CorePlan, timeout: f64, cancel: Option<UnixStream>) -> Result<Launch> {
    let mut start = launch::begin(plan, milliseconds(timeout))?;
    if let Some(cancel) = cancel {
        start.cancel_with(cancel.into());
    }
    let outcome = start.wait()?;
    let outcome = Outcome::of(outcome, &start);
    Ok(Launch { pid: start.pid(), addresses: start.addresses().to_vec(), outcome })
}

/// Executes the plan's supervisor in this very process, where nothing detaches. `bound` gets the addresses of its
/// sockets. Returns only if it fails.
#[napi(catch_unwind)]
pub fn execute_supervisor(plan: Plan, bound: Function<'_, Vec<String>, ()>) -> Refusal {
    let result = plan.try_into().and_then(|plan| {
        takeover::execute_supervisor(&plan, |addresses| {
            let _ = bound.call(addresses.to_vec());
        })
    });
    match result {
        Err(error) => error.into(),
    }
}

/// Daemon that was launched, and how its start went.
#[napi(object)]
pub struct Launch {
    pub pid: i32,
    /// Addresses of its sockets, in the plan's order.
    pub addresses: Vec<String>,
    pub outcome: Outcome,
}

/// Means to end a start of `launch()` before the daemon is ready. Dropping it ends the start, too.
#[napi]
pub struct StartCancel {
    ours: Option<UnixStream>,
    starts: Option<UnixStream>,
}

#[napi]
impl StartCancel {
    /// Prepares to cancel a start.
    #[napi(constructor, catch_unwind)]
    pub fn new() -> napi::Result<Self> {
        let (ours, starts) = UnixStream::pair()?;
        Ok(Self { ours: Some(ours), starts: Some(starts) })
    }

    /// Has the daemon killed, unless it is ready by now.
    #[napi(catch_unwind)]
    pub fn cancel(&mut self) {
        self.ours = None;
    }
}

/// Starts the daemon as `start()` does, but in a thread of its own, and resolves when it is done.
#[napi(catch_unwind, ts_return_type = "Promise<Launch | Refusal>")]
pub fn launch<'env>(
    env: &'env Env,
    plan: Plan,
    timeout: f64,
    cancel: Option<&mut StartCancel>,
) -> napi::Result<Object<'env>> {
    let (deferred, promise) = env.create_deferred()?;
    let cancel = cancel.and_then(|cancel| cancel.starts.take());
    // Converted in this thread, which alone may read the environment: JavaScript may be changing it meanwhile.
    let plan = plan.try_into();
    std::thread::spawn(move || {
        let launched = plan.and_then(|plan| launch_and_wait(&plan, timeout, cancel));
        deferred.resolve(move |_| {
            let launched: Answer<Launch> = answer(launched);
            Ok(launched)
        });
    });
    Ok(promise)
}

/// Result of a start.
#[napi(object)]
pub struct Outcome {
    #[napi(ts_type = "'ready' | 'ended' | 'timeout' | 'interrupted' | 'cancelled' | 'lost'")]
    pub kind: String,
    pub exit_code: Option<i32>,
    pub signal: Option<String>,
    pub stderr: String,
    /// What the daemon waited for, with 'timeout', where it said so.
    pub waiting: Option<String>,
    /// Pids of processes that the last daemon, which was killed, may have left, and that go on.
    pub in_the_way: Vec<i32>,
}

impl Outcome {
    fn of_kind(kind: &str) -> Self {
        let kind = kind.to_owned();
        Self { kind, exit_code: None, signal: None, stderr: String::new(), waiting: None, in_the_way: Vec::new() }
    }

    fn of(outcome: CoreOutcome, start: &PendingStart) -> Self {
        Self { in_the_way: start.in_the_way().to_vec(), ..outcome.into() }
    }
}

impl From<CoreOutcome> for Outcome {
    fn from(outcome: CoreOutcome) -> Self {
        match outcome {
            CoreOutcome::Ready => Self::of_kind("ready"),
            CoreOutcome::Ended { code, signal, stderr } => Self {
                exit_code: code,
                signal: signal.map(|signal| signal.as_str().to_owned()),
                stderr,
                ..Self::of_kind("ended")
            },
            CoreOutcome::TimedOut { stderr, waiting } => Self { stderr, waiting, ..Self::of_kind("timeout") },
            CoreOutcome::Cancelled => Self::of_kind("cancelled"),
            CoreOutcome::Interrupted(signal) => {
                Self { signal: Some(signal.as_str().to_owned()), ..Self::of_kind("interrupted") }
            }
            CoreOutcome::MiddleLost { stderr } => Self { stderr, ..Self::of_kind("lost") },
        }
    }
}
