//! The effects: what the fleet asks for is done here, to processes, sockets and logs.

use std::collections::BTreeSet;
use std::os::fd::{AsFd, RawFd};

use daemonic_core::arrival::Arrival;
use daemonic_core::error::{Error, Failure, Result as CoreResult, Step};
use daemonic_core::limits::Limit;
use daemonic_core::logs;
use daemonic_core::orders;
use daemonic_core::pidfile::Held;
use daemonic_core::place;
use daemonic_core::process_facts::usage;
use daemonic_core::resources::Resources;
use daemonic_core::service_manager::ServiceManager;
use daemonic_core::stdio::Tail;
use daemonic_core::sys::title::Title;
use daemonic_core::sys::{descendants, fd, process};
use daemonic_core::worker::{Kind, LateStreams, WorkerPlan};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::unistd::Pid;

use crate::clock::{Millis, now};
use crate::config::{Config, Environment, Identity, Ready};
use crate::fleet::{Announcement, ClientId, Level, Refused, ReloadWay, World};
use crate::listeners::Listeners;
use crate::own_ports;
use crate::policy::Reload;
use crate::readiness_probe::{ReadinessProbe, is_answered};
use crate::settling::{Accepting, Settling};
use crate::stderr_memory::StderrMemory;
use crate::supervisor_log::SupervisorLog;
use crate::worker_processes::{WorkerProcess, WorkerProcesses};

/// Milliseconds after which a worker is handed a log file again that it could not take.
const HAND_LOG_AGAIN_AFTER: Millis = 1_000;

/// Why a program that would begin as root is not started.
const OTHERS_WRITE: &str = "others than root can write it, and the program would begin as root";

/// Everything outside of the fleet that the supervisor holds or changes.
pub struct RealWorld {
    pub config: Config,
    pub plan: WorkerPlan,
    pub late: LateStreams,
    /// The channel to the launcher, until the first start has succeeded.
    pub arrival: Option<Arrival>,
    pub pid_file: Option<Held>,
    pub listeners: Listeners,
    pub workers: WorkerProcesses,
    pub stderr_memory: StderrMemory,
    /// Answers that the control socket is to send.
    pub answers: Vec<(ClientId, Result<(), String>)>,
    own_log: SupervisorLog,
    title: Option<Title>,
    /// The service manager that the supervisor reports to.
    pub manager: Option<ServiceManager>,
    /// The address of the supervisor's own notify socket, for foreign programs.
    pub notify_address: Option<String>,
    /// Why the last try to start a worker failed.
    pub start_failure: Option<Failure>,
    /// Whether every worker of the first start got ready.
    pub has_started: bool,
    /// Children that are no workers, and of which the log has told or that were here before the first worker.
    pub known_children: BTreeSet<i32>,
}

impl RealWorld {
    /// Starts with no process, socket or pid file: the caller adds what was handed over.
    pub fn new(
        config: Config,
        environment: Environment,
        manager: Option<ServiceManager>,
        title: Option<Title>,
    ) -> Self {
        Self {
            plan: config.worker_plan(environment),
            own_log: SupervisorLog::new(&config.name, config.verbosity),
            late: LateStreams::default(),
            arrival: None,
            pid_file: None,
            listeners: Listeners::default(),
            workers: WorkerProcesses::default(),
            stderr_memory: StderrMemory::default(),
            answers: Vec::new(),
            title,
            manager,
            notify_address: None,
            start_failure: None,
            has_started: false,
            known_children: BTreeSet::new(),
            config,
        }
    }

    /// Finds a worker that has exited, with its wait status, and reaps orphans that this process was given. While a worker
    /// waits for its group to end, it would be found ahead of all others: then only workers are looked at.
    pub fn exited_worker(&mut self) -> Option<(i32, i32)> {
        if self.workers.iter().any(|(_, process)| process.has_exited) {
            let mut running = self.workers.iter_mut().filter(|(_, process)| !process.has_exited);
            return running.find_map(|(pid, process)| {
                let status = process::status_of_exited(Pid::from_raw(pid))?;
                process.has_exited = true;
                Some((pid, status))
            });
        }
        loop {
            let (child, status) = process::exited_child().ok().flatten()?;
            if let Some(process) = self.workers.get_mut(child.as_raw()) {
                process.has_exited = true;
                return Some((child.as_raw(), status));
            }
            let _ = process::wait(child);
            self.known_children.remove(&child.as_raw());
        }
    }

    /// Ends all that the workers of a failed start have left, wherever it is.
    pub fn end_escaped(&self) {
        if self.config.supervision.kill_tree {
            descendants::end_children(&self.known_children);
        }
    }

    /// Hands a worker the socket that it asks for, or the reason why it gets none.
    pub fn hand_socket(&mut self, pid: i32, request: u64, listen: &str, is_booting: bool) {
        let found =
            self.listeners.find_or_bind(&mut self.config.sockets, pid, listen, is_booting, self.manager.as_ref());
        let Some(channel) = self.workers.get(pid).and_then(|process| process.channel.as_ref()) else { return };
        let _ = match found {
            Ok(listener) => orders::hand_socket(channel.as_fd(), request, listener.shared.as_fd(), &listener.address()),
            Err(failure) => {
                let path = failure.path.as_deref().map_or_else(String::new, |path| path.display().to_string());
                orders::refuse_socket(channel.as_fd(), request, failure.errno, &path)
            }
        };
    }

    /// Notes who the program becomes at its call, if the start left that open: workers that are started from now on are
    /// that from their exec on, and logs are reopened with that user's rights.
    pub fn learn(&mut self, identity: Identity, resources: Resources) {
        if !std::mem::take(&mut self.config.open.identity) {
            return;
        }
        self.config.identity = identity;
        self.config.resources.take_over(resources);
        self.replan();
    }

    /// Has the workers that are started from now on follow a changed configuration.
    pub fn replan(&mut self) {
        let environment = std::mem::take(&mut self.plan.environment);
        self.plan = self.config.worker_plan(environment);
    }

    /// Tells a worker that its wishes were heard.
    pub fn confirm(&self, pid: i32, request: u64) {
        let channel = self.workers.get(pid).and_then(|process| process.channel.as_ref());
        let _ = channel.map(|channel| orders::grant(channel.as_fd(), request));
    }

    /// Hands a worker the present log file for these outputs again, after a while: it had no descriptor free for it.
    pub fn hand_log_later(&mut self, pid: i32, numbers: Vec<RawFd>) {
        let Some(process) = self.workers.get_mut(pid) else { return };
        process.lost_log = Some((numbers, now() + HAND_LOG_AGAIN_AFTER));
        if !std::mem::replace(&mut process.has_lost_log, true) {
            let text =
                format!("pid {pid} keeps writing to the old log file until it has a descriptor free for the new one");
            self.own_log.write(Level::Warning, &text);
        }
    }

    /// When [`hand_lost_logs`](Self::hand_lost_logs) is due.
    pub fn next_lost_log(&self) -> Option<Millis> {
        self.workers.iter().filter_map(|(_, process)| Some(process.lost_log.as_ref()?.1)).min()
    }

    /// Hands over again the log files that workers could not take, once that is due.
    pub fn hand_lost_logs(&mut self) {
        let now = now();
        for (_, process) in self.workers.iter_mut() {
            let Some((numbers, _)) = process.lost_log.take_if(|(_, due)| *due <= now) else { continue };
            let Some(&first) = numbers.first().filter(|number| (1..=2).contains(*number)) else { continue };
            let (Some(channel), Ok(file)) = (&process.channel, fd::duplicate_raw(first, 3)) else { continue };
            if orders::hand_log(channel.as_fd(), file.as_fd(), &numbers).is_err() {
                process.lost_log = Some((numbers, now + HAND_LOG_AGAIN_AFTER));
            }
        }
    }

    /// Refuses to start a program as root whose code others can change.
    fn require_roots_code(&self) -> CoreResult<()> {
        if !self.config.begins_as_root() {
            return Ok(());
        }
        match place::first_that_others_can_write(&self.config.code) {
            Some(path) => Err(Failure::new(Step::Exec, "execve", Errno::EPERM).at(path).because(OTHERS_WRITE).into()),
            None => Ok(()),
        }
    }

    /// The address that the program binds itself and that is answered now, and how `--listen` would have it bound; None where
    /// it shares the supervisor's sockets. What the program says counts first, since another user's descriptors may not be
    /// readable.
    fn own_address(&self) -> Option<(String, String)> {
        if let Ready::Port(addresses) = &self.config.ready {
            let address = addresses.iter().find(|address| is_answered(address))?;
            return Some((address.clone(), format!("{address} and without --ready port, if it takes LISTEN_FDS")));
        }
        let running = self.workers.iter().filter(|(_, process)| self.config.sockets.is_empty() && !process.has_exited);
        let port = running.flat_map(|(pid, _)| own_ports::listened_on_by(pid)).next();
        port.map(|port| (format!("port {port}"), port.to_string()))
    }

    /// Refuses a start at an address that another process answers already: it would be taken for the program's.
    fn refuse_answered(&self) -> CoreResult<()> {
        let Ready::Port(addresses) = &self.config.ready else { return Ok(()) };
        if self.workers.iter().any(|(_, process)| !process.has_exited) {
            return Ok(());
        }
        match addresses.iter().find(|address| is_answered(address)) {
            Some(address) => Err(Failure::new(Step::Listen, "bind", Errno::EADDRINUSE).at(address).into()),
            None => Ok(()),
        }
    }

    fn start_worker(&mut self, slot: usize) -> CoreResult<i32> {
        self.refuse_answered()?;
        self.require_roots_code()?;
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
        let settling = is_foreign.then(|| self.settling_of(worker.pid));
        let readiness = ReadinessProbe::of(&self.config.ready, worker.ready, settling);
        self.workers.insert(worker.pid, WorkerProcess::new(Some(worker.channel), worker.tail, readiness));
        Ok(worker.pid)
    }

    /// What a program of another language waits for: to have settled and, in the first start, to accept connections.
    fn settling_of(&self, pid: i32) -> Settling {
        let settle = self.config.supervision.settle;
        let is_stream = |name: &str| self.config.sockets.iter().any(|socket| socket.name == name && !socket.udp);
        let listeners = self.listeners.iter().filter(|listener| !self.has_started && is_stream(&listener.name));
        let accepting = listeners.filter_map(|listener| {
            let socket = listener.shared.try_clone().ok()?;
            Some(Accepting { name: listener.name.clone(), address: listener.address(), socket, client: None })
        });
        Settling::new(pid, settle, accepting.collect())
    }

    /// Tells of programs that leave a connection waiting at the sockets that were bound for them.
    pub fn tell_of_waiting(&mut self, now: Millis) {
        let waiting = |(pid, process): (i32, &WorkerProcess)| {
            let (name, address) = process.readiness.waits_for(now).filter(|_| !process.has_hinted)?;
            Some((pid, name.to_owned(), address.to_owned()))
        };
        let found: Vec<_> = self.workers.iter().filter_map(waiting).collect();
        for (pid, name, address) in found {
            let bound = |port: &u16| self.listeners.iter().any(|each| each.address().ends_with(&format!(":{port}")));
            let own = own_ports::listened_on_by(pid).into_iter().find(|port| !bound(port));
            let elsewhere = own.map_or_else(String::new, |port| format!("; the program listens on port {port}"));
            let text = format!(
                "nobody accepts connections on `{name}` ({address}){elsewhere}. It has to take the socket that was bound \
                 for it (LISTEN_FDS); where it binds its port itself, give --ready port with the address of that"
            );
            self.waits_for(pid, &text);
        }
    }

    /// Tells the launcher what a worker that isn't ready waits for; without a launcher, the log. Each worker is heard once.
    pub fn waits_for(&mut self, pid: i32, what: &str) {
        let is_new = |process: &mut WorkerProcess| !std::mem::replace(&mut process.has_hinted, true);
        if !self.workers.get_mut(pid).is_some_and(is_new) {
            return;
        }
        let what = &what.replace(char::is_control, "?");
        match &self.arrival {
            Some(arrival) => arrival.waits_for(what),
            None => self.own_log.write(Level::Warning, &format!("pid {pid} is not ready yet: {what}")),
        }
    }

    /// Says what failed, on which path and why, for a person to read.
    pub fn explain(&self, failure: &Failure) -> String {
        let path = failure.path.as_deref().unwrap_or(&self.config.program.path).display();
        let detail = failure.detail.as_ref().map_or_else(String::new, |detail| format!(" ({detail})"));
        format!("{} {path}: {}{detail}", failure.step.name(), failure.errno.desc())
    }
}

impl World for RealWorld {
    fn now(&self) -> Millis {
        now()
    }

    fn start(&mut self, slot: usize) -> Result<i32, Refused> {
        self.start_worker(slot).map_err(|error| match error {
            Error::System(failure) => {
                let reason = self.explain(&failure);
                let is_passing = is_passing(&failure);
                self.start_failure = Some(failure);
                Refused { reason, is_passing }
            }
            _ => Refused { reason: "the worker could not be started".to_owned(), is_passing: false },
        })
    }

    fn signal(&mut self, pid: i32, signal: i32) -> Result<(), String> {
        // What the program maps goes over the channel: a terminal sends some of these to workers as well, which ignore them.
        let channel = self.workers.get(pid).and_then(|process| process.channel.as_ref());
        let is_sent = self.config.signals.is_passed_on(signal)
            && channel.is_some_and(|channel| orders::pass_signal_on(channel.as_fd(), signal).is_ok());
        if is_sent {
            return Ok(());
        }
        process::signal_child(Pid::from_raw(pid), signal, false).map_err(|errno| errno.desc().to_owned())
    }

    fn ask_to_stop(&mut self, pid: i32, signal: i32) -> Result<(), String> {
        let channel = self.workers.get(pid).and_then(|process| process.channel.as_ref());
        let is_sent = channel.is_some_and(|channel| orders::tell_to_stop(channel.as_fd(), signal).is_ok());
        if is_sent { Ok(()) } else { self.signal(pid, libc::SIGTERM) }
    }

    fn has_remains(&mut self, pid: i32) -> bool {
        if !self.config.supervision.kill_tree || !self.plan.leads_group {
            return false;
        }
        let is_apart = |child| self.workers.get(child).is_some_and(|process| !process.has_exited);
        descendants::is_group_alive(pid, is_apart).unwrap_or_else(|| {
            // The kernel doesn't tell: whatever is there is killed, since this is the last moment.
            let _ = self.signal_group(pid, libc::SIGKILL);
            false
        })
    }

    fn signal_group(&mut self, pid: i32, signal: i32) -> Result<(), String> {
        process::signal_child(Pid::from_raw(pid), signal, true).map_err(|errno| errno.desc().to_owned())
    }

    fn reap(&mut self, pid: i32) {
        self.workers.remove(pid);
        let _ = process::wait(Pid::from_raw(pid));
    }

    fn escaped(&mut self) -> Vec<String> {
        if !self.has_started || !self.config.supervision.kill_tree {
            return Vec::new();
        }
        let of_worker = |child| descendants::group_of(child).is_some_and(|group| self.workers.contains(group));
        let children = descendants::children().into_iter();
        let new: Vec<i32> =
            children.filter(|&child| !self.known_children.contains(&child) && !of_worker(child)).collect();
        self.known_children.extend(&new);
        new.iter().filter_map(|&pid| Some(format!("pid {pid} ({})", descendants::name_of(pid)?))).collect()
    }

    fn shares_sockets(&self) -> bool {
        !self.config.sockets.is_empty()
    }

    fn reload_way(&mut self) -> ReloadWay {
        let supervision = &self.config.supervision;
        match (supervision.reload_signal, supervision.reload) {
            (Some(signal), _) => ReloadWay::Signal(signal),
            (None, Reload::Restart) => ReloadWay::Restart,
            (None, Reload::RollOver) => ReloadWay::RollOver,
            (None, Reload::Auto) => match self.own_address() {
                None => ReloadWay::RollOver,
                Some((address, listen)) => ReloadWay::Refused(format!(
                    "it listens on {address} itself, where no successor can listen beside it. Start it with --listen {listen}, \
                     which shares the socket between old and new; with --reload-signal HUP, if it reloads at that signal; or \
                     with --reload restart, which stops it before the next starts"
                )),
            },
        }
    }

    fn first_start_succeeded(&mut self) {
        self.has_started = true;
        self.report_success();
    }

    fn first_start_failed(&mut self, pid: Option<i32>, reason: &str, late: bool) {
        self.report_failure(pid, reason, late);
    }

    fn end_of_stderr(&mut self, pid: i32) -> String {
        let Some(process) = self.workers.get_mut(pid) else { return String::new() };
        if let Some(failure) = process.failure.clone() {
            return self.explain(&failure);
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
        self.listeners.close(self.manager.as_ref().is_some_and(|manager| manager.stores_sockets));
    }

    fn close_slot_sockets(&mut self, slot: usize) {
        self.listeners.close_slot(slot);
    }

    fn reopen_logs(&mut self) {
        for (path, (mode, numbers)) in self.config.logs_by_path() {
            let [first, ..] = numbers[..] else { continue };
            let Some(text) = path.to_str() else { continue };
            let reopened = logs::reopen(first, text, mode, self.plan.owner.as_ref());
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
            for (pid, process) in self.workers.iter_mut() {
                if let Some(log) = log {
                    process.tail = Tail::of_log(log, self.plan.owner.as_ref());
                }
                process.lost_log = None;
                process.has_lost_log = false;
                let handed =
                    process.channel.as_ref().map(|channel| orders::hand_log(channel.as_fd(), file.as_fd(), &numbers));
                match handed {
                    Some(Ok(())) => {}
                    // It has not read its earlier orders.
                    Some(Err(_)) => process.lost_log = Some((numbers.clone(), now())),
                    None => {
                        let text =
                            format!("pid {pid} keeps writing to the old log file: it can't be handed the new one");
                        self.own_log.write(Level::Warning, &text);
                    }
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
            title.set(&format!("{}: {text}", self.config.title.as_ref().unwrap_or(&self.config.name)));
        }
    }

    fn announce(&mut self, what: Announcement) {
        self.announce_to_manager(what);
    }
}

/// Whether the system lacks something just now, so that the same call may succeed a little later. A failed fork has its
/// number of tries as its detail: it was tried often enough.
fn is_passing(failure: &Failure) -> bool {
    let is_short =
        matches!(failure.errno, Errno::EAGAIN | Errno::ENOMEM | Errno::ENOBUFS | Errno::EMFILE | Errno::ENFILE);
    is_short && failure.detail.is_none()
}
