//! Asking workers to stop, and killing those that do not.

use super::worker::Worker;
use super::{Announcement, Event, Fleet, Level, Phase, World};
use crate::clock::Millis;
use crate::policy::{Exit, signal_name};

/// Milliseconds within which a signal that comes again is a copy: a terminal, npm or a script sends one to the group, to
/// the process and by a parent that passes it on.
const COPIES: Millis = 100;

impl Fleet {
    /// Asks all workers to stop because of `signal`, 0 for none. A second INT, QUIT or TERM ends all at once.
    pub fn stop(&mut self, world: &mut impl World, signal: i32) {
        let now = world.now();
        let before = self.stop_signal;
        let is_copy = before.is_some_and(|(last, at)| last == signal && now < at + COPIES);
        if signal != 0 && !is_copy {
            self.stop_signal = Some((signal, now));
        }
        if !matches!(self.phase, Phase::Stopping { .. }) {
            if signal != 0 {
                world.log(Level::Info, &format!("stopping on {}", signal_name(signal)));
            }
            let is_starting = self.phase == Phase::Starting;
            self.begin_stop(world, 0, signal);
            if is_starting && matches!(signal, libc::SIGINT | libc::SIGQUIT) {
                self.phase = Phase::Stopping { code: 128 + signal };
                self.kill_booting(world);
            }
            return;
        }
        let ends = matches!(signal, libc::SIGINT | libc::SIGQUIT | libc::SIGTERM);
        if ends && before.is_some() && self.stop_signal != before {
            world.log(Level::Warning, &format!("{} while stopping: ending at once", signal_name(signal)));
            self.phase = Phase::Stopping { code: 128 + signal };
            self.kill_all(world);
        }
    }

    /// Asks all workers to stop, and starts none from here on; the supervisor is to exit with `code`.
    pub(super) fn begin_stop(&mut self, world: &mut impl World, code: i32, signal: i32) {
        self.phase = Phase::Stopping { code };
        world.announce(Announcement::Stopping);
        world.begin_exit();
        for slot in &mut self.slots {
            slot.restart_at = None;
        }
        if self.reload.is_some() {
            self.reload_again = false;
            self.fail_reload(world, "it is stopping");
        }
        for client in std::mem::take(&mut self.waiting_clients) {
            world.answer(client, Err("it is stopping".to_owned()));
        }
        for pid in self.pids(|_| true) {
            self.happens_on(world, pid, Event::Retire, signal);
        }
    }

    /// Kills a worker whose time to get ready, or to exit, is over.
    pub(super) fn deadline_passed(&mut self, world: &mut impl World, pid: i32) {
        let start_timeout = self.terms.start_timeout;
        let is_booting = self.worker(pid).is_some_and(|worker| worker.is_booting());
        if !is_booting {
            world.log(Level::Error, &format!("pid {pid} has not ended: killing it"));
        } else if self.phase != Phase::Starting {
            world.log(Level::Error, &format!("pid {pid} was not ready after {start_timeout} ms: killing it"));
        }
        self.happens(world, pid, Event::Deadline);
    }

    /// Kills every worker at once, and what earlier ones have left.
    pub(super) fn kill_all(&mut self, world: &mut impl World) {
        self.kill_all_remains(world);
        for pid in self.pids(|_| true) {
            self.happens(world, pid, Event::Deadline);
        }
    }

    /// Kills the workers that were asked to stop before they were ready: whoever types Ctrl-C doesn't wait for a start that
    /// hangs.
    fn kill_booting(&mut self, world: &mut impl World) {
        for pid in self.pids(Worker::never_served) {
            self.happens(world, pid, Event::Deadline);
        }
    }

    /// Takes the exit code of a worker over as the supervisor's own, unless there is a failure already.
    pub(super) fn exited_while_stopping(&mut self, world: &mut impl World, worker: &Worker, exit: Exit, code: i32) {
        world.log(Level::Info, &format!("pid {} {exit}", worker.pid));
        if worker.is_killed() {
            self.killed.push(worker.pid);
        }
        let own = match exit {
            _ if worker.is_killed() => 1,
            // These signals ask a worker to stop: being killed by one is what was asked for.
            Exit::Signal { number: libc::SIGTERM | libc::SIGINT | libc::SIGQUIT | libc::SIGHUP, .. } => 0,
            other => other.code(),
        };
        self.phase = Phase::Stopping { code: if code == 0 { own } else { code } };
    }
}
