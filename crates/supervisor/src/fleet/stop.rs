//! Ends that are asked for.

use super::{Fleet, Level, Phase, Role, Worker, World};
use crate::policy::{Exit, Verdict, signal_name};

impl Fleet {
    /// Asks all to end, gracefully; 0: because of no signal. What is asked for once counts once.
    pub fn stop(&mut self, world: &mut impl World, signal: i32) {
        if matches!(self.phase, Phase::Stopping { .. }) {
            return;
        }
        if signal != 0 {
            world.say(Level::Info, &format!("stopping on {}", signal_name(signal)));
        }
        self.end_with(world, 0, signal);
    }

    /// Nothing is started from here on.
    pub(super) fn end_with(&mut self, world: &mut impl World, code: i32, signal: i32) {
        self.phase = Phase::Stopping { code };
        world.notify("STOPPING=1");
        world.ending();
        for slot in &mut self.slots {
            slot.restart_at = None;
        }
        if self.reload.is_some() {
            self.again = false;
            self.fail_reload(world, "it is stopping");
        }
        for client in std::mem::take(&mut self.waiting) {
            world.reply(client, Err("it is stopping".to_owned()));
        }
        for pid in self.pids(|worker| worker.role != Role::Retired) {
            self.retire(world, pid, signal);
        }
    }

    /// Asks a worker to end, and counts on it no more.
    pub(super) fn retire(&mut self, world: &mut impl World, pid: i32, signal: i32) {
        let deadline = world.now() + self.terms.stop_timeout;
        let Some(worker) = self.worker(pid) else { return };
        worker.role = Role::Retired;
        worker.deadline = Some(deadline);
        if worker.ready {
            world.ask_to_stop(pid, signal);
        } else {
            world.signal(pid, libc::SIGTERM); // it has no handler yet, and nothing to finish
        }
    }

    pub(super) fn overdue(&mut self, world: &mut impl World, pid: i32) {
        let start_timeout = self.terms.start_timeout;
        let Some(worker) = self.worker(pid) else { return };
        let booting = !worker.ready && worker.role != Role::Retired;
        if booting && worker.verdict.is_none() {
            worker.verdict = Some(Verdict::Late);
            if self.phase != Phase::Starting {
                world.say(Level::Error, &format!("pid {pid} was not ready after {start_timeout} ms: killing it"));
            }
        } else {
            world.say(Level::Error, &format!("pid {pid} has not ended: killing it"));
        }
        self.kill(world, pid);
    }

    pub(super) fn kill(&mut self, world: &mut impl World, pid: i32) {
        if let Some(worker) = self.worker(pid) {
            worker.deadline = None;
            worker.killed = true;
            world.signal(pid, libc::SIGKILL);
        }
    }

    pub(super) fn ended_while_stopping(&mut self, world: &mut impl World, worker: &Worker, exit: Exit, code: i32) {
        world.say(Level::Info, &format!("pid {} {exit}", worker.pid));
        let own = match exit {
            _ if worker.killed => 1,
            // Nothing else was asked of it.
            Exit::Signal { number: libc::SIGTERM | libc::SIGINT | libc::SIGQUIT | libc::SIGHUP, .. } => 0,
            other => other.code(),
        };
        self.phase = Phase::Stopping { code: if code == 0 { own } else { code } };
    }
}
