//! The role `probe PIDFILE [ready|live]`: whether a daemon runs, for the health checks of containers, where a start of Node every
//! few seconds would be too much.

use std::path::{Path, PathBuf};
use std::time::Duration;

use daemonic_core::error::Error;
use daemonic_core::pidfile::{PidFileState, Report, inspect};
use daemonic_core::supervisor_client;
use serde::Deserialize;

/// How long a supervisor may take to answer: the least that a prober waits, as Kubernetes has it by default.
const PATIENCE: Duration = Duration::from_secs(1);

/// The part of a status report that a probe needs.
#[derive(Deserialize)]
struct Status {
    workers: Vec<Worker>,
}

#[derive(Deserialize)]
struct Worker {
    ready: bool,
}

/// Prints in one line how the daemon of a pid file is; the exit code is 0 if that is good, else 1. `live`: it runs, and if it
/// is a supervisor, that answers. `ready`: it can serve, too.
pub fn probe(pid_file: &str, what: &str) -> i32 {
    let result = match what {
        "ready" => look(Path::new(pid_file), true),
        "live" => look(Path::new(pid_file), false),
        _ => Err(format!("expected ready or live, got {what}")),
    };
    match result {
        Ok(line) => {
            println!("{line}");
            0
        }
        Err(line) => {
            println!("{line}");
            1
        }
    }
}

fn look(path: &Path, must_be_ready: bool) -> Result<String, String> {
    let (pid, state) = owner_of(path)?;
    if state == PidFileState::Starting {
        let line = format!("pid {pid} is starting");
        return if must_be_ready { Err(line) } else { Ok(line) };
    }
    let answer = supervisor_client::ask(&control_of(path), pid, r#"{"do":"status"}"#, PATIENCE)
        .map_err(|_| format!("pid {pid}, a supervisor, does not answer"))?;
    let Some(answer) = answer else { return Ok(format!("pid {pid} runs")) };
    let Status { workers } =
        serde_json::from_str(&answer).map_err(|_| format!("pid {pid}, a supervisor, answers no status"))?;
    let ready = workers.iter().filter(|worker| worker.ready).count();
    let line = format!("pid {pid}: {ready} of {} workers ready", workers.len());
    if must_be_ready && ready == 0 { Err(line) } else { Ok(line) }
}

/// Finds the owner. In a container that is pid 1, which is looked at like any other, and signalled by nobody here.
fn owner_of(path: &Path) -> Result<(i32, PidFileState), String> {
    let report = inspect(path).map_err(|error| match error {
        Error::System(failure) => format!("{}: {}", path.display(), failure.errno.desc()),
        _ => format!("{}: its owner is not known", path.display()),
    })?;
    match report {
        Report { elsewhere: true, .. } => Err(format!("{}: its owner lives in another PID namespace", path.display())),
        Report { state: PidFileState::Absent | PidFileState::Free, .. } => {
            Err(format!("{}: not running", path.display()))
        }
        Report { verified: true, pid: Some(pid), state, .. } => Ok((pid, state)),
        _ => Err(format!("{}: its owner is not known", path.display())),
    }
}

/// The control socket: beside the pid file, under its name.
fn control_of(path: &Path) -> PathBuf {
    let path = path.to_string_lossy();
    format!("{}.sock", path.strip_suffix(".pid").unwrap_or(&path)).into()
}
