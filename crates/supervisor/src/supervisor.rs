//! The event loop: signals, exits, channels and the control socket become events of the fleet.

use std::os::fd::{AsFd, BorrowedFd};

use daemonic_core::channel::Line;
use daemonic_core::sys::signal::Watch;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use serde::Serialize;

use crate::clock::{Millis, now};
use crate::control_socket::{Answer, ControlSocket, Request};
use crate::fleet::{ClientId, Fleet, Level, Phase, ReadyBy, Worker, World};
use crate::notify_socket::{NotifySocket, ancestor};
use crate::policy::{Exit, Supervision};
use crate::readiness_probe::ReadinessProbe;
use crate::real_world::{MOST_LINES_PER_TURN, RealWorld};
use crate::reexec::NextImage;
use crate::status_report::StatusReport;

/// Signals that the supervisor acts on itself.
const OWN_SIGNALS: [i32; 9] = [
    libc::SIGTERM,
    libc::SIGINT,
    libc::SIGQUIT,
    libc::SIGHUP,
    libc::SIGUSR1,
    libc::SIGUSR2,
    libc::SIGTTIN,
    libc::SIGTTOU,
    libc::SIGCHLD,
];
/// Signals that are passed on to the workers, beside the real-time ones; all others keep their default action.
const PASSED_SIGNALS: [i32; 5] = [libc::SIGWINCH, libc::SIGALRM, libc::SIGVTALRM, libc::SIGPROF, libc::SIGIO];

/// Datagrams that are read in one turn of the loop: any process may send them, and must not starve the rest.
const MOST_DATAGRAMS_PER_TURN: usize = 64;

/// The fleet, the world that it decides about, and the sources of events.
pub struct Supervisor {
    pub fleet: Fleet,
    pub world: RealWorld,
    pub control: Option<ControlSocket>,
    notify_socket: Option<NotifySocket>,
    watch: Watch,
    started_at: Millis,
}

impl Supervisor {
    /// Watches signals and opens the control socket; starts no worker.
    pub fn new(fleet: Fleet, mut world: RealWorld, notify_socket: Option<NotifySocket>) -> nix::Result<Self> {
        let signals: Vec<i32> = OWN_SIGNALS.iter().chain(&PASSED_SIGNALS).copied().chain(real_time_signals()).collect();
        let watch = Watch::start(&signals)?;
        world.notify_address = notify_socket.as_ref().map(|socket| socket.address.clone());
        let mut supervisor = Self { fleet, world, control: None, notify_socket, watch, started_at: now() };
        supervisor.open_control();
        Ok(supervisor)
    }

    /// Runs until every worker has exited and none is to be started; returns the exit code.
    pub fn run(&mut self) -> i32 {
        // Lines and exits from before the signals were watched, as during a re-exec, raise no event: look once.
        self.read_workers();
        self.reap();
        loop {
            if let Some(code) = self.fleet.exit_code() {
                return code;
            }
            self.wait();
            let read_at = now();
            self.handle_signals();
            self.read_workers();
            self.reap();
            self.serve_control();
            self.probe_readiness();
            self.fleet.tick(&mut self.world, read_at);
            self.world.trim_stderr();
            self.send_answers();
        }
    }

    /// Blocks until a descriptor is ready or a deadline has passed.
    fn wait(&self) {
        let probes = self.world.processes.values().filter_map(|process| process.readiness.next_look());
        let deadline = probes.chain(self.fleet.next_deadline()).chain(self.world.next_trim()).min();
        let left = deadline.map(|deadline| deadline.saturating_sub(now()));
        let timeout = left.map_or(PollTimeout::NONE, |left| PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX));
        let mut polled = vec![readable(self.watch.descriptor())];
        if let Some(socket) = &self.notify_socket {
            polled.push(readable(socket.descriptor()));
        }
        for process in self.world.processes.values() {
            polled.extend(process.channel.iter().map(|channel| readable(channel.as_fd())));
            polled.extend(process.readiness.descriptor().map(|line| readable(line.as_fd())));
        }
        for (descriptor, flags) in self.control.iter().flat_map(ControlSocket::descriptors) {
            polled.push(PollFd::new(descriptor, flags));
        }
        let _ = poll(&mut polled, timeout); // EINTR is no error: every source is read after each turn, ready or not
    }

    fn handle_signals(&mut self) {
        while let Some((signal, from_process)) = self.watch.next() {
            if signal != libc::SIGCHLD {
                self.reopen_control_if_removed();
            }
            match signal {
                libc::SIGTERM | libc::SIGINT | libc::SIGQUIT => self.fleet.stop(&mut self.world, signal),
                // The kernel sent this one: the controlling terminal has hung up.
                libc::SIGHUP if !from_process => self.fleet.stop(&mut self.world, signal),
                libc::SIGHUP => self.fleet.reload(&mut self.world, None),
                libc::SIGUSR1 => self.world.reopen_logs(),
                libc::SIGUSR2 => self.execute_again(),
                // The kernel sends these two as well, to a background process that reads or writes its terminal.
                libc::SIGTTIN if from_process => self.scale_by(1),
                libc::SIGTTOU if from_process => self.scale_by(-1),
                libc::SIGTTIN | libc::SIGTTOU | libc::SIGCHLD => {}
                other => self.fleet.pass_on(&mut self.world, other),
            }
        }
    }

    fn scale_by(&mut self, change: isize) {
        let to = self.fleet.slots.len().saturating_add_signed(change).max(1);
        if let Err(why) = self.fleet.scale(&mut self.world, to) {
            self.world.log(Level::Warning, &why);
        }
    }

    // ── Workers ──────────────────────────────────────────────────────────────────────────

    fn read_workers(&mut self) {
        let pids: Vec<i32> = self.world.processes.keys().copied().collect();
        for pid in pids {
            self.read_channel(pid);
        }
        for _ in 0..MOST_DATAGRAMS_PER_TURN {
            let Some((sender, lines)) = self.notify_socket.as_ref().and_then(NotifySocket::receive) else { break };
            let Some(pid) = ancestor(sender, |pid| self.world.processes.contains_key(&pid)) else { continue };
            for line in lines {
                self.handle_line(pid, line);
            }
        }
    }

    fn read_channel(&mut self, pid: i32) {
        for _ in 0..MOST_LINES_PER_TURN {
            let Some(line) = self.world.next_line(pid) else { break };
            self.handle_line(pid, line);
        }
    }

    fn handle_line(&mut self, pid: i32, line: Line) {
        match line {
            Line::Ready | Line::ReadyBySight if self.world.config.ready.is_probed() => {}
            Line::Ready => self.fleet.worker_ready(&mut self.world, pid, ReadyBy::Program),
            Line::ReadyBySight => self.fleet.worker_ready(&mut self.world, pid, ReadyBy::Sight),
            Line::Status(text) => self.fleet.set_status(pid, text),
            Line::Waiting(what) => self.world.waits_for(pid, &what),
            Line::Beat => self.fleet.heartbeat(&mut self.world, pid),
            Line::Idle(idle) => self.fleet.set_idle(&mut self.world, pid, idle),
            Line::Supervision(text) => self.change_supervision(pid, &text),
            Line::Bind(listen) => self.world.hand_socket(pid, &listen, self.is_booting(pid)),
            Line::Stopping => self.fleet.worker_stopping(&mut self.world, pid),
            Line::Pid(_) | Line::TimedOut | Line::Ended(_) | Line::Failure(_) => {}
        }
    }

    /// Applies the supervision that the program asks for in its call of daemonize(). It says so only where the command
    /// that started it left supervision open, and it counts only while it boots.
    fn change_supervision(&mut self, pid: i32, text: &str) {
        let is_booting = self.is_booting(pid);
        let Some(supervision) = serde_json::from_str::<Supervision>(text).ok().filter(|_| is_booting) else { return };
        self.world.config.note.insert("workers".to_owned(), supervision.workers.into());
        self.world.plan.leads_group = supervision.kill_tree;
        self.world.config.supervision = supervision.clone();
        self.fleet.change_supervision(&mut self.world, supervision);
    }

    fn is_booting(&self, pid: i32) -> bool {
        self.fleet.workers.iter().any(|worker| worker.pid == pid && worker.is_booting())
    }

    fn reap(&mut self) {
        while let Some(pid) = RealWorld::exited_child() {
            self.read_channel(pid); // what the worker wrote before it exited counts first
            let Some(status) = self.world.reap(pid) else { continue };
            self.fleet.worker_exited(&mut self.world, pid, Exit::of(status));
            self.world.processes.remove(&pid);
        }
    }

    fn probe_readiness(&mut self) {
        let now = now();
        let is_due = |probe: &ReadinessProbe| {
            probe.descriptor().is_some() || probe.next_look().is_some_and(|deadline| deadline <= now)
        };
        let ready: Vec<i32> = self
            .world
            .processes
            .iter_mut()
            .filter_map(|(&pid, process)| (is_due(&process.readiness) && process.readiness.look(now)).then_some(pid))
            .collect();
        let by = self.world.config.ready.probed_by();
        for pid in ready {
            self.fleet.worker_ready(&mut self.world, pid, by);
        }
    }

    // ── SIGUSR2 ──────────────────────────────────────────────────────────────────────────

    /// Executes the supervisor's executable again in this process. Returns only if that can't be; then all goes on.
    fn execute_again(&mut self) {
        if self.fleet.phase != Phase::Running || self.fleet.is_reloading() {
            return self.world.log(Level::Warning, "not executed anew: a start, stop or reload is under way");
        }
        if self.fleet.workers.iter().any(Worker::is_booting) {
            return self.world.log(Level::Warning, "not executed anew: a worker is starting");
        }
        let next = match NextImage::prepare(&self.fleet, &self.world, self.notify_socket.as_ref()) {
            Ok(next) => next,
            Err(why) => return self.not_executed(&why),
        };
        self.world.log(Level::Info, &format!("executing {}", next.executable.display()));
        if let Some(control) = &mut self.control {
            control.dismiss_clients();
            control.remove();
        }
        let why = next.execute(&self.watch);
        self.open_control();
        self.not_executed(&why);
    }

    fn not_executed(&mut self, why: &str) {
        self.world.log(Level::Error, &format!("not executed anew: {why}; going on as before"));
    }

    // ── The control socket ───────────────────────────────────────────────────────────────

    fn open_control(&mut self) {
        let Some(path) = &self.world.config.control else { return };
        self.control = ControlSocket::open(path).ok();
        if self.control.is_none() {
            let line = format!(
                "no control socket at {}: the daemon can't be asked for status or reload there",
                path.display()
            );
            self.world.log(Level::Warning, &line);
        }
    }

    /// Opens the control socket again if its file was removed: without it, only a signal still reaches the supervisor.
    fn reopen_control_if_removed(&mut self) {
        if self.world.config.control.is_some() && !self.control.as_ref().is_some_and(ControlSocket::is_in_place) {
            self.open_control();
        }
    }

    fn serve_control(&mut self) {
        let requests = self.control.as_mut().map(ControlSocket::read_requests).unwrap_or_default();
        for (client, request) in requests {
            match request {
                Ok(request) => self.carry_out(client, request),
                Err(error) => self.answer(client, &Answer::from(Err(error))),
            }
        }
        self.send_answers();
    }

    fn carry_out(&mut self, client: ClientId, request: Request) {
        let success = Answer::from(Ok(()));
        match request {
            Request::Status => {
                let status = StatusReport::new(&self.fleet, &self.world, self.started_at);
                let text = serde_json::to_value(status).unwrap_or_default();
                self.answer(client, &text);
            }
            Request::Reload => self.fleet.reload(&mut self.world, Some(client)),
            Request::ReopenLogs => {
                self.world.reopen_logs();
                self.answer(client, &success);
            }
            Request::Scale { to } => {
                let result = self.scale_to(&to);
                self.answer(client, &Answer::from(result));
            }
            Request::Stop => {
                self.answer(client, &success);
                self.fleet.stop(&mut self.world, 0);
            }
        }
    }

    fn scale_to(&mut self, to: &str) -> Result<(), String> {
        let number = |text: &str| text.parse::<isize>().map_err(|_| format!("expected a number, +N or -N, got '{to}'"));
        let present = self.fleet.slots.len().cast_signed();
        let wanted = if to.starts_with(['+', '-']) { present.saturating_add(number(to)?) } else { number(to)? };
        let wanted = usize::try_from(wanted).map_err(|_| format!("expected at least 1 worker, got {wanted}"))?;
        self.fleet.scale(&mut self.world, wanted)
    }

    /// Sends what the fleet has answered to requests of earlier turns, such as a reload.
    fn send_answers(&mut self) {
        for (client, result) in std::mem::take(&mut self.world.answers) {
            self.answer(client, &Answer::from(result));
        }
    }

    fn answer(&mut self, client: ClientId, answer: &impl Serialize) {
        if let Some(control) = &mut self.control {
            control.answer(client, answer);
        }
    }
}

fn readable(descriptor: BorrowedFd<'_>) -> PollFd<'_> {
    PollFd::new(descriptor, PollFlags::POLLIN)
}

#[cfg(target_os = "linux")]
fn real_time_signals() -> std::ops::RangeInclusive<i32> {
    libc::SIGRTMIN()..=libc::SIGRTMAX()
}

#[cfg(not(target_os = "linux"))]
fn real_time_signals() -> [i32; 0] {
    []
}
