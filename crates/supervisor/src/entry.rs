//! The executable's entry: what the arguments ask for, a supervisor made of what a launcher handed over or of a saved
//! state, and the clean-up before it exits.

use std::os::fd::OwnedFd;

use daemonic_core::arrival::{self, Arrival};
use daemonic_core::middle;
use daemonic_core::pidfile::Held;
use daemonic_core::service_manager::{NOTIFY_SOCKET, ServiceManager, WATCHDOG_PID, WATCHDOG_USEC};
use daemonic_core::sys::{descendants, fd, memory_file, process, title::Title};

use crate::clock::now;
use crate::config::{Config, Environment};
use crate::fleet::Fleet;
use crate::listeners::Listener;
use crate::notify_socket::NotifySocket;
use crate::policy::Exit;
use crate::probe::probe;
use crate::real_world::RealWorld;
use crate::reexec::{self, CHECK, RESUME};
use crate::state_file;
use crate::supervisor::Supervisor;

/// Variables that are meant for the supervisor itself: workers don't inherit them.
const OWN_VARIABLES: [&str; 7] = [
    arrival::MARKER,
    arrival::LISTEN_PID,
    arrival::LISTEN_FDS,
    arrival::LISTEN_FDNAMES,
    NOTIFY_SOCKET,
    WATCHDOG_PID,
    WATCHDOG_USEC,
];

/// Word that asks for the role of a probe.
const PROBE: &str = "probe";

/// Does what the arguments ask for; returns the exit code.
pub fn run() -> i32 {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let Some(code) = middle::run_if_asked(&arguments) {
        return code;
    }
    let supervisor = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => from_launcher(),
        [PROBE, pid_file] => return probe(pid_file, "ready"),
        [PROBE, pid_file, what] => return probe(pid_file, what),
        [CHECK] => return i32::from(!reexec::understands_state_on_stdin()),
        [RESUME, number] => number.parse().ok().and_then(from_saved_state),
        _ => None,
    };
    let Some(mut supervisor) = supervisor else {
        eprintln!("daemonic-supervisor is started by daemonic and can't be run by hand: see `daemonic --help`");
        return 2;
    };
    supervisor.fleet.show_title(&mut supervisor.world);
    let code = supervisor.run();
    if !supervisor.world.has_started {
        supervisor.world.end_escaped();
    }
    clean_up(&mut supervisor);
    // The launcher tells how the worker exited, and knows that an exit before readiness is a failure whatever its code.
    let has_launcher = supervisor.world.arrival.is_some();
    if has_launcher && supervisor.fleet.start_exit == Some(Exit::Code(0)) { 0 } else { code }
}

/// Makes a supervisor of what the launcher, or the foreground process before it, handed over, and starts the workers.
fn from_launcher() -> Option<Supervisor> {
    let mut arrival = Arrival::of_this_process()?;
    let mut config: Config = parse(&arrival.config.take()?)?;
    let sockets = arrival::passed_sockets(arrival.first_socket);
    let manager = ServiceManager::of_environment();
    config.watch_workers_for(manager.as_ref());
    let mut world = RealWorld::new(config, environment(), manager, Title::take_over());
    world.listeners = sockets
        .into_iter()
        .map(|(name, number)| Listener::new(name, fd::adopt(number), &world.config.sockets))
        .collect();
    if let (Some(file), Some(pid_file)) = (arrival.pid_file.take(), &world.config.pid_file) {
        let held = Held::register(file, &pid_file.path).ok()?;
        // Kernels before 5.11 drop POSIX locks at the exec of a process with several threads: in the foreground, Node
        // was one.
        held.assert_ownership();
        world.pid_file = Some(held);
    }
    let copy = |file: &Option<OwnedFd>| file.as_ref().and_then(|file| file.try_clone().ok());
    world.late.stdout_at_call = copy(&arrival.stdout_at_call);
    world.late.stderr_at_call = copy(&arrival.stderr_at_call);
    world.late.stderr_at_ready = copy(&arrival.stderr_at_ready);
    world.arrival = arrival.has_listener().then_some(arrival);
    // In the foreground this process may have children from before: they are none of the workers'.
    world.known_children = descendants::children().into_iter().collect();
    // Where that isn't possible, processes that leave their worker's group are not told of.
    let _ = descendants::adopt_orphans();
    let notify_socket = world.config.foreign.as_ref().and_then(|_| NotifySocket::open(&world.config).ok());
    let fleet = Fleet::new(world.config.terms(), now());
    let mut supervisor = Supervisor::new(fleet, world, notify_socket).ok()?;
    supervisor.world.announce_start();
    supervisor.fleet.start_all(&mut supervisor.world);
    Some(supervisor)
}

/// Goes on from the state that this process saved before it executed itself again.
fn from_saved_state(descriptor: i32) -> Option<Supervisor> {
    let (fleet, world, notify_socket) = reexec::resume(descriptor, environment()).ok()?;
    Supervisor::new(fleet, world, notify_socket).ok()
}

/// The environment that workers inherit.
fn environment() -> Environment {
    process::environment().filter(|(name, _)| !OWN_VARIABLES.iter().any(|own| own.as_bytes() == name)).collect()
}

fn parse(file: &OwnedFd) -> Option<Config> {
    let text = memory_file::text_of(file).ok()?;
    match serde_json::from_str(&text) {
        Ok(config) => Some(config),
        Err(error) => {
            eprintln!(
                "daemonic-supervisor: can't read its configuration, perhaps from another version of daemonic: {error}"
            );
            None
        }
    }
}

/// Removes notify socket, control socket and pid file; the state file stays where the daemon has failed for good. If a signal killed the worker that made the first start fail, the supervisor
/// is killed by the same signal, so that its parent sees what happened.
fn clean_up(supervisor: &mut Supervisor) {
    let Supervisor { world, control, fleet, notify_socket, .. } = supervisor;
    if let Some(notify_socket) = notify_socket {
        notify_socket.remove();
    }
    if let Some(control) = control {
        control.remove();
    }
    if let (Some(held), Some(file)) = (&mut world.pid_file, &world.config.pid_file) {
        let recorded = fleet.failure.as_ref().is_some_and(|failure| state_file::record_failure(file, failure));
        // The state file comes first: it stays as the record of the failure.
        let companions = if recorded { &file.companions[1..] } else { &file.companions[..] };
        let _ = held.release(companions, true);
    }
    if let Some(Exit::Signal { number, .. }) = fleet.start_exit {
        process::die_by(number);
    }
}
