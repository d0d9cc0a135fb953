//! The decisions of the fleet, event by event, in a simulated world that records what the fleet does to it.

mod reload;
mod remains;
mod stages;

use std::collections::HashMap;

use super::{Announcement, ClientId, Failing, Fleet, Level, Phase, ReadyBy, Refused, ReloadWay, Terms, World};
use crate::clock::Millis;
use crate::policy::tests::supervision;
use crate::policy::{Exit, Restart};

#[derive(Default)]
pub(in crate::fleet) struct SimulatedWorld {
    pub(in crate::fleet) now: Millis,
    /// The pid of the worker that was started last.
    pub(in crate::fleet) pid: i32,
    /// What the fleet has done, in words.
    pub(in crate::fleet) actions: Vec<String>,
    pub(in crate::fleet) refuse: bool,
    pub(in crate::fleet) refuses_in_passing: bool,
    /// Workers that may not be signalled.
    pub(in crate::fleet) out_of_reach: Vec<i32>,
    pub(in crate::fleet) stderr: HashMap<i32, String>,
    pub(in crate::fleet) memory: HashMap<i32, u64>,
    pub(in crate::fleet) replies: Vec<(ClientId, Result<(), String>)>,
    pub(in crate::fleet) title: String,
    /// Workers whose groups live on when they exit.
    pub(in crate::fleet) remains: Vec<i32>,
    pub(in crate::fleet) shares_sockets: bool,
    pub(in crate::fleet) escaped: Vec<String>,
    pub(in crate::fleet) reload_way: Option<ReloadWay>,
}

impl SimulatedWorld {
    /// What the fleet has done since the last call.
    pub(in crate::fleet) fn take_actions(&mut self) -> Vec<String> {
        std::mem::take(&mut self.actions)
    }

    fn note(&mut self, what: impl Into<String>) {
        self.actions.push(what.into());
    }
}

impl World for SimulatedWorld {
    fn now(&self) -> Millis {
        self.now
    }
    fn start(&mut self, slot: usize) -> Result<i32, Refused> {
        if self.refuse {
            return Err(Refused { reason: "second fork: EAGAIN".to_owned(), is_passing: self.refuses_in_passing });
        }
        self.pid += 1;
        let pid = self.pid;
        self.note(format!("start {slot}"));
        Ok(pid)
    }
    fn signal(&mut self, pid: i32, signal: i32) -> Result<(), String> {
        self.note(format!("signal {pid} {signal}"));
        if self.out_of_reach.contains(&pid) { Err("Operation not permitted".to_owned()) } else { Ok(()) }
    }
    fn ask_to_stop(&mut self, pid: i32, signal: i32) -> Result<(), String> {
        self.note(format!("stop {pid} {signal}"));
        Ok(())
    }
    fn has_remains(&mut self, pid: i32) -> bool {
        self.remains.contains(&pid)
    }
    fn signal_group(&mut self, pid: i32, signal: i32) -> Result<(), String> {
        self.note(format!("signal group {pid} {signal}"));
        Ok(())
    }
    fn reap(&mut self, pid: i32) {
        if self.remains.contains(&pid) || !self.escaped.is_empty() {
            self.note(format!("reap {pid}"));
        }
    }
    fn escaped(&mut self) -> Vec<String> {
        std::mem::take(&mut self.escaped)
    }
    fn shares_sockets(&self) -> bool {
        self.shares_sockets
    }
    fn reload_way(&mut self) -> ReloadWay {
        self.reload_way.clone().unwrap_or(ReloadWay::RollOver)
    }
    fn first_start_succeeded(&mut self) {
        self.note("started");
    }
    fn first_start_failed(&mut self, pid: Option<i32>, reason: &str, late: bool) {
        self.note(format!("failed {pid:?} {reason} {late}"));
    }
    fn end_of_stderr(&mut self, pid: i32) -> String {
        self.stderr.remove(&pid).unwrap_or_default()
    }
    fn resident_memory(&mut self, pid: i32) -> Option<u64> {
        self.memory.get(&pid).copied()
    }
    fn forbid_core_dumps(&mut self) {
        self.note("no cores");
    }
    fn begin_exit(&mut self) {}
    fn close_slot_sockets(&mut self, slot: usize) {
        self.note(format!("drop {slot}"));
    }
    fn reopen_logs(&mut self) {
        self.note("reopen");
    }
    fn answer(&mut self, client: ClientId, answer: Result<(), String>) {
        self.replies.push((client, answer));
    }
    fn log(&mut self, level: Level, text: &str) {
        if level < Level::Info {
            self.note(format!("say {text}"));
        }
    }
    fn set_title(&mut self, text: &str) {
        text.clone_into(&mut self.title);
    }
    fn announce(&mut self, _what: Announcement) {}
}

pub(in crate::fleet) const PROGRAM: ReadyBy = ReadyBy::Program;
pub(in crate::fleet) const SEGV: Exit = Exit::Signal { number: libc::SIGSEGV, core_dumped: false };
pub(in crate::fleet) const KILLED: Exit = Exit::Signal { number: libc::SIGKILL, core_dumped: false };

pub(in crate::fleet) fn terms(workers: usize, restart: Restart) -> Terms {
    let supervision = crate::policy::Supervision { workers, scalable: workers > 1, ..supervision(restart) };
    Terms { supervision, start_timeout: 30_000, stop_timeout: 25_000, ends_idle: false }
}

pub(in crate::fleet) fn starting(terms: Terms) -> (Fleet, SimulatedWorld) {
    let mut world = SimulatedWorld::default();
    let mut fleet = Fleet::new(terms, 0);
    fleet.start_all(&mut world);
    (fleet, world)
}

/// A fleet whose workers, with the pids 1, 2, …, are all ready.
pub(in crate::fleet) fn running(terms: Terms) -> (Fleet, SimulatedWorld) {
    let (mut fleet, mut world) = starting(terms);
    for pid in 1..=world.pid {
        fleet.worker_ready(&mut world, pid, PROGRAM);
    }
    world.take_actions();
    (fleet, world)
}

pub(in crate::fleet) fn at(fleet: &mut Fleet, world: &mut SimulatedWorld, now: Millis) {
    world.now = now;
    fleet.tick(world, now);
}

#[test]
fn the_start_is_over_when_every_worker_is_ready() {
    let (mut fleet, mut world) = starting(terms(3, Restart::Always));
    assert_eq!(world.take_actions(), ["start 0", "start 1", "start 2"]);
    for pid in [2, 3] {
        fleet.worker_ready(&mut world, pid, PROGRAM);
    }
    assert_eq!(fleet.phase, Phase::Starting);
    fleet.worker_ready(&mut world, 1, PROGRAM);
    assert_eq!((fleet.phase, world.take_actions()), (Phase::Running, vec!["started".to_owned()]));
    assert_eq!(world.title, "monitoring 3 workers (healthy)");
}

#[test]
fn a_worker_that_fails_in_the_first_start_ends_all_with_its_code() {
    let (mut fleet, mut world) = starting(terms(2, Restart::Always));
    world.take_actions();
    fleet.worker_ready(&mut world, 1, PROGRAM);
    fleet.worker_exited(&mut world, 2, Exit::Code(3));
    assert_eq!(world.take_actions(), ["failed Some(2) pid 2 ended with 3 false", "stop 1 0", "signal 1 9"]);
    assert_eq!(fleet.exit_code(), None);
    fleet.worker_exited(&mut world, 1, KILLED);
    assert_eq!(fleet.exit_code(), Some(3));
}

#[test]
fn a_worker_that_exits_with_0_before_it_is_ready_has_failed() {
    let (mut fleet, mut world) = starting(terms(1, Restart::Always));
    fleet.worker_exited(&mut world, 1, Exit::Code(0));
    assert_eq!(fleet.exit_code(), Some(1));
}

#[test]
fn a_first_start_that_takes_too_long_is_ended_with_124() {
    let (mut fleet, mut world) = starting(terms(1, Restart::Always));
    world.take_actions();
    assert_eq!(fleet.next_deadline(), Some(30_000));
    at(&mut fleet, &mut world, 30_000);
    assert_eq!(world.take_actions(), ["signal 1 9"]);
    fleet.worker_exited(&mut world, 1, KILLED);
    assert_eq!(world.take_actions(), ["failed Some(1) pid 1 was not ready in time true"]);
    assert_eq!(fleet.exit_code(), Some(124));
}

#[test]
fn a_worker_that_can_not_be_started_at_all_fails_the_first_start_and_is_tried_again_later() {
    let mut world = SimulatedWorld { refuse: true, ..SimulatedWorld::default() };
    let mut fleet = Fleet::new(terms(2, Restart::Always), 0);
    fleet.start_all(&mut world);
    assert_eq!(world.take_actions(), ["failed None second fork: EAGAIN false"]);
    assert_eq!(fleet.exit_code(), Some(1));

    let (mut fleet, mut world) = running(terms(1, Restart::Always));
    fleet.worker_exited(&mut world, 1, SEGV);
    world.refuse = true;
    at(&mut fleet, &mut world, 0);
    assert_eq!(
        world.take_actions(),
        ["say 1 failure: pid 1 killed by SIGSEGV", "say 2 failures: second fork: EAGAIN, waiting 100 ms"]
    );
    world.refuse = false;
    at(&mut fleet, &mut world, 100);
    assert_eq!(world.take_actions(), ["start 0"]);
}

#[test]
fn a_failure_is_followed_by_a_start_at_once_then_by_longer_and_longer_pauses() {
    let (mut fleet, mut world) = running(terms(1, Restart::OnFailure));
    for (pid, delay) in [(1, 0), (2, 100), (3, 200), (4, 400)] {
        fleet.worker_exited(&mut world, pid, Exit::Code(1));
        assert_eq!(fleet.next_deadline(), Some(world.now + delay));
        if delay > 0 {
            let before = world.now + delay - 1;
            at(&mut fleet, &mut world, before);
            assert!(!world.take_actions().contains(&"start 0".to_owned()), "not before {delay} ms");
        }
        let due = fleet.next_deadline().unwrap_or(0);
        at(&mut fleet, &mut world, due);
        assert!(world.take_actions().contains(&"start 0".to_owned()), "after {delay} ms");
        fleet.worker_ready(&mut world, pid + 1, PROGRAM);
    }
    assert_eq!(world.title, "monitoring pid 5 (4 failures: pid 4 ended with 1)");
    assert_eq!(fleet.slots[0].restarts, 4);
    assert_eq!(fleet.slots[0].last_exit.as_deref(), Some("ended with 1"));
}

#[test]
fn a_steady_run_is_healthy_again() {
    let (mut fleet, mut world) = running(terms(1, Restart::OnFailure));
    fleet.worker_exited(&mut world, 1, SEGV);
    at(&mut fleet, &mut world, 0);
    fleet.worker_ready(&mut world, 2, PROGRAM);
    at(&mut fleet, &mut world, 9_999);
    assert_eq!(fleet.slots[0].failures, 1);
    assert_eq!(fleet.next_deadline(), Some(10_000));
    at(&mut fleet, &mut world, 10_000);
    assert_eq!((fleet.slots[0].failures, world.title.as_str()), (0, "monitoring pid 2 (healthy)"));
    assert_eq!(fleet.next_deadline(), None);
}

#[test]
fn after_the_most_failures_of_a_slot_all_end_with_its_code() {
    let mut terms = terms(2, Restart::Always);
    terms.supervision.max_failures = Some(2);
    let (mut fleet, mut world) = running(terms);
    fleet.worker_exited(&mut world, 1, Exit::Code(7));
    at(&mut fleet, &mut world, 0);
    world.take_actions();
    // Another slot's failure counts by itself.
    fleet.worker_exited(&mut world, 2, Exit::Code(8));
    at(&mut fleet, &mut world, 0);
    assert_eq!(fleet.phase, Phase::Running);
    world.take_actions();
    fleet.worker_exited(&mut world, 3, Exit::Code(7));
    assert_eq!(world.take_actions(), ["say 2 failures: pid 3 ended with 7, giving up", "signal 4 15"]);
    fleet.worker_exited(&mut world, 4, Exit::Signal { number: libc::SIGTERM, core_dumped: false });
    assert_eq!(fleet.exit_code(), Some(7));
}

#[test]
fn a_slot_fails_from_its_second_failure_in_a_row_until_a_steady_run() {
    let (mut fleet, mut world) = running(terms(2, Restart::Always));
    assert_eq!(fleet.failing(world.now), None);
    world.stderr.insert(1, "Error: boom\n    at f\n\nNode.js v20.1.0\n".to_owned());
    fleet.worker_exited(&mut world, 1, Exit::Code(3));
    assert_eq!(fleet.failing(world.now), None);
    at(&mut fleet, &mut world, 0);
    fleet.worker_ready(&mut world, 3, ReadyBy::Program);
    assert_eq!(fleet.failing(world.now), None, "it may well stay");
    world.stderr.insert(3, "Error: boom\n    at f {\n  code: 'E'\n}\n\nNode.js v20.1.0\n".to_owned());
    fleet.worker_exited(&mut world, 3, Exit::Code(3));
    let failing = Failing { failures: 2, last_exit: Some("ended with 3: Error: boom"), restart_in: Some(100) };
    assert_eq!(fleet.failing(world.now), Some(failing.clone()));
    at(&mut fleet, &mut world, 100);
    fleet.worker_ready(&mut world, 4, ReadyBy::Program);
    assert_eq!(fleet.failing(world.now), Some(Failing { restart_in: None, ..failing }));
    world.now = 100 + 10_000;
    assert_eq!(fleet.failing(world.now), None);
}

#[test]
fn an_exit_that_is_not_to_be_restarted_ends_all_with_its_code() {
    let cases =
        [(Restart::OnFailure, Exit::Code(0), 0), (Restart::No, SEGV, 139), (Restart::OnAbnormal, Exit::Code(4), 4)];
    for (restart, exit, code) in cases {
        let (mut fleet, mut world) = running(terms(1, restart));
        fleet.worker_exited(&mut world, 1, exit);
        assert_eq!((fleet.exit_code(), world.take_actions()), (Some(code), vec![]), "{restart:?} {exit}");
    }
}

#[test]
fn a_dumped_core_forbids_more() {
    let (mut fleet, mut world) = running(terms(1, Restart::OnFailure));
    fleet.worker_exited(&mut world, 1, Exit::Signal { number: libc::SIGABRT, core_dumped: true });
    assert_eq!(world.take_actions()[0], "no cores");
}

#[test]
fn stop_asks_all_counts_once_and_kills_those_that_do_not_exit() {
    let (mut fleet, mut world) = running(terms(2, Restart::Always));
    fleet.stop(&mut world, libc::SIGINT);
    fleet.stop(&mut world, libc::SIGINT);
    assert_eq!(world.take_actions(), ["stop 1 2", "stop 2 2"]);
    fleet.worker_exited(&mut world, 1, Exit::Code(0));
    at(&mut fleet, &mut world, 25_000);
    assert_eq!(world.take_actions(), ["say pid 2 has not ended: killing it", "signal 2 9"]);
    fleet.worker_exited(&mut world, 2, KILLED);
    assert_eq!(fleet.exit_code(), Some(1));
}

#[test]
fn stop_during_a_pause_or_a_start_starts_nothing() {
    let (mut fleet, mut world) = running(terms(2, Restart::Always));
    fleet.worker_exited(&mut world, 1, SEGV);
    at(&mut fleet, &mut world, 0); // pid 3 boots
    fleet.worker_exited(&mut world, 2, SEGV);
    world.take_actions();
    fleet.stop(&mut world, libc::SIGTERM);
    assert_eq!(world.take_actions(), ["signal 3 15"]);
    at(&mut fleet, &mut world, 10_000);
    fleet.worker_exited(&mut world, 3, Exit::Signal { number: libc::SIGTERM, core_dumped: false });
    assert_eq!((fleet.exit_code(), world.take_actions()), (Some(0), vec![]));
}

#[test]
fn a_reload_is_refused_while_the_fleet_starts_or_stops() {
    let (mut fleet, mut world) = starting(terms(1, Restart::Always));
    fleet.reload(&mut world, Some(1));
    fleet.worker_ready(&mut world, 1, PROGRAM);
    fleet.stop(&mut world, 0);
    fleet.reload(&mut world, Some(2));
    assert_eq!(world.replies, [(1, Err("it is starting".to_owned())), (2, Err("it is stopping".to_owned()))]);
}

#[test]
fn what_the_program_asks_for_in_the_first_start_counts() {
    let (mut fleet, mut world) = starting(terms(1, Restart::No));
    world.take_actions();
    let wanted = terms(3, Restart::Always).supervision;
    fleet.change_supervision(&mut world, wanted.clone());
    assert_eq!(world.take_actions(), ["start 1", "start 2"]);
    for pid in 1..=3 {
        fleet.change_supervision(&mut world, wanted.clone()); // every worker asks for it
        fleet.worker_ready(&mut world, pid, PROGRAM);
    }
    assert_eq!(world.take_actions(), ["started"]);
    fleet.scale(&mut world, 1).unwrap();
    world.take_actions();
    fleet.worker_exited(&mut world, 1, SEGV);
    at(&mut fleet, &mut world, 0);
    fleet.change_supervision(&mut world, wanted);
    assert_eq!(
        world.take_actions().last().map(String::as_str),
        Some("start 0"),
        "after the first start, scale() counts"
    );
}

#[test]
fn more_workers_and_fewer() {
    let (mut fleet, mut world) = running(terms(2, Restart::Always));
    fleet.scale(&mut world, 4).unwrap();
    assert_eq!(world.take_actions(), ["start 2", "start 3"]);
    fleet.worker_ready(&mut world, 3, PROGRAM);
    fleet.scale(&mut world, 1).unwrap();
    assert_eq!(world.take_actions(), ["signal 4 15", "drop 3", "stop 3 0", "drop 2", "stop 2 0", "drop 1"]);
    for pid in [2, 3, 4] {
        fleet.worker_exited(&mut world, pid, Exit::Code(0));
    }
    at(&mut fleet, &mut world, 60_000);
    assert_eq!((fleet.slots.len(), fleet.workers.len(), world.take_actions()), (1, 1, vec![]));
    assert!(fleet.scale(&mut world, 0).is_err());
    assert!(running(terms(1, Restart::Always)).0.scale(&mut world, 2).is_err(), "without a `workers` option");
}

#[test]
fn fewer_workers_during_a_reload_leave_no_client_waiting() {
    let (mut fleet, mut world) = running(terms(2, Restart::Always));
    fleet.reload(&mut world, Some(1));
    fleet.worker_ready(&mut world, 3, PROGRAM);
    fleet.scale(&mut world, 1).unwrap(); // the successor of slot 1 boots
    assert_eq!(world.replies, [(1, Ok(()))]);
    assert!(!fleet.is_reloading());
}

#[test]
fn a_worker_that_does_not_beat_is_aborted_then_killed_then_replaced() {
    let mut terms = terms(1, Restart::OnAbnormal);
    terms.supervision.watchdog = Some(500);
    let (mut fleet, mut world) = running(terms);
    world.now = 400;
    fleet.heartbeat(&mut world, 1);
    at(&mut fleet, &mut world, 900);
    assert!(world.take_actions().is_empty());
    at(&mut fleet, &mut world, 901);
    assert!(world.take_actions().contains(&"signal 1 6".to_owned()));
    at(&mut fleet, &mut world, 1_901);
    assert!(world.take_actions().contains(&"signal 1 9".to_owned()));
    fleet.worker_exited(&mut world, 1, KILLED);
    at(&mut fleet, &mut world, 1_901);
    assert!(world.take_actions().contains(&"start 0".to_owned()));
}

#[test]
fn after_a_standstill_of_the_supervisor_no_worker_is_late() {
    let mut terms = terms(1, Restart::OnAbnormal);
    terms.supervision.watchdog = Some(500);
    let (mut fleet, mut world) = running(terms);
    at(&mut fleet, &mut world, 60_000);
    assert!(world.take_actions().is_empty());
    at(&mut fleet, &mut world, 60_501);
    assert!(world.take_actions().contains(&"signal 1 6".to_owned()));
}

#[test]
fn heartbeats_that_arrive_while_the_supervisor_is_stopped_after_reading_count() {
    let mut terms = terms(1, Restart::OnAbnormal);
    terms.supervision.watchdog = Some(500);
    let (mut fleet, mut world) = running(terms);
    world.now = 1_400; // the supervisor read the channels at 400, was stopped, and goes on
    fleet.tick(&mut world, 400);
    assert!(world.take_actions().is_empty());
    fleet.heartbeat(&mut world, 1);
    at(&mut fleet, &mut world, 1_400);
    assert!(world.take_actions().is_empty());
}

#[test]
fn a_worker_that_is_too_large_is_asked_to_stop_and_replaced() {
    let mut terms = terms(1, Restart::OnFailure);
    terms.supervision.max_memory = Some(1_000);
    let (mut fleet, mut world) = running(terms);
    world.memory.insert(1, 1_001);
    at(&mut fleet, &mut world, 1_000);
    assert_eq!(world.take_actions(), ["say pid 1 has 1001 bytes resident, 1000 are allowed", "stop 1 0"]);
    at(&mut fleet, &mut world, 5_000);
    assert!(world.take_actions().is_empty(), "once");
    fleet.worker_exited(&mut world, 1, Exit::Code(0));
    at(&mut fleet, &mut world, 5_000);
    assert!(world.take_actions().contains(&"start 0".to_owned()));
}

#[test]
fn a_signal_that_would_kill_a_booting_worker_waits_until_it_is_ready() {
    let (mut fleet, mut world) = starting(terms(2, Restart::Always));
    fleet.worker_ready(&mut world, 1, PROGRAM);
    world.take_actions();
    fleet.pass_on(&mut world, libc::SIGWINCH);
    assert_eq!(world.take_actions(), [format!("signal 1 {}", libc::SIGWINCH)]);
    fleet.worker_ready(&mut world, 2, PROGRAM);
    assert_eq!(world.take_actions()[0], format!("signal 2 {}", libc::SIGWINCH));
}

#[test]
fn a_fleet_stops_when_every_worker_is_idle() {
    let (mut fleet, mut world) = running(Terms { ends_idle: true, ..terms(2, Restart::Always) });
    fleet.set_idle(&mut world, 1, true);
    fleet.set_idle(&mut world, 1, false);
    fleet.set_idle(&mut world, 2, true);
    assert!(world.take_actions().is_empty());
    fleet.set_idle(&mut world, 1, true);
    assert_eq!(world.take_actions(), ["stop 1 0", "stop 2 0"]);
}

#[test]
fn a_fleet_survives_its_hand_over_as_text() {
    let (mut fleet, mut world) = running(terms(2, Restart::Always));
    fleet.worker_exited(&mut world, 1, SEGV);
    at(&mut fleet, &mut world, 0);
    fleet.worker_ready(&mut world, 3, PROGRAM);
    let text = serde_json::to_string(&fleet).unwrap();
    let mut again: Fleet = serde_json::from_str(&text).unwrap();
    world.take_actions();
    again.worker_exited(&mut world, 3, SEGV);
    assert_eq!(world.take_actions(), ["say 2 failures: pid 3 killed by SIGSEGV, waiting 100 ms"]);
}
