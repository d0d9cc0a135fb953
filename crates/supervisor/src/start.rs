//! How the supervisor comes to be: by a launcher's start, in the place of a foreground process, or in its own place.

use std::os::fd::OwnedFd;

use daemonic_core::arrival::{self, Arrival};
use daemonic_core::pidfile::Held;
use daemonic_core::sys::{fd, memory_file, process, title::Title};

use crate::config::{Config, Environment};
use crate::fleet::Fleet;
use crate::host::{Host, now};
use crate::listeners::Listener;
use crate::notifications::Notifications;
use crate::resume::{self, CHECK, RESUME};
use crate::supervisor::Supervisor;

/// What only we are to see of the environment.
const OURS: [&str; 7] = [
    arrival::MARKER,
    arrival::LISTEN_PID,
    arrival::LISTEN_FDS,
    arrival::LISTEN_FDNAMES,
    NOTIFY_SOCKET,
    "WATCHDOG_PID",
    "WATCHDOG_USEC",
];
const NOTIFY_SOCKET: &str = "NOTIFY_SOCKET";

/// The exit code.
pub fn run() -> i32 {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let supervisor = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => started(),
        [CHECK] => return i32::from(!resume::is_understood()),
        [RESUME, number] => number.parse().ok().and_then(|number| resume::resume(number, environment()).ok()),
        _ => None,
    };
    let Some(mut supervisor) = supervisor else {
        eprintln!("daemonic-supervisor is started by daemonic, it is no command of its own: see `daemonic --help`");
        return 2;
    };
    supervisor.fleet.show(&mut supervisor.host);
    let code = supervisor.run();
    end(&mut supervisor);
    code
}

fn started() -> Option<Supervisor> {
    let mut arrival = Arrival::take(&std::env::var(arrival::MARKER).ok()?)?;
    let config: Config = parse(&arrival.config.take()?)?;
    let sockets = arrival::passed_sockets(arrival.first_socket);
    let manager = std::env::var(NOTIFY_SOCKET).ok().filter(|address| !address.is_empty() && is_for_us());
    let mut host = Host::new(config, environment(), manager, Title::take_over());
    host.listeners = sockets
        .into_iter()
        .map(|(name, number)| {
            let socket = host.config.sockets.iter().find(|socket| socket.name == name);
            let path = socket.and_then(|socket| socket.path.clone());
            Listener::new(name, path, fd::adopt(number))
        })
        .collect();
    if let (Some(file), Some(pid_file)) = (arrival.pid_file.take(), &host.config.pid_file) {
        let held = Held::register(file, &pid_file.path).ok()?;
        // Where several threads became one by the exec, old kernels have dropped it.
        let _ = held.assert_ownership();
        host.pid_file = Some(held);
    }
    let copy = |file: &Option<OwnedFd>| file.as_ref().and_then(|file| file.try_clone().ok());
    host.late.stdout_at_call = copy(&arrival.stdout_at_call);
    host.late.stderr_at_call = copy(&arrival.stderr_at_call);
    host.late.stderr_at_ready = copy(&arrival.stderr_at_ready);
    host.arrival = arrival.has_listener().then_some(arrival);
    let notifications = Notifications::open().ok().filter(|_| host.config.foreign.is_some());
    let fleet = Fleet::new(host.config.terms(), now());
    let mut supervisor = Supervisor::new(fleet, host, notifications).ok()?;
    supervisor.fleet.begin(&mut supervisor.host);
    Some(supervisor)
}

/// Not what a service manager set for an ancestor of ours.
fn is_for_us() -> bool {
    std::env::var("SYSTEMD_EXEC_PID").map_or(true, |pid| pid == std::process::id().to_string())
}

fn environment() -> Environment {
    process::environment().filter(|(name, _)| !OURS.iter().any(|each| each.as_bytes() == name)).collect()
}

fn parse(file: &OwnedFd) -> Option<Config> {
    let text = memory_file::text_of(file).ok()?;
    match serde_json::from_str(&text) {
        Ok(config) => Some(config),
        Err(error) => {
            eprintln!("daemonic-supervisor: the configuration is malformed: {error}");
            None
        }
    }
}

/// Nothing stays behind: no pid file, no sockets. If the first start failed by a signal, we end by the same.
fn end(supervisor: &mut Supervisor) {
    let Supervisor { host, control, fleet, .. } = supervisor;
    if let Some(control) = control {
        control.remove();
    }
    if let (Some(held), Some(file)) = (&mut host.pid_file, &host.config.pid_file) {
        let _ = held.release(&file.companions, true);
    }
    if let Some(crate::policy::Exit::Signal { number, .. }) = fleet.start_exit {
        process::die_by(number);
    }
}
