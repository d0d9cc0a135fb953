//! A start, from the launcher's side.

use daemonic_core::launch::begin as begin_start;
use daemonic_core::starting::{Outcome as CoreOutcome, Starting};
use daemonic_core::takeover::become_supervisor as become_core_supervisor;
use napi::Env;
use napi::bindgen_prelude::{Either, Function, Object};
use napi_derive::napi;

use crate::plan::Plan;
use crate::refusal::{Answer, Refusal, answer, milliseconds};

/// Forks; the daemon has a pid when this returns, and is not ready yet.
#[napi(catch_unwind)]
pub fn begin(plan: Plan) -> Answer<Start> {
    match plan.try_into().and_then(|plan| begin_start(&plan)) {
        Ok(starting) => Either::A(Start { starting: Some(starting) }),
        Err(error) => Either::B(Refusal::from(error)),
    }
}

/// Where nothing detaches: the plan's supervisor takes this process. `bound` gets the addresses of its sockets. Returns
/// only if it fails.
#[napi(catch_unwind)]
pub fn become_supervisor(plan: Plan, bound: Function<'_, Vec<String>, ()>) -> Refusal {
    let result = plan.try_into().and_then(|plan| {
        become_core_supervisor(&plan, |addresses| {
            let _ = bound.call(addresses.to_vec());
        })
    });
    match result {
        Err(error) => error.into(),
    }
}

#[napi(object)]
pub struct Launch {
    pub pid: i32,
    /// Where its sockets listen, in the plan's order.
    pub addresses: Vec<String>,
    pub outcome: Outcome,
}

/// Starts the daemon and waits until it is ready, or until it and what it left is gone, in a thread of its own.
/// Milliseconds.
#[napi(catch_unwind, ts_return_type = "Promise<Launch | Refusal>")]
pub fn launch(env: &Env, plan: Plan, timeout: f64) -> napi::Result<Object<'_>> {
    let (deferred, promise) = env.create_deferred()?;
    // Here, since only this thread may read the environment: others of ours may be changing it.
    let plan = plan.try_into();
    std::thread::spawn(move || {
        let launched = plan.and_then(|plan| {
            let mut starting = begin_start(&plan)?;
            let outcome = starting.wait(milliseconds(timeout))?;
            Ok(Launch { pid: starting.pid(), addresses: starting.addresses().to_vec(), outcome: outcome.into() })
        });
        deferred.resolve(move |_| {
            let launched: Answer<Launch> = answer(launched);
            Ok(launched)
        });
    });
    Ok(promise)
}

#[napi]
pub struct Start {
    starting: Option<Starting>,
}

#[napi(object)]
pub struct Outcome {
    #[napi(ts_type = "'ready' | 'ended' | 'timeout' | 'interrupted' | 'lost'")]
    pub kind: String,
    pub exit_code: Option<i32>,
    pub signal: Option<String>,
    pub stderr: String,
}

#[napi]
impl Start {
    #[napi(getter, catch_unwind)]
    pub fn pid(&self) -> i32 {
        self.starting.as_ref().map_or(0, Starting::pid)
    }

    /// Where its sockets listen, in the plan's order.
    #[napi(getter, catch_unwind)]
    pub fn addresses(&self) -> Vec<String> {
        self.starting.as_ref().map_or_else(Vec::new, |starting| starting.addresses().to_vec())
    }

    /// Blocks until the daemon is ready, or until it and what it left is gone. Milliseconds. Call it once.
    #[napi(catch_unwind)]
    pub fn wait(&mut self, timeout: f64) -> Answer<Outcome> {
        let Some(mut starting) = self.starting.take() else {
            return Either::A(Outcome::of("lost"));
        };
        answer(starting.wait(milliseconds(timeout)))
    }

    /// Ends the daemon and removes what it left.
    #[napi(catch_unwind)]
    pub fn abort(&mut self) {
        self.starting = None;
    }
}

impl Outcome {
    fn of(kind: &str) -> Self {
        Self { kind: kind.to_owned(), exit_code: None, signal: None, stderr: String::new() }
    }
}

impl From<CoreOutcome> for Outcome {
    fn from(outcome: CoreOutcome) -> Self {
        match outcome {
            CoreOutcome::Ready => Self::of("ready"),
            CoreOutcome::Ended { code, signal, stderr } => Self {
                exit_code: code,
                signal: signal.map(|signal| signal.as_str().to_owned()),
                stderr,
                ..Self::of("ended")
            },
            CoreOutcome::TimedOut { stderr } => Self { stderr, ..Self::of("timeout") },
            CoreOutcome::Interrupted(signal) => {
                Self { signal: Some(signal.as_str().to_owned()), ..Self::of("interrupted") }
            }
            CoreOutcome::MiddleLost { stderr } => Self { stderr, ..Self::of("lost") },
        }
    }
}
