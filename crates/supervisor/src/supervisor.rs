//! The event loop: signals, exits, channels and the control socket become events of the fleet.

use std::os::fd::{AsFd, BorrowedFd};

use daemonic_core::notify::Notification;
use daemonic_core::pidfile::Held;
use daemonic_core::place;
use daemonic_core::sys::signal::Watch;
use daemonic_core::worker_channel::WorkerLine;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use serde::Serialize;

use crate::clock::{Millis, now};
use crate::config::{Open, Wishes};
use crate::control_socket::{Answer, ControlSocket, Request};
use crate::fleet::{ClientId, Fleet, Level, Phase, ReadyBy, Worker, World};
use crate::mapped_signals::Share;
use crate::notify_socket::NotifySocket;
use crate::policy::Exit;
use crate::readiness_probe::ReadinessProbe;
use crate::real_world::RealWorld;
use crate::reexec::NextImage;
use crate::rights;
use crate::state_file;
use crate::status_report::StatusReport;
use crate::worker_processes::SHARES_AT_EXIT;

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

/// The fleet, the world that it decides about, and the sources of events.
pub struct Supervisor {
    pub fleet: Fleet,
    pub world: RealWorld,
    pub control: Option<ControlSocket>,
    pub notify_socket: Option<NotifySocket>,
    watch: Watch,
    started_at: Millis,
    /// Whether the program maps signals that the log doesn't tell of yet.
    has_new_signals: bool,
}

impl Supervisor {
    /// Watches signals and opens the control socket; starts no worker.
    pub fn new(fleet: Fleet, mut world: RealWorld, notify_socket: Option<NotifySocket>) -> nix::Result<Self> {
        let signals: Vec<i32> = OWN_SIGNALS.iter().chain(&PASSED_SIGNALS).copied().chain(real_time_signals()).collect();
        let watch = Watch::start(&signals)?;
        world.notify_address = notify_socket.as_ref().map(|socket| socket.address.clone());
        let mut supervisor =
            Self { fleet, world, control: None, notify_socket, watch, started_at: now(), has_new_signals: false };
        supervisor.watch_mapped();
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
            self.describe_signals();
            self.world.stderr_memory.trim(&self.world.workers, now());
            self.world.hand_lost_logs();
            self.send_answers();
        }
    }

    /// Blocks until a descriptor is ready or a deadline has passed.
    fn wait(&self) {
        let now = now();
        let (world, workers) = (&self.world, &self.world.workers);
        let of_workers =
            workers.iter().flat_map(|(_, process)| [process.readiness.next_look(), process.next_read(now)]);
        let others = [
            self.fleet.next_deadline(),
            world.stderr_memory.next_trim(workers),
            world.next_lost_log(),
            self.notify_socket.as_ref().and_then(|socket| socket.next_read(now)),
            self.control.as_ref().and_then(|control| control.next_accept(now)),
        ];
        let left = of_workers.chain(others).flatten().min().map(|deadline| deadline.saturating_sub(now));
        let timeout = left.map_or(PollTimeout::NONE, |left| PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX));
        let mut polled = vec![readable(self.watch.descriptor())];
        polled.extend(self.notify_socket.as_ref().and_then(|socket| socket.readable(now)).map(readable));
        for (_, process) in workers.iter() {
            polled.extend(process.readable_channel(now).map(readable));
            polled.extend(process.readiness.descriptor().map(|line| readable(line.as_fd())));
        }
        for (descriptor, flags) in self.control.iter().flat_map(|control| control.descriptors(now)) {
            polled.push(PollFd::new(descriptor, flags));
        }
        let _ = poll(&mut polled, timeout); // EINTR is no error: every source is read after each turn, ready or not
    }

    fn handle_signals(&mut self) {
        while let Some((signal, from_process)) = self.watch.next() {
            if signal != libc::SIGCHLD {
                self.reopen_control_if_removed();
            }
            if let Some(share) = self.world.config.signals.share(signal) {
                self.handle_mapped(signal, share);
                continue;
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

    /// Handles a signal that the program maps. The control socket goes on doing what the supervisor does by default with it.
    fn handle_mapped(&mut self, signal: i32, share: Share) {
        match share {
            Share::Stop => self.fleet.stop(&mut self.world, signal),
            Share::Reload => self.fleet.reload(&mut self.world, None),
            Share::ReopenLogs => self.world.reopen_logs(),
            Share::PassOn => self.fleet.pass_on(&mut self.world, signal),
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
        for pid in self.world.workers.pids() {
            let lines = self.world.workers.get_mut(pid).map(|process| process.read_share(now()));
            for line in lines.into_iter().flatten() {
                self.handle_line(pid, line);
            }
        }
        let datagrams = self.notify_socket.as_mut().map(NotifySocket::receive_share).unwrap_or_default();
        let target = self.world.config.identity.user;
        for (sender, said) in datagrams {
            let Some(pid) = sender.worker(target, |pid| self.world.workers.contains(pid)) else { continue };
            for notification in said {
                self.handle_notification(pid, notification);
            }
        }
    }

    /// Reads what a worker wrote before it exited. What it asked for it needs no more.
    fn read_last_words(&mut self, pid: i32) {
        for _ in 0..SHARES_AT_EXIT {
            let lines = self.world.workers.get_mut(pid).map(|process| process.read_share_at_exit(now()));
            let asks = |line: &WorkerLine| matches!(line, WorkerLine::Bind { .. } | WorkerLine::Wishes { .. });
            for line in lines.into_iter().flatten().filter(|line| !asks(line)) {
                self.handle_line(pid, line);
            }
        }
    }

    fn handle_line(&mut self, pid: i32, line: WorkerLine) {
        match line {
            WorkerLine::Ready => self.said_ready(pid, ReadyBy::Program),
            WorkerLine::ReadyBySight => self.said_ready(pid, ReadyBy::Sight),
            WorkerLine::Status(text) => self.fleet.set_status(pid, text),
            WorkerLine::Waiting(what) => {
                if self.is_booting(pid) {
                    self.world.waits_for(pid, &what);
                }
            }
            WorkerLine::Beat => self.fleet.heartbeat(&mut self.world, pid),
            WorkerLine::Idle(idle) => self.fleet.set_idle(&mut self.world, pid, idle),
            WorkerLine::Wishes { request, wishes } => self.hear(pid, request, &wishes),
            WorkerLine::Signals(text) => self.map_signals(pid, &text),
            WorkerLine::Bind { request, listen } => {
                self.world.hand_socket(pid, request, &listen, self.is_booting(pid));
            }
            WorkerLine::Stopping => self.fleet.worker_stopping(&mut self.world, pid),
            WorkerLine::LostLog(numbers) => self.world.hand_log_later(pid, numbers),
            WorkerLine::Failure(_) => {} // kept with the process, for its exit
        }
    }

    fn handle_notification(&mut self, pid: i32, notification: Notification) {
        match notification {
            Notification::Ready => self.said_ready(pid, ReadyBy::Program),
            Notification::Status(text) => self.fleet.set_status(pid, text),
            Notification::Beat => self.fleet.heartbeat(&mut self.world, pid),
            Notification::Stopping => self.fleet.worker_stopping(&mut self.world, pid),
        }
    }

    fn said_ready(&mut self, pid: i32, by: ReadyBy) {
        if !self.world.config.ready.is_probed() {
            self.fleet.worker_ready(&mut self.world, pid, by);
        }
    }

    /// Hears what the program's own call of daemonize() wants, and says so: until then the worker keeps its rights.
    fn hear(&mut self, pid: i32, request: u64, text: &str) {
        let Ok(mut wishes) = serde_json::from_str::<Wishes>(text) else { return };
        let has_rights = rights::are_shared_with(pid);
        if let Some(identity) = wishes.identity.take().filter(|_| has_rights) {
            self.world.learn(identity, std::mem::take(&mut wishes.resources));
        }
        self.grant(pid, wishes, has_rights);
        self.world.confirm(pid, request);
    }

    /// Grants what the program wants, as far as the operator left it open: to the worker of the first start that asks
    /// first, while it boots and has given up no rights. Later its text may be an attacker's.
    fn grant(&mut self, pid: i32, wishes: Wishes, has_rights: bool) {
        if self.fleet.phase != Phase::Starting || !self.is_booting(pid) || wishes.is_empty() {
            return;
        }
        let identity = self.world.config.open.identity;
        let open = std::mem::replace(&mut self.world.config.open, Open { identity, ..Open::default() });
        if open == (Open { identity, ..Open::default() }) {
            return;
        }
        if !has_rights {
            let text = "what the program asks for in daemonize() is not taken over, since it has given up its rights \
                        before: give `workers`, `monitor`, `stopTimeout` and `idleTimeout` at the start";
            return self.world.log(Level::Warning, text);
        }
        let config = &mut self.world.config;
        config.grant(open, wishes);
        if let Some([state, draft, ..]) = config.pid_file.as_ref().map(|file| &file.companions[..]) {
            state_file::set_stop_timeout(state, draft, config.stop_timeout);
        }
        self.world.replan();
        let config = &self.world.config;
        self.fleet.change_ends(config.stop_timeout, config.ends_idle);
        if open.supervision {
            let supervision = config.supervision.clone();
            self.fleet.change_supervision(&mut self.world, supervision);
        }
    }

    /// Learns which signals the program maps: it says so while it boots. A new release may map others than the old one.
    fn map_signals(&mut self, pid: i32, text: &str) {
        let is_booting = self.is_booting(pid);
        let Some(signals) = serde_json::from_str(text).ok().filter(|_| is_booting) else { return };
        if self.world.config.signals != signals {
            self.world.config.signals = signals;
            self.watch_mapped();
            self.has_new_signals = true;
        }
    }

    /// Watches signals that only the program has a meaning for.
    fn watch_mapped(&self) {
        for number in self.world.config.signals.numbers() {
            let _ = self.watch.add(number); // the numbers of libc's own threads, and those of KILL and STOP, are refused
        }
    }

    /// Says once which signals the program has taken; after the first start, whose stderr is the launcher's.
    fn describe_signals(&mut self) {
        if self.has_new_signals && self.fleet.phase == Phase::Running {
            self.has_new_signals = false;
            if let Some(text) = self.world.config.signals.description() {
                self.world.log(Level::Info, &text);
            }
        }
    }

    fn is_booting(&self, pid: i32) -> bool {
        self.fleet.workers.iter().any(|worker| worker.pid == pid && worker.is_booting())
    }

    fn reap(&mut self) {
        while let Some(pid) = RealWorld::exited_child() {
            self.read_last_words(pid);
            let Some(status) = self.world.reap(pid) else { continue };
            self.fleet.worker_exited(&mut self.world, pid, Exit::of(status));
            self.world.workers.drop_reaped();
        }
    }

    fn probe_readiness(&mut self) {
        let now = now();
        let is_due = |probe: &ReadinessProbe| {
            probe.descriptor().is_some() || probe.next_look().is_some_and(|deadline| deadline <= now)
        };
        let ready: Vec<i32> = self
            .world
            .workers
            .iter_mut()
            .filter_map(|(pid, process)| (is_due(&process.readiness) && process.readiness.look(now)).then_some(pid))
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
        // What the daemon's own user put there would be root's.
        let executable = std::slice::from_ref(&self.world.config.executable);
        let strange =
            self.world.config.gives_up_root().then(|| place::first_that_others_can_write(executable)).flatten();
        if let Some(path) = strange {
            return self.not_executed(&format!("others than root can write {}", path.display()));
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
        // Another daemon was started with this pid file, and the control socket's path is its own.
        if self.world.pid_file.as_ref().is_some_and(Held::is_replaced) {
            return;
        }
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
