//! The kernel's side of the fleet: processes, channels, sockets, logs.

use std::collections::HashMap;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use daemonic_core::arrival::Arrival;
use daemonic_core::channel::{Line, Lines};
use daemonic_core::error::{Error, Failure, Result as CoreResult};
use daemonic_core::limits::Limit;
use daemonic_core::logs;
use daemonic_core::notify::notify;
use daemonic_core::orders;
use daemonic_core::pidfile::Held;
use daemonic_core::process_facts::usage;
use daemonic_core::sockets::SocketFile;
use daemonic_core::stdio::{STDERR_KEPT, Tail};
use daemonic_core::sys::title::Title;
use daemonic_core::sys::{fd, memory_file, process};
use daemonic_core::worker::{Kind, LateStreams, WorkerPlan};
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::time::{ClockId, clock_gettime};
use nix::unistd::Pid;

use crate::config::{Config, Environment};
use crate::fleet::{Client, Level, World};
use crate::journal::Journal;
use crate::listeners::Listener;
use crate::policy::Millis;
use crate::readiness::Readiness;

/// Milliseconds; see STDERR_KEPT for how much stays.
const FORGET_EVERY: Millis = 1_000;
/// As much as is heard of one worker in a turn: none may keep the others waiting.
pub const MOST_LINES: usize = 256;

pub struct Host {
    pub config: Config,
    pub plan: WorkerPlan,
    pub late: LateStreams,
    /// Until the start is over.
    pub arrival: Option<Arrival>,
    pub pid_file: Option<Held>,
    pub listeners: Vec<Listener>,
    pub processes: HashMap<i32, Process>,
    /// Answers that the control socket is to give.
    pub answers: Vec<(Client, Result<(), String>)>,
    pub journal: Journal,
    pub title: Option<Title>,
    /// The service manager that listens to us.
    pub manager: Option<String>,
    /// Where programs that speak sd_notify(3) find us.
    pub notify_address: Option<String>,
    /// Why the last start of a worker came to nothing.
    refusal: Option<Failure>,
    forget_at: Millis,
}

/// What we hold of a worker.
pub struct Process {
    pub channel: Option<OwnedFd>,
    pub lines: Lines,
    pub tail: Option<Tail>,
    pub readiness: Readiness,
    failure: Option<Failure>,
}

impl Process {
    pub fn new(channel: Option<OwnedFd>, tail: Option<Tail>, readiness: Readiness) -> Self {
        Self { channel, lines: Lines::default(), tail, readiness, failure: None }
    }
}

/// CLOCK_MONOTONIC: it goes on counting across an exec of ours.
pub fn now() -> Millis {
    let time = clock_gettime(ClockId::CLOCK_MONOTONIC).map(std::time::Duration::from);
    time.map_or(0, |time| Millis::try_from(time.as_millis()).unwrap_or(Millis::MAX))
}

impl Host {
    pub fn new(config: Config, environment: Environment, manager: Option<String>, title: Option<Title>) -> Self {
        Self {
            plan: config.worker_plan(environment),
            journal: Journal::new(&config.name, config.verbosity),
            late: LateStreams::default(),
            arrival: None,
            pid_file: None,
            listeners: Vec::new(),
            processes: HashMap::new(),
            answers: Vec::new(),
            title,
            manager,
            notify_address: None,
            refusal: None,
            forget_at: 0,
            config,
        }
    }

    /// Gives back what stderr that is memory has outgrown; a program that never heard of us writes there for life.
    pub fn forget(&mut self) {
        let now = now();
        if self.forget_at > now {
            return;
        }
        self.forget_at = now + FORGET_EVERY;
        for tail in self.memory_tails() {
            memory_file::keep_last(tail.descriptor(), i64::from(STDERR_KEPT));
        }
    }

    /// When forget() has something to do again.
    pub fn next_forget(&self) -> Option<Millis> {
        self.memory_tails().next().map(|_| self.forget_at)
    }

    fn memory_tails(&self) -> impl Iterator<Item = &Tail> {
        self.processes.values().filter_map(|process| process.tail.as_ref()).filter(|tail| tail.in_memory)
    }

    /// Reads what a worker said; None when there is no more to be heard just now.
    pub fn hear(&mut self, pid: i32) -> Option<Line> {
        let process = self.processes.get_mut(&pid)?;
        loop {
            match process.lines.next() {
                Some(Line::Failure(failure)) => {
                    // It never became what it was to be: its end, which follows, is told with this.
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

    /// A child that has ended, and stays to be reaped; ours or, where we are the first process, an orphan.
    pub fn ended() -> Option<i32> {
        process::exited_child().ok().flatten().map(Pid::as_raw)
    }

    /// Its status; with killTree, what it started goes first, while the group's number is still its own.
    pub fn reap(&mut self, pid: i32) -> Option<i32> {
        if self.processes.contains_key(&pid) && self.config.supervision.kill_tree {
            let _ = process::signal_child(Pid::from_raw(pid), libc::SIGKILL, true);
        }
        process::wait(Pid::from_raw(pid)).ok()
    }

    fn start_worker(&mut self, slot: usize) -> CoreResult<i32> {
        self.give_own_sockets(slot)?;
        let mut note = self.config.note.clone();
        note.insert("worker".to_owned(), slot.into());
        let note = serde_json::Value::Object(note).to_string();
        let foreign = matches!(self.plan.kind, Kind::Foreign(_));
        let mut variables = Vec::new();
        if let Some(address) = self.notify_address.clone().filter(|_| foreign) {
            variables.push(("NOTIFY_SOCKET".to_owned(), Some(address)));
            if let Some(limit) = self.config.supervision.watchdog {
                variables.push(("WATCHDOG_USEC".to_owned(), Some((limit * 1000).to_string())));
            }
        }
        let sockets: Vec<(&str, BorrowedFd<'_>)> = self
            .listeners
            .iter()
            .map(|listener| (listener.name.as_str(), listener.own.get(&slot).unwrap_or(&listener.shared).as_fd()))
            .collect();
        let worker = self.plan.start(&self.late, &sockets, &variables, &note)?;
        let _ = fcntl(&worker.channel, FcntlArg::F_SETFL(OFlag::O_NONBLOCK));
        let readiness = Readiness::of(&self.config.ready, foreign, worker.ready);
        self.processes.insert(worker.pid, Process::new(Some(worker.channel), worker.tail, readiness));
        Ok(worker.pid)
    }

    fn explain(&self, failure: &Failure) -> String {
        let path = failure.path.as_deref().unwrap_or(&self.config.program.path).display();
        let detail = failure.detail.as_ref().map_or_else(String::new, |detail| format!(" ({detail})"));
        format!("{} {path}: {}{detail}", failure.step.name(), failure.errno.desc())
    }
}

impl World for Host {
    fn now(&self) -> Millis {
        now()
    }

    fn start(&mut self, slot: usize) -> Result<i32, String> {
        self.start_worker(slot).map_err(|error| match error {
            Error::System(failure) => {
                let text = self.explain(&failure);
                self.refusal = Some(failure);
                text
            }
            _ => "it could not be started".to_owned(),
        })
    }

    fn signal(&mut self, pid: i32, signal: i32) {
        let _ = process::signal_child(Pid::from_raw(pid), signal, false);
    }

    fn ask_to_stop(&mut self, pid: i32, signal: i32) {
        let channel = self.processes.get(&pid).and_then(|process| process.channel.as_ref());
        let told = channel.is_some_and(|channel| orders::tell_to_stop(channel.as_fd(), signal).is_ok());
        if !told {
            self.signal(pid, libc::SIGTERM);
        }
    }

    fn started(&mut self) {
        self.notify("READY=1");
        let Some(mut arrival) = self.arrival.take() else {
            if let Some(file) = &self.pid_file {
                let _ = file.mark_started();
            }
            return;
        };
        let told = arrival.take_streams().and_then(|()| arrival.ready(self.pid_file.as_ref()));
        if told.is_err() && !self.config.outlives_launcher {
            self.say(Level::Error, "the launcher ended before the daemon was ready");
            process::exit_now(1);
        }
    }

    fn start_failed(&mut self, pid: Option<i32>, reason: &str, late: bool) {
        let process = pid.and_then(|pid| self.processes.get_mut(&pid));
        let failure = match process {
            Some(process) => process.failure.take(),
            None => self.refusal.take(),
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
                None => self.say(Level::Error, &text),
            }
            return;
        }
        // What it wrote is where ours goes, unless that was memory of its own.
        let in_memory = pid
            .and_then(|pid| self.processes.get_mut(&pid)?.tail.as_mut())
            .filter(|tail| tail.in_memory)
            .map(Tail::read)
            .unwrap_or_default();
        let _ = std::io::Write::write_all(&mut std::io::stderr(), in_memory.as_bytes());
        match &self.arrival {
            Some(arrival) if late => arrival.time_out(),
            Some(_) => {}
            None => self.say(Level::Error, &format!("the start failed: {reason}")),
        }
    }

    fn last_words(&mut self, pid: i32) -> String {
        let Some(process) = self.processes.get_mut(&pid) else { return String::new() };
        if let Some(failure) = process.failure.take() {
            let text = self.explain(&failure);
            if let Some(process) = self.processes.get_mut(&pid) {
                process.failure = Some(failure);
            }
            return text;
        }
        let text = process.tail.as_mut().map(Tail::read).unwrap_or_default();
        self.journal.without_own(&text)
    }

    fn resident(&mut self, pid: i32) -> Option<u64> {
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
            Some(Err(_)) => self.say(Level::Warning, "the limit of core dumps could not be set to 0"),
            _ => self.say(Level::Info, "no more core dumps: there is one"),
        }
    }

    fn ending(&mut self) {
        if let Some(file) = &self.pid_file {
            file.mark_ending();
        }
        // Nobody connects any more to what nobody will accept. Who has connected is still answered by the workers.
        for listener in self.listeners.drain(..) {
            listener.file.iter().for_each(SocketFile::remove);
        }
    }

    fn drop_slot(&mut self, slot: usize) {
        for listener in &mut self.listeners {
            listener.own.remove(&slot);
        }
    }

    fn reopen_logs(&mut self) {
        for (path, (mode, numbers)) in self.config.logs_by_path() {
            let [first, ..] = numbers[..] else { continue };
            let Some(text) = path.to_str() else { continue };
            let reopened = logs::reopen(first, text, mode, self.config.owner());
            if let Err(Error::System(failure)) = &reopened {
                let line = format!("{}; the old file goes on being used", self.explain(failure));
                self.say(Level::Warning, &line);
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
                    process.tail = Tail::of_log(log);
                }
                let told =
                    process.channel.as_ref().map(|channel| orders::hand_log(channel.as_fd(), file.as_fd(), &numbers));
                if !matches!(told, Some(Ok(()))) {
                    self.journal.say(Level::Warning, &format!("pid {pid} goes on with the old log: it takes no other"));
                }
            }
        }
    }

    fn reply(&mut self, client: Client, answer: Result<(), String>) {
        self.answers.push((client, answer));
    }

    fn say(&mut self, level: Level, text: &str) {
        // Until the start is over what stands on stderr is what the program wrote, and goes to the launcher.
        if self.arrival.is_none() || level > Level::Info {
            self.journal.say(level, text);
        }
    }

    fn title(&mut self, text: &str) {
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
