//! What becomes of a worker's process group when the worker has exited.

use super::*;

#[test]
fn the_group_of_a_crashed_worker_is_asked_to_end_and_its_successor_waits_for_the_port_it_may_hold() {
    let (mut fleet, mut world) = running(terms(1, Restart::Always));
    world.remains = vec![1];
    fleet.worker_exited(&mut world, 1, SEGV);
    at(&mut fleet, &mut world, 0);
    assert_eq!(world.take_actions(), ["say 1 failure: pid 1 killed by SIGSEGV", "signal group 1 15"]);
    at(&mut fleet, &mut world, 1_999);
    assert_eq!(world.take_actions(), [""; 0]);
    at(&mut fleet, &mut world, 2_000);
    let killing = "say processes that pid 1 has left have not ended: killing them";
    assert_eq!(world.take_actions(), [killing, "signal group 1 9"]);
    world.remains.clear();
    let due = fleet.next_deadline().unwrap();
    at(&mut fleet, &mut world, due);
    assert_eq!(world.take_actions(), ["start 0"]);
}

#[test]
fn on_sockets_of_the_supervisor_the_successor_starts_at_once() {
    let (mut fleet, mut world) = running(terms(1, Restart::Always));
    (world.remains, world.shares_sockets) = (vec![1], true);
    fleet.worker_exited(&mut world, 1, SEGV);
    at(&mut fleet, &mut world, 0);
    assert_eq!(world.take_actions(), ["say 1 failure: pid 1 killed by SIGSEGV", "signal group 1 15", "start 0"]);
    at(&mut fleet, &mut world, 25_000);
    assert!(world.take_actions().contains(&"signal group 1 9".to_owned()), "within stopTimeout");
}

#[test]
fn a_stop_lasts_until_the_group_is_empty_and_no_longer_than_the_worker_could_have_taken() {
    let (mut fleet, mut world) = running(terms(1, Restart::Always));
    world.remains = vec![1];
    fleet.stop(&mut world, libc::SIGTERM);
    world.now = 20_000;
    fleet.worker_exited(&mut world, 1, Exit::Code(0));
    assert_eq!((fleet.exit_code(), world.take_actions()), (None, vec!["stop 1 15".into(), "signal group 1 15".into()]));
    at(&mut fleet, &mut world, 25_000);
    assert!(world.take_actions().contains(&"signal group 1 9".to_owned()));
    assert_eq!(fleet.exit_code(), None);
    (world.remains, world.escaped) = (vec![], vec!["pid 7 (sleep)".to_owned()]);
    at(&mut fleet, &mut world, 25_050);
    let told = "say pid 7 (sleep) has left the process group of its worker, and goes on running";
    assert_eq!((fleet.exit_code(), world.take_actions()), (Some(0), vec!["reap 1".to_owned(), told.to_owned()]));
}

#[test]
fn a_worker_that_fails_the_first_start_leaves_nothing() {
    let (mut fleet, mut world) = starting(terms(1, Restart::Always));
    world.take_actions();
    world.remains = vec![1];
    fleet.worker_exited(&mut world, 1, Exit::Code(0));
    assert_eq!(world.take_actions(), ["failed Some(1) pid 1 ended with 0 false", "signal group 1 9"]);
    world.remains.clear();
    at(&mut fleet, &mut world, 50);
    assert_eq!(fleet.exit_code(), Some(1));
}

#[test]
fn a_reload_of_a_slot_that_a_group_holds_waits_for_it() {
    let (mut fleet, mut world) = running(terms(1, Restart::Always));
    world.remains = vec![1];
    fleet.worker_exited(&mut world, 1, SEGV);
    fleet.reload(&mut world, Some(1));
    world.take_actions();
    at(&mut fleet, &mut world, 50);
    assert_eq!(world.take_actions(), [""; 0]);
    world.remains.clear();
    at(&mut fleet, &mut world, 100);
    assert_eq!(world.take_actions(), ["start 0"]);
}
