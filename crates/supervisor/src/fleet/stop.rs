//! Asking workers to stop, and killing those that do not.

use super::{Fleet, Level, Phase, Role, Worker, World};
use crate::policy::{Exit, Verdict, signal_name};

impl Fleet {
    /// Asks all workers to stop because of `signal`, 0 for none. Further calls change nothing.
    pub fn stop(&mut self, world: &mut impl World, signal: i32) {
        if matches!(self.phase, Phase::Stopping { .. }) {
            return;
        }
        if signal != 0 {
            world.log(Level::Info, &format!("stopping on {}", signal_name(signal)));
        }
        self.begin_stop(world, 0, signal);
    }

    /// Asks all workers to stop, and starts none from here on; the supervisor is to exit with `code`.
    pub(super) fn begin_stop(&mut self, world: &mut impl World, code: i32, signal: i32) {
        self.phase = Phase::Stopping { code };
        world.notify("STOPPING=1");
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
        for pid in self.pids(|worker| worker.role != Role::Retired) {
            self.retire(world, pid, signal);
        }
    }

    /// Asks a worker to stop, and counts on it no more: its slot is free for another.
    pub(super) fn retire(&mut self, world: &mut impl World, pid: i32, signal: i32) {
        let deadline = world.now() + self.terms.stop_timeout;
        let Some(worker) = self.worker(pid) else { return };
        worker.role = Role::Retired;
        worker.deadline = Some(deadline);
        if worker.ready {
            world.ask_to_stop(pid, signal);
        } else {
            world.signal(pid, libc::SIGTERM); // while it boots it has nothing to finish, and reads no channel
        }
    }

    /// Kills a worker whose time to get ready, or to stop, is over.
    pub(super) fn deadline_passed(&mut self, world: &mut impl World, pid: i32) {
        let start_timeout = self.terms.start_timeout;
        let Some(worker) = self.worker(pid) else { return };
        let is_booting = !worker.ready && worker.role != Role::Retired;
        if is_booting && worker.verdict.is_none() {
            worker.verdict = Some(Verdict::Late);
            if self.phase != Phase::Starting {
                world.log(Level::Error, &format!("pid {pid} was not ready after {start_timeout} ms: killing it"));
            }
        } else {
            world.log(Level::Error, &format!("pid {pid} has not ended: killing it"));
        }
        self.kill(world, pid);
    }

    /// Kills a worker with SIGKILL.
    pub(super) fn kill(&mut self, world: &mut impl World, pid: i32) {
        if let Some(worker) = self.worker(pid) {
            worker.deadline = None;
            worker.killed = true;
            world.signal(pid, libc::SIGKILL);
        }
    }

    /// Takes the exit code of a worker over as the supervisor's own, unless there is a failure already.
    pub(super) fn exited_while_stopping(&mut self, world: &mut impl World, worker: &Worker, exit: Exit, code: i32) {
        world.log(Level::Info, &format!("pid {} {exit}", worker.pid));
        let own = match exit {
            _ if worker.killed => 1,
            // These signals ask a worker to stop: being killed by one is what was asked for.
            Exit::Signal { number: libc::SIGTERM | libc::SIGINT | libc::SIGQUIT | libc::SIGHUP, .. } => 0,
            other => other.code(),
        };
        self.phase = Phase::Stopping { code: if code == 0 { own } else { code } };
    }
}
