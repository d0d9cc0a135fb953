//! SIGUSR2: this process executes the supervisor anew, the same or a newer one, under its running workers. Pid, locks,
//! sockets and channels stay; what only we know goes through a memory file.

use std::ffi::CString;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use daemonic_core::pidfile::Held;
use daemonic_core::stdio::Tail;
use daemonic_core::sys::exec::{Image, Variable};
use daemonic_core::sys::signal::AllBlocked;
use daemonic_core::sys::title::Title;
use daemonic_core::sys::{fd, memory_file};
use nix::errno::Errno;
use serde::{Deserialize, Serialize};

use crate::config::{Config, Environment};
use crate::fleet::{Fleet, Level, Phase, World};
use crate::host::{Host, Process, now};
use crate::listeners::Listener;
use crate::notifications::Notifications;
use crate::policy::Millis;
use crate::readiness::Readiness;
use crate::supervisor::Supervisor;

/// The arguments that say so, each with the descriptor of the state.
pub const RESUME: &str = "--resume";
pub const CHECK: &str = "--check-state";

/// How long the new executable may take to read our state, and how often we look; nothing else is done meanwhile.
const CHECK_PATIENCE: Millis = 5_000;
const LOOK_EVERY: Duration = Duration::from_millis(2);

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct State {
    config: Config,
    fleet: Fleet,
    pid_file: Option<RawFd>,
    listeners: Vec<ListenerState>,
    /// By pid.
    channels: Vec<(i32, RawFd)>,
    late: [Option<RawFd>; 3],
    manager: Option<String>,
    /// Where programs that speak sd_notify(3) go on writing to.
    notifications: Option<(RawFd, String)>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ListenerState {
    name: String,
    path: Option<PathBuf>,
    shared: RawFd,
    /// By slot.
    own: Vec<(usize, RawFd)>,
}

/// Returns only if that can't be: then all is as it was.
pub fn execute_again(supervisor: &mut Supervisor) {
    if supervisor.fleet.phase != Phase::Running || supervisor.fleet.is_reloading() {
        return supervisor.host.say(Level::Warning, "not executed anew: a start, stop or reload is under way");
    }
    if supervisor.fleet.workers.iter().any(|worker| !worker.ready) {
        return supervisor.host.say(Level::Warning, "not executed anew: a worker is starting");
    }
    if let Err(why) = try_to_execute(supervisor) {
        supervisor.host.say(Level::Error, &format!("not executed anew: {why}; going on as before"));
    }
}

fn try_to_execute(supervisor: &mut Supervisor) -> Result<(), String> {
    let executable = supervisor.host.config.executable.clone();
    let state = memory_file::with_text(&state_of(supervisor)?).map_err(|errno| errno.desc().to_owned())?;
    check(&executable, &state)?;
    supervisor.host.say(Level::Info, &format!("executing {}", executable.display()));
    if let Some(control) = &mut supervisor.control {
        control.dismiss();
        control.remove();
    }
    let numbers = descriptors(supervisor, &state);
    for &number in &numbers {
        fd::keep_at_exec(number).map_err(|errno| errno.desc().to_owned())?;
    }
    let image = image(&supervisor.host, &executable, state.as_raw_fd())?;
    // Until the next image watches them, signals wait; those that we have heard of by now as well.
    let blocked = AllBlocked::new().map_err(|errno| errno.desc().to_owned())?;
    supervisor.watch.raise_unread(&[libc::SIGUSR2, libc::SIGCHLD]);
    let errno = image.execute();
    drop(blocked);
    for &number in &numbers {
        let _ = fd::close_at_exec(number);
    }
    supervisor.open_control();
    Err(format!("{}: {}", executable.display(), errno.desc()))
}

/// The new executable must be able to read our state.
fn check(executable: &Path, state: &OwnedFd) -> Result<(), String> {
    let copy = state.try_clone().map_err(|error| error.to_string())?;
    let mut child = Command::new(executable)
        .arg(CHECK)
        .stdin(Stdio::from(copy))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| format!("{}: {error}", executable.display()))?;
    let deadline = now() + CHECK_PATIENCE;
    let mut ended = child.try_wait();
    while matches!(ended, Ok(None)) && now() < deadline {
        std::thread::sleep(LOOK_EVERY);
        ended = child.try_wait();
    }
    match ended {
        Ok(Some(status)) if status.success() => Ok(()),
        Ok(None) => {
            let _ = child.kill();
            let _ = child.wait();
            Err(format!("{} does not answer", executable.display()))
        }
        _ => Err(format!("{} does not understand the state of this one", executable.display())),
    }
}

fn state_of(supervisor: &Supervisor) -> Result<String, String> {
    let Supervisor { fleet, host, notifications, .. } = supervisor;
    let number = |file: &Option<OwnedFd>| file.as_ref().map(AsRawFd::as_raw_fd);
    let fleet = serde_json::to_value(fleet).and_then(serde_json::from_value).map_err(|error| error.to_string())?;
    let state = State {
        config: host.config.clone(),
        fleet,
        pid_file: host.pid_file.as_ref().and_then(Held::descriptor),
        listeners: host
            .listeners
            .iter()
            .map(|listener| {
                let own = listener.own.iter().map(|(&slot, socket)| (slot, socket.as_raw_fd())).collect();
                ListenerState {
                    name: listener.name.clone(),
                    path: listener.path.clone(),
                    shared: listener.shared.as_raw_fd(),
                    own,
                }
            })
            .collect(),
        channels: host
            .processes
            .iter()
            .filter_map(|(&pid, process)| Some((pid, process.channel.as_ref()?.as_raw_fd())))
            .collect(),
        late: [&host.late.stdout_at_call, &host.late.stderr_at_call, &host.late.stderr_at_ready].map(number),
        manager: host.manager.clone(),
        notifications: notifications.as_ref().map(|each| (each.descriptor().as_raw_fd(), each.address.clone())),
    };
    serde_json::to_string(&state).map_err(|error| error.to_string())
}

fn descriptors(supervisor: &Supervisor, state: &OwnedFd) -> Vec<RawFd> {
    let Supervisor { host, notifications, .. } = supervisor;
    let late = [&host.late.stdout_at_call, &host.late.stderr_at_call, &host.late.stderr_at_ready];
    let late = late.into_iter().flatten().map(AsRawFd::as_raw_fd);
    let sockets = host
        .listeners
        .iter()
        .flat_map(|listener| std::iter::once(&listener.shared).chain(listener.own.values()))
        .map(AsRawFd::as_raw_fd);
    let channels = host.processes.values().filter_map(|process| process.channel.as_ref()).map(AsRawFd::as_raw_fd);
    let pid_file = host.pid_file.as_ref().and_then(Held::descriptor);
    let notifications = notifications.as_ref().map(|each| each.descriptor().as_raw_fd());
    late.chain(sockets).chain(channels).chain(pid_file).chain(notifications).chain([state.as_raw_fd()]).collect()
}

fn image(host: &Host, executable: &Path, state: RawFd) -> Result<Image, String> {
    let text = |bytes: &[u8]| CString::new(bytes).map_err(|_| "a NUL in a path".to_owned());
    let path = text(executable.as_os_str().as_bytes())?;
    let arguments = vec![path.clone(), text(RESUME.as_bytes())?, text(state.to_string().as_bytes())?];
    let variables = host
        .plan
        .environment
        .iter()
        .map(|(name, value)| Variable { text: [name.as_slice(), value].join(&b'='), ends_in_pid: false })
        .collect();
    Ok(Image::new(path, arguments, variables))
}

/// For [`CHECK`]: whether the state on standard input is one that we can go on from.
pub fn is_understood() -> bool {
    fd::duplicate_raw(0, 3).is_ok_and(|file| read(&file).is_some())
}

/// Goes on from the state in descriptor `number`.
pub fn resume(number: RawFd, environment: Environment) -> nix::Result<Supervisor> {
    let state = read(&fd::adopt(number)).ok_or(Errno::EINVAL)?;
    let own = |number: RawFd| {
        let _ = fd::close_at_exec(number);
        fd::adopt(number)
    };
    let mut host = Host::new(state.config, environment, state.manager, Title::take_over());
    host.pid_file = state.pid_file.zip(host.config.pid_file.as_ref()).and_then(|(number, file)| {
        let held = Held::register(own(number), &file.path).ok()?;
        let _ = held.assert_ownership();
        let _ = held.mark_started();
        Some(held)
    });
    host.listeners = state
        .listeners
        .into_iter()
        .map(|state| {
            let mut listener = Listener::new(state.name, state.path, own(state.shared));
            listener.own = state.own.into_iter().map(|(slot, number)| (slot, own(number))).collect();
            listener
        })
        .collect();
    for (pid, channel) in state.channels {
        host.processes.insert(pid, Process::new(Some(own(channel)), None, Readiness::Told));
    }
    for worker in &state.fleet.workers {
        let process = host.processes.entry(worker.pid);
        let process = process.or_insert_with(|| Process::new(None, None, Readiness::Told));
        process.tail = host.plan.stderr_log.as_ref().and_then(Tail::of_log);
    }
    let [out, error, late] = state.late.map(|number| number.map(own));
    host.late.stdout_at_call = out;
    host.late.stderr_at_call = error;
    host.late.stderr_at_ready = late;
    host.say(Level::Info, "executed anew");
    // Ends that came meanwhile are seen by the first look at our children.
    let notifications = state.notifications.map(|(number, address)| Notifications::again(own(number), address));
    Supervisor::new(state.fleet, host, notifications)
}

fn read(file: &OwnedFd) -> Option<State> {
    let text = memory_file::text_of(file).ok()?;
    serde_json::from_str(&text).ok()
}
