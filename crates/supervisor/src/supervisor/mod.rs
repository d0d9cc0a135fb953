//! The event loop: signals, exits, channels and the control socket become events of the fleet.

mod manager_news;
mod requests;
mod signals;
mod worker_lines;

use std::os::fd::{AsFd, BorrowedFd};

use daemonic_core::sys::signal::Watch;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use self::manager_news::ManagerNews;
use crate::clock::{Millis, now};
use crate::control_socket::ControlSocket;
use crate::fleet::{ClientId, Fleet};
use crate::notify_socket::NotifySocket;
use crate::policy::Exit;
use crate::readiness_probe::ReadinessProbe;
use crate::real_world::RealWorld;

/// The fleet, the world that it decides about, and the sources of events.
pub struct Supervisor {
    pub fleet: Fleet,
    pub world: RealWorld,
    pub control: Option<ControlSocket>,
    pub notify_socket: Option<NotifySocket>,
    watch: Watch,
    news: ManagerNews,
    started_at: Millis,
    /// Whether the program maps signals that the log doesn't tell of yet.
    has_new_signals: bool,
    /// Clients that wait to hear how the daemon ends.
    outcome_clients: Vec<ClientId>,
}

impl Supervisor {
    /// Watches signals and opens the control socket; starts no worker.
    pub fn new(fleet: Fleet, mut world: RealWorld, notify_socket: Option<NotifySocket>) -> nix::Result<Self> {
        let watch = Watch::start(&signals::watched())?;
        world.notify_address = notify_socket.as_ref().map(|socket| socket.address.clone());
        let mut supervisor = Self {
            fleet,
            world,
            control: None,
            notify_socket,
            watch,
            news: ManagerNews::default(),
            started_at: now(),
            has_new_signals: false,
            outcome_clients: Vec::new(),
        };
        supervisor.watch_mapped();
        supervisor.open_control();
        Ok(supervisor)
    }

    /// Runs until every worker has exited and none is to be started; returns the exit code.
    pub fn run(&mut self) -> i32 {
        // Lines and exits from before the signals were watched, as during a re-exec, raise no event: look once.
        self.read_workers();
        self.take_exits();
        loop {
            if let Some(code) = self.fleet.exit_code() {
                self.answer_outcome(code);
                return code;
            }
            self.wait();
            let read_at = now();
            self.handle_signals();
            self.read_workers();
            self.take_exits();
            self.serve_control();
            self.probe_readiness();
            self.fleet.tick(&mut self.world, read_at);
            self.describe_signals();
            self.world.stderr_memory.trim(&self.world.workers, now());
            self.world.hand_lost_logs();
            self.send_answers();
            self.tell_news();
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
            self.next_news(now),
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

    fn take_exits(&mut self) {
        while let Some((pid, status)) = self.world.exited_worker() {
            self.read_last_words(pid);
            self.fleet.worker_exited(&mut self.world, pid, Exit::of(status));
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
        self.world.tell_of_waiting(now);
        let by = self.world.config.ready.probed_by();
        for pid in ready {
            self.fleet.worker_ready(&mut self.world, pid, by);
        }
    }
}

fn readable(descriptor: BorrowedFd<'_>) -> PollFd<'_> {
    PollFd::new(descriptor, PollFlags::POLLIN)
}
