//! Facts about this process, other processes and this system.

use std::path::PathBuf;
use std::sync::{LazyLock, Mutex, PoisonError};

use daemonic_core::arrival::MARKER;
use daemonic_core::error::Step;
use daemonic_core::surroundings::{self, surroundings};
use daemonic_core::sys::title::Title;
use daemonic_core::{place, process_facts};
use napi::Env;
use napi_derive::napi;

use crate::refusal::{Answer, answer};

/// Facts that show whether a service manager, a container or a terminal runs this process.
#[napi(object)]
#[allow(clippy::struct_excessive_bools)] // facts, not states
pub struct ContextFacts {
    /// Whether descriptors 0 and 1 are the same socket, as inetd sets them up.
    pub one_socket_for_stdio: bool,
    /// Whether pid 1 is this process or leads its session.
    pub led_by_first_process: bool,
    pub child_of_first_process: bool,
    pub leads_session: bool,
    pub has_terminal: bool,
}

/// Place of a process among the others.
#[napi(object)]
pub struct ProcessFacts {
    pub pid: i32,
    pub ppid: i32,
    pub pgid: i32,
    pub sid: i32,
    /// The controlling terminal's name, e.g. `pts/3`.
    pub tty: Option<String>,
    pub umask: Option<u32>,
}

/// Looks at the surroundings of this process.
#[napi(catch_unwind)]
pub fn context_facts() -> ContextFacts {
    let facts = surroundings();
    ContextFacts {
        one_socket_for_stdio: facts.one_socket_for_stdio,
        led_by_first_process: facts.led_by_first_process,
        child_of_first_process: facts.child_of_first_process,
        leads_session: facts.leads_session,
        has_terminal: facts.has_terminal,
    }
}

/// The first of these files that another user than root can change or replace: the file, or a directory above it.
#[napi(catch_unwind)]
pub fn writable_by_others(files: Vec<String>) -> Option<String> {
    let files: Vec<PathBuf> = files.into_iter().map(PathBuf::from).collect();
    place::first_that_others_can_write(&files).map(|path| path.display().to_string())
}

/// Whether descriptor `fd` is the file that $JOURNAL_STREAM names: systemd.exec(5).
#[napi(catch_unwind)]
pub fn is_journal_stream(fd: i32, stream: String) -> bool {
    surroundings::is_journal_stream(fd, &stream)
}

impl From<process_facts::ProcessFacts> for ProcessFacts {
    fn from(process: process_facts::ProcessFacts) -> Self {
        let process_facts::ProcessFacts { pid, ppid, pgid, sid, tty, umask } = process;
        Self { pid, ppid, pgid, sid, tty, umask }
    }
}

/// Reads the facts about process `pid`.
#[napi(catch_unwind)]
pub fn process_facts(pid: i32) -> Answer<ProcessFacts> {
    answer(process_facts::of(pid))
}

/// Memory and time that a process has used so far.
#[napi(object)]
pub struct ProcessUsage {
    /// Resident memory, in bytes.
    pub rss: f64,
    /// User and system time, in milliseconds.
    pub cpu: f64,
    /// Time since its fork, in milliseconds.
    pub uptime: f64,
}

/// Reads what process `pid` has used; null where there is no /proc, or no such process.
#[napi(catch_unwind)]
pub fn process_usage(pid: i32) -> Option<ProcessUsage> {
    let process_facts::Usage { rss, cpu, uptime } = process_facts::usage(pid)?;
    Some(ProcessUsage { rss: rss as f64, cpu: cpu as f64, uptime: uptime as f64 })
}

/// Tells what descriptor `fd` is open for, 'read', 'write' or 'both'; null if it isn't open.
#[napi(catch_unwind)]
pub fn descriptor_access(fd: i32) -> Option<String> {
    daemonic_core::stdio::access(fd).map(str::to_owned)
}

/// Lists the names of the steps at which a system call can fail, as `Refusal.step` has them.
#[napi(catch_unwind)]
pub fn step_names() -> Vec<String> {
    Step::names().map(str::to_owned).collect()
}

/// Runs the event loop until it has handled an event; false without libuv.
#[napi(catch_unwind)]
pub fn turn_event_loop(env: &Env) -> bool {
    let Ok(event_loop) = env.get_uv_event_loop() else { return false };
    daemonic_core::sys::event_loop::run_once(event_loop.cast())
}

/// Title of this process, once it was longer than Node's own room for it.
static TITLE: LazyLock<Mutex<Option<Title>>> = LazyLock::new(|| Mutex::new(Title::over_first_variable(MARKER)));

/// Sets a process title that is longer than the command line; does nothing where the process was not started by a launcher
/// or supervisor of this library, which leave room for it. To be called in the daemon alone, after its arrival.
#[napi(catch_unwind)]
pub fn set_title(text: String) {
    if let Some(title) = &mut *TITLE.lock().unwrap_or_else(PoisonError::into_inner) {
        title.set(&text);
    }
}
