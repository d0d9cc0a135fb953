//! A worker from its start until it is reaped: the stages of its life, and the table of what each event does in each.

use serde::{Deserialize, Serialize};

use crate::clock::Millis;
use crate::policy::Verdict;

/// Milliseconds from SIGABRT to SIGKILL for a worker that hangs: time to write a core file.
const ABORT_TO_KILL: Millis = 1_000;
/// Milliseconds until a worker that the supervisor was not allowed to kill is killed again.
const KILL_AGAIN_AFTER: Millis = 5_000;

/// A process that was started and has not been reaped.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Worker {
    pub pid: i32,
    pub slot: usize,
    pub started_at: Millis,
    pub stage: Stage,
    /// What the worker says of itself, for status reports.
    pub status: Option<String>,
    /// Whether the worker said last that it serves nobody.
    pub idle: bool,
}

/// Where a worker is in its life.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stage {
    /// Until it is ready; killed if it is not by then. Signals that it would die of without a handler wait here.
    Booting { by: Millis, signals: Vec<i32> },
    /// Until it is asked to stop, or stops by itself.
    Serving { last_beat: Millis },
    /// Until it has exited; killed if it has not by then. `last_beat`: None if it never served, or hangs.
    Ending { by: Millis, why: Why, last_beat: Option<Millis> },
    /// SIGKILL was sent: its exit is all that can follow.
    Killed { why: Why },
}

/// Why a worker is to exit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Why {
    /// The supervisor asked it to: another has its slot, or slot or daemon are to go. Nothing follows its exit.
    Retired,
    /// It said STOPPING=1. The policy decides what follows its exit, here and below.
    Itself,
    Failed(Verdict),
}

/// What happens to a worker, besides its exit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// It said that it is ready, or was found to be.
    Ready,
    /// It said that its event loop has turned.
    Beat,
    /// It said that it stops, by its own decision.
    Stopping,
    /// The supervisor counts on it no more.
    Retire,
    /// The time until which it may boot, or may take to exit, is over.
    Deadline,
    /// The event loop has not turned for too long.
    Hangs,
    /// It has more memory than it may.
    TooLarge,
    /// SIGKILL was not allowed: it runs as another user.
    NotKilled,
}

/// What the supervisor does to a worker after an event.
#[derive(Debug, PartialEq, Eq)]
pub enum Action {
    Nothing,
    /// Pass on the signals that waited for it to be ready.
    PassOn(Vec<i32>),
    /// Ask it to stop over its channel.
    Ask,
    /// Send SIGTERM: while it boots it has nothing to finish, and reads no channel.
    Terminate,
    /// Send SIGABRT, so that it leaves a core file.
    Abort,
    /// Send SIGKILL.
    Kill,
}

/// The moment of an event, and the time that a worker then has to exit.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    pub now: Millis,
    pub stop_timeout: Millis,
}

impl Stage {
    /// The table: which stage follows on an event, and what is done to the worker. docs/supervisor.md draws it.
    ///
    /// | stage            | Ready            | Stopping | Retire            | Deadline     | Hangs         | TooLarge    |
    /// |------------------|------------------|----------|-------------------|--------------|---------------|-------------|
    /// | Booting          | Serving, pass on |          | Ending, terminate | Killed, kill |               |             |
    /// | Serving          |                  | Ending   | Ending, ask       |              | Ending, abort | Ending, ask |
    /// | Ending: itself   |                  |          | Ending, ask       | Killed, kill | Ending, abort |             |
    /// | Ending: failed   |                  |          | Ending            | Killed, kill | Ending, abort |             |
    /// | Ending: retired  |                  |          |                   | Killed, kill | Ending, abort |             |
    /// | Killed           |                  |          | Killed            |              |               |             |
    ///
    /// Beat counts while the event loop is watched. NotKilled leads from Killed back to Ending. An empty cell changes
    /// nothing, and no cell leads back to Booting or Serving.
    fn after(self, event: Event, Clock { now, stop_timeout }: Clock) -> (Self, Action) {
        use Why::{Failed, Itself, Retired};
        use {Action as A, Event as E};
        let by = now + stop_timeout;
        match (self, event) {
            (Self::Booting { signals, .. }, E::Ready) => (Self::Serving { last_beat: now }, A::PassOn(signals)),
            (Self::Booting { .. }, E::Retire) => (Self::Ending { by, why: Retired, last_beat: None }, A::Terminate),
            (Self::Booting { .. }, E::Deadline) => (Self::Killed { why: Failed(Verdict::Late) }, A::Kill),

            (Self::Serving { .. }, E::Beat) => (Self::Serving { last_beat: now }, A::Nothing),
            (Self::Serving { last_beat }, E::Stopping) => (Self::ending(by, Itself, last_beat), A::Nothing),
            (Self::Serving { last_beat }, E::Retire) => (Self::ending(by, Retired, last_beat), A::Ask),
            (Self::Serving { last_beat }, E::TooLarge) => {
                (Self::ending(by, Failed(Verdict::TooLarge), last_beat), A::Ask)
            }
            (Self::Serving { .. }, E::Hangs) => {
                (Self::Ending { by: now + ABORT_TO_KILL, why: Failed(Verdict::Hung), last_beat: None }, A::Abort)
            }

            (Self::Ending { by, why, last_beat: Some(_) }, E::Beat) => (Self::ending(by, why, now), A::Nothing),
            (Self::Ending { by, why, last_beat: Some(_) }, E::Hangs) => {
                let why = if why == Retired { Retired } else { Failed(Verdict::Hung) };
                (Self::Ending { by: by.min(now + ABORT_TO_KILL), why, last_beat: None }, A::Abort)
            }
            (Self::Ending { by: before, why, last_beat }, E::Retire) => {
                let asks = if why == Itself { A::Ask } else { A::Nothing }; // it knows already, or hears nothing
                (Self::Ending { by: before.min(by), why: Retired, last_beat }, asks)
            }
            (Self::Ending { why, .. }, E::Deadline) => (Self::Killed { why }, A::Kill),

            (Self::Killed { .. }, E::Retire) => (Self::Killed { why: Retired }, A::Nothing),
            (Self::Killed { why }, E::NotKilled) => {
                (Self::Ending { by: now + KILL_AGAIN_AFTER, why, last_beat: None }, A::Nothing)
            }
            (stage, _) => (stage, A::Nothing),
        }
    }

    fn ending(by: Millis, why: Why, last_beat: Millis) -> Self {
        Self::Ending { by, why, last_beat: Some(last_beat) }
    }
}

impl Worker {
    /// Makes a worker that was started just now, and is killed unless it is ready at `by`.
    pub(super) fn new(pid: i32, slot: usize, started_at: Millis, by: Millis) -> Self {
        let stage = Stage::Booting { by, signals: Vec::new() };
        Self { pid, slot, started_at, stage, status: None, idle: false }
    }

    /// Moves on to the stage that follows on an event, by the table.
    pub(super) fn on(&mut self, event: Event, clock: Clock) -> Action {
        // The stage that stands here meanwhile is never seen: the table neither panics nor returns early.
        let stage = std::mem::replace(&mut self.stage, Stage::Killed { why: Why::Retired });
        let (stage, action) = stage.after(event, clock);
        self.stage = stage;
        action
    }

    /// Whether it got ready, and nothing says yet that it hangs.
    pub fn is_ready(&self) -> bool {
        matches!(self.stage, Stage::Serving { .. } | Stage::Ending { last_beat: Some(_), .. })
    }

    pub fn is_booting(&self) -> bool {
        matches!(self.stage, Stage::Booting { .. })
    }

    pub(super) fn is_serving(&self) -> bool {
        matches!(self.stage, Stage::Serving { .. })
    }

    /// Whether its slot counts on it no more.
    pub fn is_retired(&self) -> bool {
        self.why() == Some(Why::Retired)
    }

    /// Whether it is to exit and had not been ready.
    pub(super) fn never_served(&self) -> bool {
        matches!(self.stage, Stage::Ending { last_beat: None, why: Why::Retired, .. })
    }

    pub(super) fn is_killed(&self) -> bool {
        matches!(self.stage, Stage::Killed { .. })
    }

    /// What it is to exit for, if the supervisor found a failure.
    pub(super) fn verdict(&self) -> Option<Verdict> {
        match self.why() {
            Some(Why::Failed(verdict)) => Some(verdict),
            _ => None,
        }
    }

    /// When the supervisor kills it.
    pub(super) fn deadline(&self) -> Option<Millis> {
        match self.stage {
            Stage::Booting { by, .. } | Stage::Ending { by, .. } => Some(by),
            Stage::Serving { .. } | Stage::Killed { .. } => None,
        }
    }

    /// When its event loop turned last, while that is watched.
    pub(super) fn last_beat(&self) -> Option<Millis> {
        match self.stage {
            Stage::Serving { last_beat } => Some(last_beat),
            Stage::Ending { last_beat, .. } => last_beat,
            Stage::Booting { .. } | Stage::Killed { .. } => None,
        }
    }

    fn why(&self) -> Option<Why> {
        match self.stage {
            Stage::Ending { why, .. } | Stage::Killed { why } => Some(why),
            Stage::Booting { .. } | Stage::Serving { .. } => None,
        }
    }
}
