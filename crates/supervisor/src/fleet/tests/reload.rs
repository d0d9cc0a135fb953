//! Reloads, event by event.

use super::super::ReloadWay;
use super::{KILLED, PROGRAM, SEGV, SimulatedWorld, at, running, terms};
use crate::fleet::{Fleet, Phase, ReadyBy, Terms};
use crate::policy::{Exit, Restart};

const SIGHT: ReadyBy = ReadyBy::Sight;

/// A fleet whose first new worker has to settle for a second.
fn settling(workers: usize, restart: Restart) -> (Fleet, SimulatedWorld) {
    let mut terms: Terms = terms(workers, restart);
    terms.supervision.settle = 1_000;
    running(terms)
}

#[test]
fn a_reload_has_each_successor_ready_before_its_predecessor_is_asked_to_stop() {
    let (mut fleet, mut world) = running(terms(2, Restart::Always));
    fleet.reload(&mut world, Some(9));
    assert_eq!(world.take_actions(), ["reopen", "start 0"]);
    fleet.worker_ready(&mut world, 3, PROGRAM);
    assert_eq!(world.take_actions(), ["stop 1 0", "start 1"]);
    fleet.worker_exited(&mut world, 1, Exit::Code(0));
    assert!(world.replies.is_empty());
    fleet.worker_ready(&mut world, 4, PROGRAM);
    assert_eq!(world.take_actions(), ["stop 2 0"]);
    assert_eq!(world.replies, [(9, Ok(()))]);
    fleet.worker_exited(&mut world, 2, Exit::Code(1));
    assert_eq!(
        (fleet.phase, world.take_actions()),
        (Phase::Running, vec![]),
        "the exit of a retired worker is no failure"
    );
}

#[test]
fn a_successor_that_does_not_get_ready_fails_the_reload_with_its_stderr_and_the_old_one_stays() {
    let (mut fleet, mut world) = running(terms(2, Restart::Always));
    fleet.reload(&mut world, Some(9));
    world.take_actions();
    world.stderr.insert(3, "Error: no\n".to_owned());
    fleet.worker_exited(&mut world, 3, Exit::Code(1));
    assert_eq!(world.replies, [(9, Err("the new worker (pid 3) ended with 1; it wrote:\nError: no".to_owned()))]);
    assert_eq!(world.take_actions().len(), 1, "one line, nothing else");
    assert!(fleet.workers.iter().all(|worker| worker.is_serving() && worker.pid < 3));

    fleet.reload(&mut world, Some(10));
    world.take_actions();
    at(&mut fleet, &mut world, 30_000);
    assert!(world.take_actions().contains(&"signal 4 9".to_owned()));
    fleet.worker_exited(&mut world, 4, KILLED);
    assert_eq!(world.replies[1], (10, Err("the new worker (pid 4) was not ready after 30000 ms".to_owned())));
}

#[test]
fn a_reload_asked_for_during_another_follows_it() {
    let (mut fleet, mut world) = running(terms(1, Restart::Always));
    fleet.reload(&mut world, Some(1));
    fleet.reload(&mut world, Some(2));
    fleet.reload(&mut world, Some(3));
    world.take_actions();
    fleet.worker_ready(&mut world, 2, PROGRAM);
    assert_eq!(world.take_actions(), ["stop 1 0", "reopen", "start 0"]);
    assert_eq!(world.replies, [(1, Ok(()))]);
    fleet.worker_ready(&mut world, 3, PROGRAM);
    assert_eq!(world.replies[1..], [(2, Ok(())), (3, Ok(()))]);
    assert!(!fleet.is_reloading());
}

#[test]
fn a_worker_that_dies_while_its_successor_boots_is_not_started_again() {
    let (mut fleet, mut world) = running(terms(1, Restart::Always));
    fleet.reload(&mut world, Some(1));
    world.take_actions();
    fleet.worker_exited(&mut world, 1, SEGV);
    assert_eq!(world.take_actions(), ["say pid 1 killed by SIGSEGV, its successor is on its way"]);
    fleet.worker_ready(&mut world, 2, PROGRAM);
    assert_eq!(world.replies, [(1, Ok(()))]);
    assert_eq!(fleet.workers.len(), 1);
}

#[test]
fn a_slot_whose_old_and_new_worker_died_is_tried_again() {
    let (mut fleet, mut world) = running(terms(1, Restart::Always));
    fleet.reload(&mut world, Some(1));
    fleet.worker_exited(&mut world, 1, SEGV);
    world.take_actions();
    fleet.worker_exited(&mut world, 2, Exit::Code(1));
    assert!(matches!(world.replies[..], [(1, Err(_))]));
    at(&mut fleet, &mut world, 0);
    assert!(world.take_actions().contains(&"start 0".to_owned()));
}

#[test]
fn a_reload_of_a_slot_in_a_pause_starts_it_now() {
    let (mut fleet, mut world) = running(terms(1, Restart::Always));
    for pid in 1..=2 {
        fleet.worker_exited(&mut world, pid, SEGV);
        at(&mut fleet, &mut world, 0);
    }
    world.take_actions();
    fleet.reload(&mut world, Some(1));
    assert_eq!(world.take_actions(), ["reopen", "start 0"]);
    at(&mut fleet, &mut world, 1_000);
    assert!(world.take_actions().is_empty(), "not twice");
    fleet.worker_ready(&mut world, 3, PROGRAM);
    assert_eq!(world.replies, [(1, Ok(()))]);
}

#[test]
fn stop_in_the_middle_of_a_reload_ends_old_and_new() {
    let (mut fleet, mut world) = running(terms(1, Restart::Always));
    fleet.reload(&mut world, Some(1));
    fleet.reload(&mut world, Some(2));
    world.take_actions();
    fleet.stop(&mut world, libc::SIGTERM);
    let actions = world.take_actions();
    assert!(actions.contains(&"stop 1 15".to_owned()) && actions.contains(&"signal 2 15".to_owned()), "{actions:?}");
    let stopping = || Err("it is stopping".to_owned());
    assert_eq!(world.replies, [(1, stopping()), (2, stopping())]);
    for pid in [1, 2] {
        fleet.worker_exited(&mut world, pid, Exit::Code(0));
    }
    assert_eq!(fleet.exit_code(), Some(0));
}

#[test]
fn the_first_successor_has_to_settle_before_the_old_one_is_asked_to_stop_and_later_ones_have_not() {
    let (mut fleet, mut world) = settling(3, Restart::Always);
    fleet.reload(&mut world, Some(9));
    fleet.worker_ready(&mut world, 4, SIGHT);
    assert_eq!(world.take_actions(), ["reopen", "start 0"]);
    at(&mut fleet, &mut world, 999);
    assert!(world.take_actions().is_empty());
    assert_eq!(fleet.next_deadline(), Some(1_000));
    at(&mut fleet, &mut world, 1_000);
    assert_eq!(world.take_actions(), ["stop 1 0", "start 1"]);
    fleet.worker_ready(&mut world, 5, SIGHT);
    assert_eq!(world.take_actions(), ["stop 2 0", "start 2"]);
    fleet.worker_ready(&mut world, 6, SIGHT);
    assert_eq!(world.take_actions(), ["stop 3 0"]);
    at(&mut fleet, &mut world, 1_999);
    assert!(world.replies.is_empty(), "the last one took over at 1000");
    at(&mut fleet, &mut world, 2_000);
    assert_eq!(world.replies, [(9, Ok(()))]);
}

#[test]
fn a_successor_that_says_itself_that_it_is_ready_takes_over_at_once() {
    let (mut fleet, mut world) = settling(1, Restart::Always);
    fleet.reload(&mut world, Some(9));
    fleet.worker_ready(&mut world, 2, PROGRAM);
    assert_eq!(world.take_actions(), ["reopen", "start 0", "stop 1 0"]);
    assert!(world.replies.is_empty());
    at(&mut fleet, &mut world, 1_000);
    assert_eq!(world.replies, [(9, Ok(()))]);
}

#[test]
fn a_successor_that_exits_while_it_settles_fails_the_reload_and_the_old_ones_stay() {
    let (mut fleet, mut world) = settling(2, Restart::OnFailure);
    fleet.reload(&mut world, Some(9));
    fleet.worker_ready(&mut world, 3, SIGHT);
    world.take_actions();
    world.stderr.insert(3, "no licence\n".to_owned());
    world.now = 300;
    fleet.worker_exited(&mut world, 3, Exit::Code(0));
    assert_eq!(world.replies, [(9, Err("the new worker (pid 3) ended with 0; it wrote:\nno licence".to_owned()))]);
    at(&mut fleet, &mut world, 5_000);
    let asked: Vec<_> = world.take_actions().into_iter().filter(|action| !action.starts_with("say")).collect();
    assert!(asked.is_empty(), "{asked:?}");
    assert!(fleet.workers.iter().all(|worker| worker.is_serving() && worker.pid < 3));
}

#[test]
fn a_new_worker_that_exits_after_it_took_over_fails_the_reload_and_its_slot_is_filled_again() {
    // By its policy, the worker would not be started again.
    for (exit, restart) in [(Exit::Code(0), Restart::OnFailure), (SEGV, Restart::No)] {
        let (mut fleet, mut world) = settling(2, restart);
        fleet.reload(&mut world, Some(9));
        fleet.worker_ready(&mut world, 3, PROGRAM); // pid 1 is asked to stop, pid 4 boots beside pid 2
        world.take_actions();
        fleet.worker_exited(&mut world, 3, exit);
        assert!(matches!(&world.replies[..], [(9, Err(why))] if why.contains("pid 3")), "{:?}", world.replies);
        assert!(world.take_actions().contains(&"signal 4 15".to_owned()), "the old one has that slot and keeps it");
        at(&mut fleet, &mut world, 1);
        assert_eq!(world.take_actions(), ["start 0"]);
        assert_eq!(fleet.phase, Phase::Running);

        fleet.worker_exited(&mut world, 1, Exit::Code(0));
        fleet.worker_exited(&mut world, 4, Exit::Signal { number: libc::SIGTERM, core_dumped: false });
        fleet.worker_ready(&mut world, 5, SIGHT);
        assert_eq!(fleet.phase, Phase::Running);
        let serving: Vec<_> = fleet.workers.iter().map(|worker| (worker.slot, worker.pid)).collect();
        assert_eq!(serving, [(1, 2), (0, 5)]);
    }
}

#[test]
fn a_new_worker_that_exits_before_the_time_after_the_last_hand_over_is_up_fails_the_reload() {
    let (mut fleet, mut world) = settling(1, Restart::OnFailure);
    fleet.reload(&mut world, Some(9));
    fleet.worker_ready(&mut world, 2, PROGRAM);
    world.now = 999;
    fleet.worker_exited(&mut world, 2, Exit::Code(1));
    assert_eq!(world.replies, [(9, Err("the new worker (pid 2) ended with 1".to_owned()))]);
    at(&mut fleet, &mut world, 999);
    assert!(world.take_actions().contains(&"start 0".to_owned()));
}

#[test]
fn a_successor_that_hangs_while_it_settles_does_not_take_over() {
    let mut terms = terms(1, Restart::OnFailure);
    terms.supervision.settle = 1_000;
    terms.supervision.watchdog = Some(300);
    let (mut fleet, mut world) = running(terms);
    fleet.reload(&mut world, Some(9));
    fleet.worker_ready(&mut world, 2, SIGHT);
    world.take_actions();
    for now in [300, 600, 900, 1_200] {
        world.now = now;
        fleet.heartbeat(&mut world, 1);
        fleet.tick(&mut world, now);
    }
    let actions = world.take_actions();
    assert!(actions.contains(&"signal 2 6".to_owned()) && !actions.contains(&"stop 1 0".to_owned()), "{actions:?}");
    fleet.worker_exited(&mut world, 2, KILLED);
    assert!(matches!(world.replies[..], [(9, Err(_))]));
}

#[test]
fn a_predecessor_that_dies_leaves_its_slot_to_the_successor_which_settles_for_the_others() {
    let (mut fleet, mut world) = settling(2, Restart::Always);
    fleet.reload(&mut world, Some(9));
    fleet.worker_ready(&mut world, 3, SIGHT);
    fleet.worker_exited(&mut world, 1, SEGV);
    world.take_actions();
    at(&mut fleet, &mut world, 500);
    assert!(world.take_actions().is_empty());
    fleet.worker_exited(&mut world, 3, Exit::Code(1));
    at(&mut fleet, &mut world, 500);
    assert!(world.take_actions().contains(&"start 0".to_owned()));
    assert!(matches!(world.replies[..], [(9, Err(_))]));
    assert!(fleet.workers.iter().any(|worker| worker.pid == 2 && worker.is_serving()));
}

#[test]
fn a_successor_that_the_system_has_no_room_for_is_tried_again_then_fails_the_reload() {
    let (mut fleet, mut world) = settling(1, Restart::Always);
    (world.refuse, world.refuses_in_passing) = (true, true);
    fleet.reload(&mut world, Some(9));
    for pause in [50, 100, 200] {
        let due = world.now + pause;
        assert_eq!(fleet.next_deadline(), Some(due));
        at(&mut fleet, &mut world, due);
        assert!(world.replies.is_empty());
    }
    world.refuse = false;
    at(&mut fleet, &mut world, 750);
    assert!(world.take_actions().contains(&"start 0".to_owned()));
    fleet.worker_exited(&mut world, 2, SEGV);
    world.refuse = true;
    fleet.reload(&mut world, Some(10));
    while let Some(due) = fleet.next_deadline() {
        at(&mut fleet, &mut world, due);
    }
    assert_eq!(world.replies[1], (10, Err("second fork: EAGAIN, tried 5 times".to_owned())));
    assert!(fleet.workers.iter().all(|worker| worker.pid == 1 && worker.is_serving()));
}

// ── Workers that bind their own port ─────────────────────────────────────────────────────

#[test]
fn where_two_workers_cannot_be_beside_each_other_a_reload_is_refused_and_nothing_is_touched() {
    let (mut fleet, mut world) = running(terms(1, Restart::Always));
    world.reload_way = Some(ReloadWay::Refused("it listens on port 1".to_owned()));
    fleet.reload(&mut world, Some(7));
    assert_eq!(world.replies, [(7, Err("it listens on port 1".to_owned()))]);
    assert_eq!(world.take_actions(), ["say no reload: it listens on port 1"]);
    assert!(!fleet.is_reloading());
}

#[test]
fn a_signal_has_the_program_reload_itself_and_one_that_dies_of_it_fails_the_reload() {
    for dies in [false, true] {
        let mut terms = terms(1, Restart::No);
        terms.supervision.settle = 1_000;
        let (mut fleet, mut world) = running(terms);
        world.reload_way = Some(ReloadWay::Signal(libc::SIGHUP));
        fleet.reload(&mut world, Some(7));
        assert_eq!(world.take_actions(), ["reopen", "signal 1 1"]);
        if dies {
            fleet.worker_exited(&mut world, 1, Exit::Signal { number: libc::SIGHUP, core_dumped: false });
            assert_eq!(world.replies, [(7, Err("the worker (pid 1) killed by SIGHUP".to_owned()))]);
            assert_eq!(fleet.phase, Phase::Running, "it is started again, whatever the policy says");
        } else {
            at(&mut fleet, &mut world, 1_000);
            assert_eq!(world.replies, [(7, Ok(()))]);
        }
    }
}

#[test]
fn a_reload_that_stops_first_starts_the_next_worker_when_the_group_of_the_old_one_is_empty() {
    let (mut fleet, mut world) = running(terms(1, Restart::No));
    world.reload_way = Some(ReloadWay::Restart);
    fleet.reload(&mut world, Some(7));
    assert_eq!(world.take_actions(), ["reopen", "stop 1 0"]);
    world.remains = vec![1];
    fleet.worker_exited(&mut world, 1, Exit::Code(0));
    assert_eq!(world.take_actions(), ["signal group 1 15"]);
    world.remains.clear();
    at(&mut fleet, &mut world, 50);
    assert_eq!(world.take_actions(), ["start 0"]);
    fleet.worker_ready(&mut world, 2, PROGRAM);
    assert_eq!(world.replies, [(7, Ok(()))]);
}

#[test]
fn a_new_worker_that_fails_after_the_old_one_was_stopped_fails_the_reload_and_is_tried_again() {
    let (mut fleet, mut world) = running(terms(1, Restart::No));
    world.reload_way = Some(ReloadWay::Restart);
    fleet.reload(&mut world, Some(7));
    fleet.worker_exited(&mut world, 1, Exit::Code(0));
    fleet.worker_exited(&mut world, 2, Exit::Code(3));
    assert_eq!(world.replies, [(7, Err("the new worker (pid 2) ended with 3".to_owned()))]);
    world.take_actions();
    at(&mut fleet, &mut world, 0);
    assert_eq!(world.take_actions(), ["start 0"]);
}
