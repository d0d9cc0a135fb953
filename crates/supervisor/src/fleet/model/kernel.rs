//! Simulated kernel, launcher and clients, which note where the fleet breaks its promises.

use std::collections::{BTreeMap, BTreeSet};

use crate::clock::Millis;
use crate::fleet::tests::KILLED;
use crate::fleet::{Announcement, ClientId, Level, ReadyBy, Refused, ReloadWay, World};
use crate::policy::Exit;

const TERMED: Exit = Exit::Signal { number: libc::SIGTERM, core_dumped: false };

#[derive(Debug)]
pub(super) struct Process {
    pub(super) slot: usize,
    pub(super) ready: Option<(Millis, ReadyBy)>,
    /// It was asked to stop, or told so by a signal.
    pub(super) told: bool,
    pub(super) exited: Option<Exit>,
    /// The fleet knows of its exit.
    pub(super) is_gone: bool,
    /// What its group has when it has exited.
    pub(super) leaves: Leaves,
}

/// Processes that a worker leaves in its group.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Leaves {
    #[default]
    Nothing,
    /// They end when they are asked to.
    Obedient,
    /// They have to be killed.
    Stubborn,
}

impl Process {
    pub(super) fn serves(&self) -> bool {
        self.ready.is_some() && !self.told && self.exited.is_none()
    }
}

/// The simulated world.
#[derive(Default)]
#[allow(clippy::struct_excessive_bools)] // switches that don't depend on each other
pub(super) struct Kernel {
    pub(super) now: Millis,
    pub(super) last_pid: i32,
    /// Every process that was not reaped.
    pub(super) processes: BTreeMap<i32, Process>,
    pub(super) has_room: bool,
    pub(super) is_in_reach: bool,
    /// What workers that exit from now on leave.
    pub(super) leaves: Leaves,
    pub(super) shares_sockets: bool,
    pub(super) reload_way: Option<ReloadWay>,
    /// How often the end of each process was read, which is once for each exit.
    pub(super) told_exits: BTreeMap<i32, usize>,
    pub(super) unanswered: BTreeSet<ClientId>,
    pub(super) starts_reported: usize,
    /// During a reload: the slots that were served when it began, but for those whose workers exited since by themselves.
    pub(super) served: Option<BTreeSet<usize>>,
    pub(super) reload_began: Millis,
    pub(super) settle: Millis,
    /// An order lets workers go without successors.
    pub(super) lets_go: bool,
    pub(super) faults: Vec<String>,
}

impl Kernel {
    pub(super) fn fault(&mut self, what: String) {
        self.faults.push(what);
    }

    pub(super) fn is_served(&self, slot: usize) -> bool {
        self.processes.values().any(|process| process.slot == slot && process.serves())
    }

    /// Checks that a worker which is asked to stop in a reload has a successor that may take over.
    fn check_hand_over(&mut self, pid: i32) {
        let Some(process) = self.processes.get(&pid).filter(|process| process.serves()) else { return };
        if self.served.is_none() || self.lets_go {
            return;
        }
        let is_served_by_another =
            self.processes.iter().any(|(&each, other)| each != pid && other.slot == process.slot && other.serves());
        // A new worker has settled, whichever slot it has.
        let settled = |process: &Process| match process.ready {
            Some((since, by)) if since >= self.reload_began => {
                by == ReadyBy::Program || since + self.settle <= self.now
            }
            _ => false,
        };
        if !is_served_by_another {
            self.fault(format!("pid {pid} is to stop, and nothing serves in its place"));
        } else if !self.processes.values().any(settled) {
            self.fault(format!("pid {pid} is to stop before a new worker has settled"));
        }
    }

    pub(super) fn exit(&mut self, pid: i32, exit: Exit) {
        let Some(process) = self.processes.get_mut(&pid).filter(|process| process.exited.is_none()) else { return };
        process.exited = Some(exit);
        process.leaves = self.leaves;
        let slot = process.slot;
        self.lose(slot);
    }

    /// Notes that a worker of the slot serves no longer, which is not the reload's doing.
    fn lose(&mut self, slot: usize) {
        if !self.is_served(slot)
            && let Some(served) = &mut self.served
        {
            served.remove(&slot);
        }
    }
}

impl World for Kernel {
    fn now(&self) -> Millis {
        self.now
    }
    fn start(&mut self, slot: usize) -> Result<i32, Refused> {
        if !self.has_room {
            return Err(Refused { reason: "fork: EAGAIN".to_owned(), is_passing: true });
        }
        let in_slot = || self.processes.values().filter(|process| process.slot == slot);
        let is_held = in_slot().any(|process| process.is_gone && !process.told && process.leaves != Leaves::Nothing);
        if is_held && !self.shares_sockets && in_slot().all(|process| process.is_gone) {
            self.fault(format!("a worker of slot {slot} is started while a group may hold its port"));
        }
        self.last_pid += 1;
        let (exited, is_gone, leaves) = (None, false, Leaves::Nothing);
        self.processes.insert(self.last_pid, Process { slot, ready: None, told: false, exited, is_gone, leaves });
        Ok(self.last_pid)
    }
    fn signal(&mut self, pid: i32, signal: i32) -> Result<(), String> {
        let Some(process) = self.processes.get_mut(&pid) else {
            self.fault(format!("signal {signal} to pid {pid}, which was reaped"));
            return Ok(());
        };
        let is_booting = process.ready.is_none();
        process.told |= [libc::SIGTERM, libc::SIGKILL].contains(&signal);
        let slot = process.slot;
        if signal == libc::SIGKILL {
            self.lose(slot); // its time to exit was over
        }
        if !self.is_in_reach {
            return Err("Operation not permitted".to_owned());
        }
        match signal {
            libc::SIGKILL => self.exit(pid, KILLED),
            libc::SIGTERM if is_booting => self.exit(pid, TERMED),
            _ => {}
        }
        Ok(())
    }
    fn ask_to_stop(&mut self, pid: i32, _signal: i32) -> Result<(), String> {
        self.check_hand_over(pid);
        match self.processes.get_mut(&pid) {
            Some(process) => process.told = true,
            None => self.fault(format!("pid {pid}, which was reaped, is asked to stop")),
        }
        Ok(())
    }
    fn has_remains(&mut self, pid: i32) -> bool {
        self.processes.get(&pid).is_some_and(|process| process.leaves != Leaves::Nothing)
    }
    fn signal_group(&mut self, pid: i32, signal: i32) -> Result<(), String> {
        let Some(process) = self.processes.get_mut(&pid).filter(|process| process.is_gone) else {
            self.fault(format!("signal {signal} to the group of pid {pid}, which runs or was reaped"));
            return Ok(());
        };
        if !self.is_in_reach {
            return Err("Operation not permitted".to_owned());
        }
        if signal == libc::SIGKILL || process.leaves == Leaves::Obedient {
            process.leaves = Leaves::Nothing;
        }
        Ok(())
    }
    fn reap(&mut self, pid: i32) {
        match self.processes.remove(&pid) {
            Some(process) if process.is_gone && process.leaves == Leaves::Nothing => {}
            other => self.fault(format!("pid {pid} is reaped as {other:?}")),
        }
    }
    fn escaped(&mut self) -> Vec<String> {
        Vec::new()
    }
    fn shares_sockets(&self) -> bool {
        self.shares_sockets
    }
    fn reload_way(&mut self) -> ReloadWay {
        self.reload_way.clone().unwrap_or(ReloadWay::RollOver)
    }
    fn first_start_succeeded(&mut self) {
        self.starts_reported += 1;
    }
    fn first_start_failed(&mut self, _pid: Option<i32>, _reason: &str, _late: bool) {
        self.starts_reported += 1;
    }
    fn end_of_stderr(&mut self, pid: i32) -> String {
        *self.told_exits.entry(pid).or_default() += 1;
        String::new()
    }
    fn resident_memory(&mut self, _pid: i32) -> Option<u64> {
        None
    }
    fn forbid_core_dumps(&mut self) {}
    fn begin_exit(&mut self) {
        self.lets_go = true;
    }
    fn close_slot_sockets(&mut self, _slot: usize) {}
    fn reopen_logs(&mut self) {}
    fn answer(&mut self, client: ClientId, _answer: Result<(), String>) {
        if !self.unanswered.remove(&client) {
            self.fault(format!("client {client} is answered twice"));
        }
    }
    fn log(&mut self, _level: Level, _text: &str) {}
    fn set_title(&mut self, _text: &str) {}
    fn announce(&mut self, what: Announcement) {
        let rolls_over = self.reload_way.is_none();
        self.served = (matches!(what, Announcement::Reloading { .. }) && rolls_over).then(|| {
            self.reload_began = self.now;
            self.processes.values().filter(|process| process.serves()).map(|process| process.slot).collect()
        });
    }
}
