//! Starts that come to nothing, stops that are meant, and workers that are out of reach.

use super::{KILLED, PROGRAM, SEGV, SimulatedWorld, at, running, starting, terms};
use crate::fleet::{Fleet, Phase, Terms};
use crate::policy::{Exit, Restart};

#[test]
fn a_first_start_that_the_system_has_no_room_for_is_tried_as_often_as_one_without_a_supervisor() {
    let mut world = SimulatedWorld { refuse: true, refuses_in_passing: true, ..SimulatedWorld::default() };
    let mut fleet = Fleet::new(terms(1, Restart::Always), 0);
    fleet.start_all(&mut world);
    assert_eq!(fleet.phase, Phase::Starting);
    world.refuse = false;
    at(&mut fleet, &mut world, 50);
    assert_eq!(world.take_actions(), ["start 0"]);
    fleet.worker_ready(&mut world, 1, PROGRAM);
    assert_eq!(world.take_actions(), ["started"]);
    assert_eq!(fleet.slots[0].restarts, 0);

    let mut world = SimulatedWorld { refuse: true, refuses_in_passing: true, ..SimulatedWorld::default() };
    let mut fleet = Fleet::new(terms(1, Restart::Always), 0);
    fleet.start_all(&mut world);
    while let Some(due) = fleet.next_deadline() {
        at(&mut fleet, &mut world, due);
    }
    assert_eq!(world.take_actions(), ["failed None second fork: EAGAIN, tried 5 times false"]);
    assert_eq!((world.now, fleet.exit_code()), (750, Some(1)));
}

#[test]
fn a_first_start_that_fails_for_one_slot_starts_nothing_in_another() {
    let mut world = SimulatedWorld { refuse: true, refuses_in_passing: true, ..SimulatedWorld::default() };
    let mut fleet = Fleet::new(terms(2, Restart::Always), 0);
    fleet.start_all(&mut world);
    while let Some(due) = fleet.next_deadline() {
        at(&mut fleet, &mut world, due);
    }
    assert_eq!(world.take_actions(), ["failed None second fork: EAGAIN, tried 5 times false"]);
    assert_eq!(fleet.exit_code(), Some(1));
}

#[test]
fn a_system_without_room_never_makes_the_supervisor_give_up() {
    let mut terms = terms(1, Restart::Always);
    terms.supervision.max_failures = Some(2);
    let (mut fleet, mut world) = running(terms);
    fleet.worker_exited(&mut world, 1, SEGV);
    (world.refuse, world.refuses_in_passing) = (true, true);
    for _ in 0..20 {
        let due = fleet.next_deadline().unwrap_or(0);
        at(&mut fleet, &mut world, due);
    }
    assert_eq!(fleet.phase, Phase::Running);
    world.refuse = false;
    let due = fleet.next_deadline().unwrap_or(0);
    at(&mut fleet, &mut world, due);
    fleet.worker_ready(&mut world, 2, PROGRAM);
    assert_eq!(fleet.slots[0].failures, 1);
}

#[test]
fn an_exit_before_readiness_counts_as_a_failure_and_the_most_failures_end_all() {
    let mut terms = terms(1, Restart::OnFailure);
    terms.supervision.max_failures = Some(3);
    let (mut fleet, mut world) = running(terms);
    fleet.worker_exited(&mut world, 1, SEGV);
    at(&mut fleet, &mut world, 0);
    fleet.worker_exited(&mut world, 2, Exit::Code(0)); // boots
    assert_eq!(fleet.phase, Phase::Running);
    assert_eq!(world.title, "monitoring 1 worker (2 failures: pid 2 ended with 0)");
    at(&mut fleet, &mut world, 100);
    assert_eq!(world.title, "monitoring pid 3 (2 failures: pid 2 ended with 0)");
    fleet.worker_exited(&mut world, 3, Exit::Code(0));
    assert_eq!(fleet.exit_code(), Some(1));
}

#[test]
fn a_second_signal_while_stopping_ends_at_once_and_copies_of_one_count_once() {
    let (mut fleet, mut world) = running(terms(2, Restart::Always));
    fleet.stop(&mut world, libc::SIGINT);
    world.now = 99;
    fleet.stop(&mut world, libc::SIGINT);
    assert_eq!(world.take_actions(), ["stop 1 2", "stop 2 2"]);
    world.now = 100;
    fleet.stop(&mut world, libc::SIGINT);
    let actions = world.take_actions();
    assert!(actions.ends_with(&["signal 1 9".to_owned(), "signal 2 9".to_owned()]), "{actions:?}");
    for pid in [1, 2] {
        fleet.worker_exited(&mut world, pid, KILLED);
    }
    assert_eq!(fleet.exit_code(), Some(130));
}

#[test]
fn another_signal_than_the_first_is_a_second_one_at_any_time_and_one_after_a_stop_without_signal_is_the_first() {
    let (mut fleet, mut world) = running(terms(1, Restart::Always));
    fleet.stop(&mut world, 0);
    fleet.stop(&mut world, libc::SIGTERM);
    assert_eq!(world.take_actions(), ["stop 1 0"]);
    fleet.stop(&mut world, libc::SIGINT);
    assert!(world.take_actions().contains(&"signal 1 9".to_owned()));
    fleet.worker_exited(&mut world, 1, KILLED);
    assert_eq!(fleet.exit_code(), Some(130));
}

#[test]
fn a_worker_that_may_not_be_killed_is_told_of_and_tried_again() {
    let (mut fleet, mut world) = running(terms(1, Restart::Always));
    world.out_of_reach = vec![1];
    fleet.stop(&mut world, libc::SIGTERM);
    at(&mut fleet, &mut world, 25_000);
    let refused = "say pid 1 can't be killed: Operation not permitted; trying again".to_owned();
    assert!(world.take_actions().contains(&refused));
    world.out_of_reach.clear();
    assert_eq!(fleet.next_deadline(), Some(30_000));
    at(&mut fleet, &mut world, 30_000);
    assert_eq!(world.take_actions(), ["say pid 1 has not ended: killing it", "signal 1 9"]);
    assert_eq!(fleet.next_deadline(), None);
}

#[test]
fn a_slot_without_a_worker_is_not_idle() {
    let (mut fleet, mut world) = running(Terms { ends_idle: true, ..terms(2, Restart::Always) });
    fleet.set_idle(&mut world, 2, true);
    fleet.worker_exited(&mut world, 1, SEGV);
    fleet.set_idle(&mut world, 2, true);
    assert_eq!(fleet.phase, Phase::Running, "slot 0 waits for its restart");
    at(&mut fleet, &mut world, 0);
    fleet.set_idle(&mut world, 3, true);
    assert_eq!(fleet.phase, Phase::Running, "its worker boots");
    fleet.worker_ready(&mut world, 3, PROGRAM);
    fleet.set_idle(&mut world, 3, true);
    assert!(matches!(fleet.phase, Phase::Stopping { .. }));

    let (mut fleet, mut world) = starting(Terms { ends_idle: true, ..terms(1, Restart::OnFailure) });
    fleet.worker_ready(&mut world, 1, PROGRAM);
    fleet.worker_exited(&mut world, 1, SEGV);
    fleet.set_idle(&mut world, 1, true); // written before it exited, and read after
    assert_eq!(fleet.phase, Phase::Running, "the only worker waits for its restart");
}
