//! The end of the first start, as the launcher, a service manager and a person at a terminal hear of it.

use std::io::Write;

use daemonic_core::error::Failure;
use daemonic_core::stdio::Tail;
use daemonic_core::sys::{descendants, process};
use nix::unistd::Pid;

use crate::fleet::{Announcement, Level, World};
use crate::real_world::RealWorld;

impl RealWorld {
    /// Reports that every worker of the first start is ready.
    pub fn report_success(&mut self) {
        self.announce_to_manager(Announcement::Ready);
        self.listeners.forget_unclaimed(&mut self.config.sockets, self.manager.as_ref());
        self.store_sockets();
        let Some(mut arrival) = self.arrival.take() else {
            if let Some(file) = &self.pid_file {
                let _ = file.mark_started();
            }
            return;
        };
        let reported = arrival.take_streams().and_then(|()| arrival.ready(self.pid_file.as_ref(), true));
        if reported.is_err() && !self.config.outlives_launcher {
            self.log(Level::Error, "the launcher ended before the daemon was ready");
            process::exit_now(1);
        }
    }

    /// Reports that the first start failed: by a step of ours, or by the program, whose stderr then says why.
    pub fn report_failure(&mut self, pid: Option<i32>, reason: &str, late: bool) {
        let process = pid.and_then(|pid| self.workers.get_mut(pid));
        let failure = match process {
            Some(process) => process.failure.take(),
            None => self.start_failure.take(),
        };
        self.announce_failure(reason, failure.as_ref());
        if let Some(failure) = &failure {
            return self.report_failed_step(failure);
        }
        // Repeat what the worker wrote to a memory file; otherwise it stands on the shared stderr already.
        let in_memory = pid
            .and_then(|pid| self.workers.get_mut(pid)?.tail.as_mut())
            .filter(|tail| tail.in_memory)
            .map(Tail::read)
            .unwrap_or_default();
        let _ = std::io::stderr().write_all(in_memory.as_bytes());
        if let Some(text) = pid.and_then(|pid| self.made_itself_a_daemon(pid)) {
            let _ = writeln!(std::io::stderr(), "{}: {text}", self.config.name);
        }
        match &self.arrival {
            Some(arrival) if late => arrival.time_out(),
            Some(_) => {}
            None => self.log(Level::Error, &format!("the start failed: {reason}")),
        }
    }

    /// Says that a program which has exited with 0 goes on in a process that it has left behind.
    fn made_itself_a_daemon(&self, pid: i32) -> Option<String> {
        process::status_of_exited(Pid::from_raw(pid)).filter(|&status| status == 0)?;
        let is_left = |child: &i32| !self.workers.contains(*child) && !self.known_children.contains(child);
        let mut left = descendants::children().into_iter().filter(is_left);
        let (daemon, name) = left.find_map(|child| Some((child, descendants::name_of(child)?)))?;
        Some(format!(
            "it made itself a daemon (pid {daemon}, {name}), which was ended: it has to stay in the foreground. Leave out its -d \
             or --daemon, or give the option for that, as --foreground, --nodaemon or `daemon off`"
        ))
    }

    fn report_failed_step(&mut self, failure: &Failure) {
        let path = failure.path.as_deref().and_then(std::path::Path::to_str);
        match &self.arrival {
            Some(arrival) => arrival.fail(failure.step, failure.errno, path),
            None => self.log(Level::Error, &self.explain(failure)),
        }
    }
}
