//! The world that the fleet decides about: processes, channels, sockets, logs. What the fleet asks for is done here.

use std::collections::HashMap;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use daemonic_core::arrival::Arrival;
use daemonic_core::channel::{Line, Lines};
use daemonic_core::error::{Error, Failure, Result as CoreResult};
use daemonic_core::limits::Limit;
use daemonic_core::logs;
use daemonic_core::notify::notify;
use daemonic_core::orders;
use daemonic_core::pidfile::Held;
use daemonic_core::process_facts::usage;
use daemonic_core::stdio::{STDERR_KEPT, Tail};
use daemonic_core::sys::title::Title;
use daemonic_core::sys::{fd, memory_file, process};
use daemonic_core::worker::{Kind, LateStreams, WorkerPlan};
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::unistd::Pid;

use crate::clock::{Millis, now};
use crate::config::{Config, Environment};
use crate::fleet::{ClientId, Level, World};
use crate::listeners::Listeners;
use crate::readiness_probe::ReadinessProbe;
use crate::supervisor_log::SupervisorLog;

/// Milliseconds between two times at which memory files that hold stderr are cut to their last STDERR_KEPT bytes.
const STDERR_TRIM_EVERY: Millis = 1_000;
/// Lines that are read from one worker in one turn of the loop: none may starve the others.
pub const MOST_LINES_PER_TURN: usize = 256;

/// Everything outside of the fleet that the supervisor holds or changes.
pub struct RealWorld {
    pub config: Config,
    pub plan: WorkerPlan,
    pub late: LateStreams,
    /// The channel to the launcher, until the first start has succeeded.
    pub arrival: Option<Arrival>,
    pub pid_file: Option<Held>,
    pub listeners: Listeners,
    /// Workers by pid.
    pub processes: HashMap<i32, WorkerProcess>,
    /// Answers that the control socket is to send.
    pub answers: Vec<(ClientId, Result<(), String>)>,
    own_log: SupervisorLog,
    title: Option<Title>,
    /// The address of the service manager that the supervisor reports to by sd_notify(3).
    pub manager: Option<String>,
    /// The address of the supervisor's own notify socket, for foreign programs.
    pub notify_address: Option<String>,
    /// Why the last try to start a worker failed.
    start_failure: Option<Failure>,
    next_trim: Millis,
}

/// What the supervisor holds of a worker.
pub struct WorkerProcess {
    /// The supervisor's end of the channel, until the worker closes its own.
    pub channel: Option<OwnedFd>,
    lines: Lines,
    /// Reads the end of what the worker wrote to stderr.
    pub tail: Option<Tail>,
    pub readiness: ReadinessProbe,
    /// The step that failed while the worker was being set up, before its exec or in its call of daemonize().
    failure: Option<Failure>,
}

impl WorkerProcess {
    /// Holds a worker that has reported no failure.
    pub fn new(channel: Option<OwnedFd>, tail: Option<Tail>, readiness: ReadinessProbe) -> Self {
        Self { channel, lines: Lines::default(), tail, readiness, failure: None }
    }
}

impl RealWorld {
    /// Starts with no process, socket or pid file: the caller adds what was handed over.
    pub fn new(config: Config, environment: Environment, manager: Option<String>, title: Option<Title>) -> Self {
        Self {
            plan: config.worker_plan(environment),
            own_log: SupervisorLog::new(&config.name, config.verbosity),
            late: LateStreams::default(),
            arrival: None,
            pid_file: None,
            listeners: Listeners::default(),
            processes: HashMap::new(),
            answers: Vec::new(),
            title,
            manager,
            notify_address: None,
            start_failure: None,
            next_trim: 0,
            config,
        }
    }

    /// Frees all but the end of every stderr that is a memory file: a foreign program writes there as long as it runs.
    pub fn trim_stderr(&mut self) {
        let now = now();
        if self.next_trim > now {
            return;
        }
        self.next_trim = now + STDERR_TRIM_EVERY;
        for tail in self.tails_in_memory() {
            memory_file::keep_last(tail.descriptor(), i64::from(STDERR_KEPT));
        }
    }

    /// When [`trim_stderr`](Self::trim_stderr) is due.
    pub fn next_trim(&self) -> Option<Millis> {
        self.tails_in_memory().next().map(|_| self.next_trim)
    }

    fn tails_in_memory(&self) -> impl Iterator<Item = &Tail> {
        self.processes.values().filter_map(|process| process.tail.as_ref()).filter(|tail| tail.in_memory)
    }

    /// Reads the next line from the channel of a worker; None when no whole line has arrived.
    pub fn next_line(&mut self, pid: i32) -> Option<Line> {
        let process = self.processes.get_mut(&pid)?;
        loop {
            match process.lines.next() {
                Some(Line::Failure(failure)) => {
                    // The worker could not be set up. Its exit follows, and is reported with this failure.
                    process.failure = Some(failure);
                }
                Some(line) => return Some(line),
                None => {}
            }
            let channel = process.channel.as_ref()?;
            let mut buffer = [0; 4096];
            match fd::read(channel.as_raw_fd(), &mut buffer) {
                Ok(0) => {
                    process.channel = None;
                    process.readiness.executed(now());
                }
                Ok(length) => process.lines.feed(&buffer[..length]),
                Err(_) => return None,
            }
        }
    }

    /// Finds a child that has exited and is still to be reaped: a worker or, where the supervisor is pid 1, any orphan.
    pub fn exited_child() -> Option<i32> {
        process::exited_child().ok().flatten().map(Pid::as_raw)
    }

    /// Reaps a child and returns its wait status. With killTree, a worker's process group is killed first: after the
    /// reaping, the number of the group may belong to another.
    pub fn reap(&mut self, pid: i32) -> Option<i32> {
        if self.processes.contains_key(&pid) && self.config.supervision.kill_tree {
            let _ = process::signal_child(Pid::from_raw(pid), libc::SIGKILL, true);
        }
        process::wait(Pid::from_raw(pid)).ok()
    }

    /// Hands a worker the socket that it asks for, or the reason why it gets none.
    pub fn hand_socket(&mut self, pid: i32, listen: &str, is_booting: bool) {
        let found = self.listeners.find_or_bind(&mut self.config.sockets, pid, listen, is_booting);
        let Some(channel) = self.processes.get(&pid).and_then(|process| process.channel.as_ref()) else { return };
        let _ = match found {
            Ok(listener) => orders::hand_socket(channel.as_fd(), listener.shared.as_fd(), &listener.address()),
            Err(failure) => {
                let path = failure.path.as_deref().map_or_else(String::new, |path| path.display().to_string());
                orders::refuse_socket(channel.as_fd(), failure.errno, &path)
            }
        };
    }

    fn start_worker(&mut self, slot: usize) -> CoreResult<i32> {
        self.listeners.bind_for_slot(slot, &self.config.sockets)?;
        let mut note = self.config.note.clone();
        note.insert("worker".to_owned(), slot.into());
        let note = serde_json::Value::Object(note).to_string();
        let is_foreign = matches!(self.plan.kind, Kind::Foreign(_));
        let mut variables = Vec::new();
        if let Some(address) = self.notify_address.clone().filter(|_| is_foreign) {
            variables.push(("NOTIFY_SOCKET".to_owned(), Some(address)));
            if let Some(limit) = self.config.supervision.watchdog {
                variables.push(("WATCHDOG_USEC".to_owned(), Some((limit * 1000).to_string())));
            }
        }
        let sockets = self.listeners.for_slot(slot);
        let worker = self.plan.start(&self.late, &sockets, &variables, &note)?;
        let _ = fcntl(&worker.channel, FcntlArg::F_SETFL(OFlag::O_NONBLOCK));
        let readiness = ReadinessProbe::of(&self.config.ready, is_foreign, worker.ready);
        self.processes.insert(worker.pid, WorkerProcess::new(Some(worker.channel), worker.tail, readiness));
        Ok(worker.pid)
    }

    /// Says what failed, on which path and why, for a person to read.
    fn explain(&self, failure: &Failure) -> String {
        let path = failure.path.as_deref().unwrap_or(&self.config.program.path).display();
        let detail = failure.detail.as_ref().map_or_else(String::new, |detail| format!(" ({detail})"));
        format!("{} {path}: {}{detail}", failure.step.name(), failure.errno.desc())
    }
}

impl World for RealWorld {
    fn now(&self) -> Millis {
        now()
    }

    fn start(&mut self, slot: usize) -> Result<i32, String> {
        self.start_worker(slot).map_err(|error| match error {
            Error::System(failure) => {
                let text = self.explain(&failure);
                self.start_failure = Some(failure);
                text
            }
            _ => "the worker could not be started".to_owned(),
        })
    }

    fn signal(&mut self, pid: i32, signal: i32) {
        let _ = process::signal_child(Pid::from_raw(pid), signal, false);
    }

    fn ask_to_stop(&mut self, pid: i32, signal: i32) {
        let channel = self.processes.get(&pid).and_then(|process| process.channel.as_ref());
        let is_sent = channel.is_some_and(|channel| orders::tell_to_stop(channel.as_fd(), signal).is_ok());
        if !is_sent {
            self.signal(pid, libc::SIGTERM);
        }
    }

    fn first_start_succeeded(&mut self) {
        self.notify("READY=1");
        let Some(mut arrival) = self.arrival.take() else {
            if let Some(file) = &self.pid_file {
                let _ = file.mark_started();
            }
            return;
        };
        let reported = arrival.take_streams().and_then(|()| arrival.ready(self.pid_file.as_ref()));
        if reported.is_err() && !self.config.outlives_launcher {
            self.log(Level::Error, "the launcher ended before the daemon was ready");
            process::exit_now(1);
        }
    }

    fn first_start_failed(&mut self, pid: Option<i32>, reason: &str, late: bool) {
        let process = pid.and_then(|pid| self.processes.get_mut(&pid));
        let failure = match process {
            Some(process) => process.failure.take(),
            None => self.start_failure.take(),
        };
        if let Some(failure) = &failure {
            let text = self.explain(failure);
            match &self.arrival {
                Some(arrival) => {
                    arrival.fail(
                        failure.step,
                        failure.errno,
                        failure.path.as_deref().and_then(std::path::Path::to_str),
                    );
                }
                None => self.log(Level::Error, &text),
            }
            return;
        }
        // Repeat what the worker wrote to a memory file; otherwise it stands on the shared stderr already.
        let in_memory = pid
            .and_then(|pid| self.processes.get_mut(&pid)?.tail.as_mut())
            .filter(|tail| tail.in_memory)
            .map(Tail::read)
            .unwrap_or_default();
        let _ = std::io::Write::write_all(&mut std::io::stderr(), in_memory.as_bytes());
        match &self.arrival {
            Some(arrival) if late => arrival.time_out(),
            Some(_) => {}
            None => self.log(Level::Error, &format!("the start failed: {reason}")),
        }
    }

    fn end_of_stderr(&mut self, pid: i32) -> String {
        let Some(process) = self.processes.get_mut(&pid) else { return String::new() };
        if let Some(failure) = process.failure.take() {
            let text = self.explain(&failure);
            if let Some(process) = self.processes.get_mut(&pid) {
                process.failure = Some(failure); // first_start_failed() needs it, too
            }
            return text;
        }
        let text = process.tail.as_mut().map(Tail::read).unwrap_or_default();
        self.own_log.without_own(&text)
    }

    fn resident_memory(&mut self, pid: i32) -> Option<u64> {
        usage(pid).map(|usage| usage.rss)
    }

    fn forbid_core_dumps(&mut self) {
        let limits = &mut self.config.resources.limits;
        let had = limits.len();
        limits.retain(|limit| !limit.is_of("core"));
        if had == limits.len() {
            return;
        }
        self.plan.resources = self.config.resources.clone();
        let set = Limit::new("core", Some(0), Some(0)).map(Limit::apply);
        match set {
            Some(Err(_)) => self.log(Level::Warning, "the limit of core dumps could not be set to 0"),
            _ => self.log(Level::Info, "no more core dumps: there is one"),
        }
    }

    fn begin_exit(&mut self) {
        if let Some(file) = &self.pid_file {
            file.mark_ending();
        }
        self.listeners.close();
    }

    fn close_slot_sockets(&mut self, slot: usize) {
        self.listeners.close_slot(slot);
    }

    fn reopen_logs(&mut self) {
        for (path, (mode, numbers)) in self.config.logs_by_path() {
            let [first, ..] = numbers[..] else { continue };
            let Some(text) = path.to_str() else { continue };
            let reopened = logs::reopen(first, text, mode, self.config.owner());
            if let Err(Error::System(failure)) = &reopened {
                let line = format!("{}; the old file goes on being used", self.explain(failure));
                self.log(Level::Warning, &line);
            }
            if !matches!(reopened, Ok(true)) {
                continue;
            }
            for &number in &numbers[1..] {
                let _ = fd::place(first, number);
            }
            let Ok(file) = fd::duplicate_raw(first, 3) else { continue };
            let log = self.plan.stderr_log.as_ref().filter(|_| numbers.contains(&2));
            for (pid, process) in &mut self.processes {
                if let Some(log) = log {
                    process.tail = Tail::of_log(log, self.config.owner());
                }
                let handed =
                    process.channel.as_ref().map(|channel| orders::hand_log(channel.as_fd(), file.as_fd(), &numbers));
                if !matches!(handed, Some(Ok(()))) {
                    let text = format!("pid {pid} keeps writing to the old log file: it can't be handed the new one");
                    self.own_log.write(Level::Warning, &text);
                }
            }
        }
    }

    fn answer(&mut self, client: ClientId, answer: Result<(), String>) {
        self.answers.push((client, answer));
    }

    fn log(&mut self, level: Level, text: &str) {
        // During the first start, stderr goes to the launcher, which shows it as what the program wrote: add nothing to
        // it but debug lines, which the user asked for.
        if self.arrival.is_none() || level > Level::Info {
            self.own_log.write(level, text);
        }
    }

    fn set_title(&mut self, text: &str) {
        if let Some(title) = &mut self.title {
            title.set(&format!("{}: {text}", self.config.name));
        }
    }

    fn notify(&mut self, text: &str) {
        if let Some(manager) = &self.manager {
            let _ = notify(manager, text);
        }
    }
}
