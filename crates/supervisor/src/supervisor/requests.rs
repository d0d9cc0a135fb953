//! Requests that come by the control socket.

use daemonic_core::pidfile::Held;
use serde::Serialize;

use super::Supervisor;
use crate::control_socket::{Answer, ControlSocket, Request};
use crate::fleet::{ClientId, Level, World};
use crate::state_file;
use crate::status_report::StatusReport;

/// How a daemon has ended.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Outcome {
    ok: bool,
    exit_code: i32,
    /// Workers that had to be killed.
    killed: Vec<i32>,
}

impl Supervisor {
    pub(super) fn open_control(&mut self) {
        let Some(path) = &self.world.config.control else { return };
        // Another daemon was started with this pid file, and the control socket's path is its own.
        if self.world.pid_file.as_ref().is_some_and(Held::is_replaced) {
            return;
        }
        self.control = ControlSocket::open(path).ok();
        if self.control.is_none() {
            let line = format!(
                "no control socket at {}: the daemon can't be asked for status or reload there",
                path.display()
            );
            self.world.log(Level::Warning, &line);
        }
    }

    /// Opens the control socket again if its file was removed: without it, only a signal still reaches the supervisor.
    pub(super) fn reopen_control_if_removed(&mut self) {
        if self.world.config.control.is_some() && !self.control.as_ref().is_some_and(ControlSocket::is_in_place) {
            self.open_control();
        }
    }

    pub(super) fn serve_control(&mut self) {
        let requests = self.control.as_mut().map(ControlSocket::read_requests).unwrap_or_default();
        for (client, request) in requests {
            match request {
                Ok(request) => self.carry_out(client, request),
                Err(error) => self.answer(client, &Answer::from(Err(error))),
            }
        }
        self.send_answers();
    }

    fn carry_out(&mut self, client: ClientId, request: Request) {
        let success = Answer::from(Ok(()));
        match request {
            Request::Status => {
                let status = StatusReport::new(&self.fleet, &self.world, self.started_at);
                let text = serde_json::to_value(status).unwrap_or_default();
                self.answer(client, &text);
            }
            Request::Reload => self.fleet.reload(&mut self.world, Some(client)),
            Request::ReopenLogs => {
                self.world.reopen_logs();
                self.answer(client, &success);
            }
            Request::Scale { to } => {
                let result = self.scale_to(&to);
                self.answer(client, &Answer::from(result));
            }
            Request::Outcome => self.outcome_clients.push(client),
            Request::Signal { signal } => {
                self.fleet.pass_on(&mut self.world, signal);
                self.answer(client, &success);
            }
            Request::Stop => {
                self.answer(client, &success);
                self.fleet.stop(&mut self.world, 0);
            }
        }
    }

    /// Tells those who asked for it how the daemon has ended: it is about to exit.
    pub(super) fn answer_outcome(&mut self, exit_code: i32) {
        self.serve_control(); // whoever asks at the last moment
        let outcome = Outcome { ok: true, exit_code, killed: self.fleet.killed.clone() };
        for client in std::mem::take(&mut self.outcome_clients) {
            self.answer(client, &outcome);
        }
    }

    fn scale_to(&mut self, to: &str) -> Result<(), String> {
        let number = |text: &str| text.parse::<isize>().map_err(|_| format!("expected a number, +N or -N, got '{to}'"));
        let present = self.fleet.slots.len().cast_signed();
        let wanted = if to.starts_with(['+', '-']) { present.saturating_add(number(to)?) } else { number(to)? };
        let wanted = usize::try_from(wanted).map_err(|_| format!("expected at least 1 worker, got {wanted}"))?;
        self.scale(wanted)
    }

    /// Changes the number of workers, and notes it for a restart of the daemon.
    pub(super) fn scale(&mut self, to: usize) -> Result<(), String> {
        self.fleet.scale(&mut self.world, to)?;
        if let Some(file) = &self.world.config.pid_file {
            state_file::set(file, [("scaledTo", to.into())]);
        }
        Ok(())
    }

    /// Sends what the fleet has answered to requests of earlier turns, such as a reload.
    pub(super) fn send_answers(&mut self) {
        for (client, result) in std::mem::take(&mut self.world.answers) {
            self.answer(client, &Answer::from(result));
        }
    }

    fn answer(&mut self, client: ClientId, answer: &impl Serialize) {
        if let Some(control) = &mut self.control {
            control.answer(client, answer);
        }
    }
}
