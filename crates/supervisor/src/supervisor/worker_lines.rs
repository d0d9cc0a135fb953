//! What workers say, by their channels and by datagrams.

use daemonic_core::notify::Notification;
use daemonic_core::worker_channel::WorkerLine;

use super::Supervisor;
use crate::clock::now;
use crate::config::{Open, Wishes};
use crate::fleet::{Level, Phase, ReadyBy, World};
use crate::notify_socket::NotifySocket;
use crate::rights;
use crate::state_file;
use crate::worker_processes::{SHARES_AT_EXIT, WorkerProcess};

impl Supervisor {
    pub(super) fn read_workers(&mut self) {
        for pid in self.world.workers.pids() {
            let lines = self.world.workers.get_mut(pid).map(|process| process.read_share(now()));
            for line in lines.into_iter().flatten() {
                self.handle_line(pid, line);
            }
        }
        let target = self.world.config.identity.user;
        // One after the other: as long as a datagram's descriptors are open, its sender waits.
        while let Some(mut datagram) = self.notify_socket.as_mut().and_then(NotifySocket::next) {
            let is_worker = |pid| self.world.workers.contains(pid);
            let Some(pid) = datagram.sender.and_then(|sender| sender.worker(target, is_worker)) else { continue };
            for notification in std::mem::take(&mut datagram.said) {
                self.handle_notification(pid, notification);
            }
        }
    }

    /// Reads what a worker wrote before it exited. What it asked for it needs no more.
    pub(super) fn read_last_words(&mut self, pid: i32) {
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

    /// Hears what the program's own call of daemonize() wants, once, and says so: until then the worker keeps its rights.
    fn hear(&mut self, pid: i32, request: u64, text: &str) {
        if self.world.workers.get_mut(pid).is_some_and(WorkerProcess::wishes_first)
            && let Ok(mut wishes) = serde_json::from_str::<Wishes>(text)
        {
            let has_rights = rights::are_shared_with(pid);
            if let Some(identity) = wishes.identity.take().filter(|_| has_rights) {
                self.world.learn(identity, std::mem::take(&mut wishes.resources));
            }
            self.grant(pid, wishes, has_rights);
        }
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
        config.watch_workers_for(self.world.manager.as_ref());
        if let Some(file) = &config.pid_file {
            state_file::set(file, [("stopTimeout", config.stop_timeout.into())]);
        }
        self.world.replan();
        let config = &self.world.config;
        self.fleet.change_ends(config.stop_timeout, config.ends_idle);
        if open.supervision {
            let supervision = config.supervision.clone();
            self.fleet.change_supervision(&mut self.world, supervision);
        }
    }

    pub(super) fn is_booting(&self, pid: i32) -> bool {
        self.fleet.workers.iter().any(|worker| worker.pid == pid && worker.is_booting())
    }
}
