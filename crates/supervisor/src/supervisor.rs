//! The event loop: signals, ends, channels and the control socket become what happens to the fleet.

use std::collections::HashMap;
use std::os::fd::{AsFd, BorrowedFd};

use daemonic_core::channel::Line;
use daemonic_core::process_facts::usage;
use daemonic_core::sys::signal::Watch;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use serde::Serialize;

use crate::control::{Answer, Control, Request};
use crate::fleet::{Client, Fleet, Level, Phase, Role, World};
use crate::host::{Host, MOST_LINES, now};
use crate::notifications::{Notifications, ancestor};
use crate::policy::{Exit, Supervision};
use crate::resume;

/// What is ours to act on.
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
/// What is passed on to the workers; the others do what they do by default.
const PASSED_SIGNALS: [i32; 5] = [libc::SIGWINCH, libc::SIGALRM, libc::SIGVTALRM, libc::SIGPROF, libc::SIGIO];

/// In one turn of the loop.
const MOST_NOTIFICATIONS: usize = 64;

pub struct Supervisor {
    pub fleet: Fleet,
    pub host: Host,
    pub control: Option<Control>,
    pub notifications: Option<Notifications>,
    pub watch: Watch,
    started: crate::policy::Millis,
}

/// What `status` answers; times in milliseconds, sizes in bytes.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Status<'a> {
    ok: bool,
    name: &'a str,
    pid: u32,
    phase: &'static str,
    uptime: u64,
    /// By name.
    addresses: HashMap<&'a str, String>,
    workers: Vec<WorkerStatus<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct WorkerStatus<'a> {
    pid: i32,
    worker: usize,
    ready: bool,
    retiring: bool,
    uptime: u64,
    rss: u64,
    cpu_time: u64,
    restarts: u32,
    last_exit: Option<&'a str>,
    status_text: Option<&'a str>,
}

impl Supervisor {
    pub fn new(fleet: Fleet, mut host: Host, notifications: Option<Notifications>) -> nix::Result<Self> {
        let signals: Vec<i32> = OWN_SIGNALS.iter().chain(&PASSED_SIGNALS).copied().chain(real_time_signals()).collect();
        let watch = Watch::start(&signals)?;
        host.notify_address = notifications.as_ref().map(|notifications| notifications.address.clone());
        let mut supervisor = Self { fleet, host, control: None, notifications, watch, started: now() };
        supervisor.open_control();
        Ok(supervisor)
    }

    /// Runs until all is over: the exit code.
    pub fn run(&mut self) -> i32 {
        // What came before we listened, as over an exec of ours, comes as no event again.
        self.hear_workers();
        self.reap();
        loop {
            if let Some(code) = self.fleet.outcome() {
                return code;
            }
            self.wait();
            self.hear_signals();
            self.hear_workers();
            self.reap();
            self.serve();
            self.look_at_readiness();
            self.fleet.tick(&mut self.host);
            self.host.forget();
            self.give_answers();
        }
    }

    /// Blocks until something happened or is due.
    fn wait(&self) {
        let looks = self.host.processes.values().filter_map(|process| process.readiness.next_look());
        let deadline = looks.chain(self.fleet.next_deadline()).chain(self.host.next_forget()).min();
        let left = deadline.map(|deadline| deadline.saturating_sub(now()));
        let timeout = left.map_or(PollTimeout::NONE, |left| PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX));
        let mut polled = vec![readable(self.watch.descriptor())];
        if let Some(notifications) = &self.notifications {
            polled.push(readable(notifications.descriptor()));
        }
        for process in self.host.processes.values() {
            polled.extend(process.channel.iter().map(|channel| readable(channel.as_fd())));
            polled.extend(process.readiness.descriptor().map(|line| readable(line.as_fd())));
        }
        for (descriptor, flags) in self.control.iter().flat_map(Control::descriptors) {
            polled.push(PollFd::new(descriptor, flags));
        }
        let _ = poll(&mut polled, timeout); // EINTR: what happened is read all the same
    }

    fn hear_signals(&mut self) {
        while let Some((signal, from_process)) = self.watch.next() {
            if signal != libc::SIGCHLD {
                self.control_is_in_place();
            }
            match signal {
                libc::SIGTERM | libc::SIGINT | libc::SIGQUIT => self.fleet.stop(&mut self.host, signal),
                // The terminal is gone, and was ours.
                libc::SIGHUP if !from_process => self.fleet.stop(&mut self.host, signal),
                libc::SIGHUP => self.fleet.reload(&mut self.host, None),
                libc::SIGUSR1 => self.host.reopen_logs(),
                libc::SIGUSR2 => resume::execute_again(self),
                // The terminal sends these as well, to a background process that touches it.
                libc::SIGTTIN if from_process => self.scale_by(1),
                libc::SIGTTOU if from_process => self.scale_by(-1),
                libc::SIGTTIN | libc::SIGTTOU | libc::SIGCHLD => {}
                other => self.fleet.pass_on(&mut self.host, other),
            }
        }
    }

    fn scale_by(&mut self, change: isize) {
        let to = self.fleet.slots.len().saturating_add_signed(change).max(1);
        if let Err(why) = self.fleet.scale(&mut self.host, to) {
            self.host.say(Level::Warning, &why);
        }
    }

    fn hear_workers(&mut self) {
        let pids: Vec<i32> = self.host.processes.keys().copied().collect();
        for pid in pids {
            self.hear(pid);
        }
        // Anybody may send some: the rest has its turn when others have had theirs.
        for _ in 0..MOST_NOTIFICATIONS {
            let Some((sender, lines)) = self.notifications.as_ref().and_then(Notifications::receive) else { break };
            let Some(pid) = ancestor(sender, |pid| self.host.processes.contains_key(&pid)) else { continue };
            for line in lines {
                self.heard(pid, line);
            }
        }
    }

    fn hear(&mut self, pid: i32) {
        for _ in 0..MOST_LINES {
            let Some(line) = self.host.hear(pid) else { break };
            self.heard(pid, line);
        }
    }

    fn heard(&mut self, pid: i32, line: Line) {
        match line {
            Line::Ready if self.host.config.ready.is_seen_otherwise() => {}
            Line::Ready => self.fleet.ready(&mut self.host, pid),
            Line::Status(text) => self.fleet.status(pid, text),
            Line::Beat => self.fleet.beat(pid, now()),
            Line::Idle(idle) => self.fleet.idle(&mut self.host, pid, idle),
            Line::Supervision(text) => self.supervise(pid, &text),
            Line::Bind(listen) => self.bind(pid, &listen),
            Line::Stopping => self.fleet.stopping(&mut self.host, pid),
            Line::Pid(_) | Line::TimedOut | Line::Ended(_) | Line::Failure(_) => {}
        }
    }

    /// What the program itself asks for, where the command that started it left that open; not after it has booted.
    fn supervise(&mut self, pid: i32, text: &str) {
        let boots = self.fleet.workers.iter().any(|worker| worker.pid == pid && !worker.ready);
        let Some(supervision) = serde_json::from_str::<Supervision>(text).ok().filter(|_| boots) else { return };
        self.host.config.note.insert("workers".to_owned(), supervision.workers.into());
        self.host.plan.leads_group = supervision.kill_tree;
        self.host.config.supervision = supervision.clone();
        self.fleet.supervise(&mut self.host, supervision);
    }

    /// While it boots: later nobody needs a socket that is bound with our rights.
    fn bind(&mut self, pid: i32, listen: &str) {
        let boots = self.fleet.workers.iter().any(|worker| worker.pid == pid && !worker.ready);
        self.host.bind(pid, listen, boots);
    }

    fn reap(&mut self) {
        while let Some(pid) = Host::ended() {
            self.hear(pid); // its last words come first
            let Some(status) = self.host.reap(pid) else { continue };
            self.fleet.ended(&mut self.host, pid, Exit::of(status));
            self.host.processes.remove(&pid);
        }
    }

    fn look_at_readiness(&mut self) {
        let now = now();
        let due = |readiness: &crate::readiness::Readiness| {
            readiness.descriptor().is_some() || readiness.next_look().is_some_and(|at| at <= now)
        };
        let reached: Vec<i32> = self
            .host
            .processes
            .iter_mut()
            .filter_map(|(&pid, process)| (due(&process.readiness) && process.readiness.is_reached(now)).then_some(pid))
            .collect();
        for pid in reached {
            self.fleet.ready(&mut self.host, pid);
        }
    }

    // ── The control socket ───────────────────────────────────────────────────────────────

    pub fn open_control(&mut self) {
        let Some(path) = &self.host.config.control else { return };
        self.control = Control::open(path).ok();
        if self.control.is_none() {
            let line = format!("no control socket at {}: its status and reload are not to be had", path.display());
            self.host.say(Level::Warning, &line);
        }
    }

    /// One that somebody removed is made again when a signal makes us look.
    fn control_is_in_place(&mut self) {
        if self.host.config.control.is_some() && !self.control.as_ref().is_some_and(Control::is_in_place) {
            self.open_control();
        }
    }

    fn serve(&mut self) {
        let requests = self.control.as_mut().map(Control::turn).unwrap_or_default();
        for (client, request) in requests {
            match request {
                Ok(request) => self.carry_out(client, request),
                Err(error) => self.answer(client, &Answer::from(Err(error))),
            }
        }
        self.give_answers();
    }

    fn carry_out(&mut self, client: Client, request: Request) {
        let done = Answer::from(Ok(()));
        match request {
            Request::Status => {
                let status = self.status();
                let text = serde_json::to_value(status).unwrap_or_default();
                self.answer(client, &text);
            }
            Request::Reload => self.fleet.reload(&mut self.host, Some(client)),
            Request::ReopenLogs => {
                self.host.reopen_logs();
                self.answer(client, &done);
            }
            Request::Scale { to } => {
                let result = self.scale_to(&to);
                self.answer(client, &Answer::from(result));
            }
            Request::Stop => {
                self.answer(client, &done);
                self.fleet.stop(&mut self.host, 0);
            }
        }
    }

    fn scale_to(&mut self, to: &str) -> Result<(), String> {
        let number = |text: &str| text.parse::<isize>().map_err(|_| format!("expected a number, +N or -N, got '{to}'"));
        let present = self.fleet.slots.len().cast_signed();
        let wanted = if to.starts_with(['+', '-']) { present.saturating_add(number(to)?) } else { number(to)? };
        let wanted = usize::try_from(wanted).map_err(|_| format!("expected at least 1 worker, got {wanted}"))?;
        self.fleet.scale(&mut self.host, wanted)
    }

    fn status(&self) -> Status<'_> {
        let now = now();
        let workers = self.fleet.workers.iter().map(|worker| {
            let usage = usage(worker.pid);
            let slot = self.fleet.slots.get(worker.slot);
            WorkerStatus {
                pid: worker.pid,
                worker: worker.slot,
                ready: worker.ready,
                retiring: worker.role == Role::Retired,
                uptime: now.saturating_sub(worker.started),
                rss: usage.map_or(0, |usage| usage.rss),
                cpu_time: usage.map_or(0, |usage| usage.cpu),
                restarts: slot.map_or(0, |slot| slot.restarts),
                last_exit: slot.and_then(|slot| slot.last_exit.as_deref()),
                status_text: worker.status.as_deref(),
            }
        });
        Status {
            ok: true,
            name: &self.host.config.name,
            pid: std::process::id(),
            phase: match self.fleet.phase {
                Phase::Starting => "starting",
                Phase::Running if self.fleet.is_reloading() => "reloading",
                Phase::Running => "running",
                Phase::Stopping { .. } => "stopping",
            },
            uptime: now.saturating_sub(self.started),
            addresses: self.host.listeners.iter().map(|each| (each.name.as_str(), each.address())).collect(),
            workers: workers.collect(),
        }
    }

    fn give_answers(&mut self) {
        for (client, result) in std::mem::take(&mut self.host.answers) {
            self.answer(client, &Answer::from(result));
        }
    }

    fn answer(&mut self, client: Client, answer: &impl Serialize) {
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
