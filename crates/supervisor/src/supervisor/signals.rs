//! Signals to the supervisor: its own, those that the program maps, and those that it passes on.

use super::Supervisor;
use crate::fleet::{Level, Phase, Worker, World};
use crate::mapped_signals::Share;
use crate::reexec::NextImage;

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

/// Lists the signals that come as events of their own accord; those that the program maps are added.
pub(super) fn watched() -> Vec<i32> {
    OWN_SIGNALS.iter().chain(&PASSED_SIGNALS).copied().chain(real_time_signals()).collect()
}

impl Supervisor {
    pub(super) fn handle_signals(&mut self) {
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
        if let Err(why) = self.scale(to) {
            self.world.log(Level::Warning, &why);
        }
    }

    /// Learns which signals the program maps: it says so while it boots. A new release may map others than the old one.
    pub(super) fn map_signals(&mut self, pid: i32, text: &str) {
        let is_booting = self.is_booting(pid);
        let Some(signals) = serde_json::from_str(text).ok().filter(|_| is_booting) else { return };
        if self.world.config.signals != signals {
            self.world.config.signals = signals;
            self.watch_mapped();
            self.has_new_signals = true;
        }
    }

    /// Watches signals that only the program has a meaning for.
    pub(super) fn watch_mapped(&self) {
        for number in self.world.config.signals.numbers() {
            let _ = self.watch.add(number); // the numbers of libc's own threads, and those of KILL and STOP, are refused
        }
    }

    /// Says once which signals the program has taken; after the first start, whose stderr is the launcher's.
    pub(super) fn describe_signals(&mut self) {
        if self.has_new_signals && self.fleet.phase == Phase::Running {
            self.has_new_signals = false;
            if let Some(text) = self.world.config.signals.description() {
                self.world.log(Level::Info, &text);
            }
        }
    }

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
}

#[cfg(target_os = "linux")]
fn real_time_signals() -> std::ops::RangeInclusive<i32> {
    libc::SIGRTMIN()..=libc::SIGRTMAX()
}

#[cfg(not(target_os = "linux"))]
fn real_time_signals() -> [i32; 0] {
    []
}
