//! Facts about processes and this host.

use daemonic_core::{context, limits, notify, session};
use napi::Env;
use napi_derive::napi;

use crate::plan::{LimitPlan, limits_of};
use crate::refusal::{Answer, Refusal, answer, refusal};

#[napi(object)]
#[allow(clippy::struct_excessive_bools)] // facts, not states
pub struct ContextFacts {
    pub one_socket_for_stdio: bool,
    pub led_by_first_process: bool,
    pub child_of_first_process: bool,
    pub leads_session: bool,
    pub has_terminal: bool,
}

#[napi(object)]
pub struct ProcessFacts {
    pub pid: i32,
    pub ppid: i32,
    pub pgid: i32,
    pub sid: i32,
    pub tty: Option<String>,
    pub umask: Option<u32>,
}

#[napi(catch_unwind)]
pub fn context_facts() -> ContextFacts {
    let facts = context::facts();
    ContextFacts {
        one_socket_for_stdio: facts.one_socket_for_stdio,
        led_by_first_process: facts.led_by_first_process,
        child_of_first_process: facts.child_of_first_process,
        leads_session: facts.leads_session,
        has_terminal: facts.has_terminal,
    }
}

#[napi(catch_unwind)]
pub fn is_journal_stream(fd: i32, stream: String) -> bool {
    context::is_journal_stream(fd, &stream)
}

impl From<session::Process> for ProcessFacts {
    fn from(process: session::Process) -> Self {
        let session::Process { pid, ppid, pgid, sid, tty, umask } = process;
        Self { pid, ppid, pgid, sid, tty, umask }
    }
}

#[napi(catch_unwind)]
pub fn process_facts(pid: i32) -> Answer<ProcessFacts> {
    answer(session::process(pid))
}

#[napi(object)]
pub struct ProcessUsage {
    /// Resident, in bytes.
    pub rss: f64,
    /// User and system, in milliseconds.
    pub cpu: f64,
    /// In milliseconds.
    pub uptime: f64,
}

#[napi(catch_unwind)]
pub fn process_usage(pid: i32) -> Option<ProcessUsage> {
    let session::Usage { rss, cpu, uptime } = session::usage(pid)?;
    Some(ProcessUsage { rss: rss as f64, cpu: cpu as f64, uptime: uptime as f64 })
}

/// The names of the resources that can be limited here.
#[napi(catch_unwind)]
pub fn known_limits() -> Vec<String> {
    limits::known().into_iter().map(str::to_owned).collect()
}

/// Sets limits of this process, where nothing is detached.
#[napi(catch_unwind)]
pub fn apply_limits(plans: Vec<LimitPlan>) -> Option<Refusal> {
    refusal(limits_of(plans).and_then(|all| all.into_iter().try_for_each(limits::set)))
}

/// Nice value, oom score and new privileges of this process, where nothing is detached.
#[napi(catch_unwind)]
pub fn apply_priorities(nice: Option<i32>, oom_score_adjust: Option<i32>, no_new_privileges: bool) -> Option<Refusal> {
    refusal(session::prioritise(nice, oom_score_adjust, no_new_privileges))
}

/// sd_notify(3); false if nobody listens there.
#[napi(catch_unwind)]
pub fn notify_manager(address: String, text: String) -> bool {
    notify::notify(&address, &text).is_ok()
}

/// What the descriptor `fd` may be used for, 'read', 'write' or 'both'; null if it isn't open.
#[napi(catch_unwind)]
pub fn descriptor_access(fd: i32) -> Option<String> {
    daemonic_core::stdio::access(fd).map(str::to_owned)
}

/// Turns the event loop once; false where there is none of libuv's.
#[napi(catch_unwind)]
pub fn turn_event_loop(env: &Env) -> bool {
    let Ok(event_loop) = env.get_uv_event_loop() else { return false };
    daemonic_core::sys::event_loop::turn(event_loop.cast())
}
