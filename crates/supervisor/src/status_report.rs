//! What the control socket answers to `status`. Times are in milliseconds, sizes in bytes.

use std::collections::HashMap;

use daemonic_core::process_facts::usage;
use serde::Serialize;

use crate::clock::{Millis, now};
use crate::fleet::{Failing, Fleet, Phase};
use crate::real_world::RealWorld;

/// The state of the supervisor and of all its workers.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StatusReport<'a> {
    ok: bool,
    name: &'a str,
    pid: u32,
    phase: &'static str,
    uptime: u64,
    /// Addresses by the names of the listeners.
    addresses: HashMap<&'a str, String>,
    /// The number of workers that there are to be.
    slots: usize,
    /// Restarts of all workers since the supervisor started.
    restarts: u32,
    failing: Option<Failing<'a>>,
    workers: Vec<WorkerReport<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct WorkerReport<'a> {
    pid: i32,
    worker: usize,
    ready: bool,
    retiring: bool,
    uptime: u64,
    rss: u64,
    cpu_time: u64,
    restarts: u32,
    last_exit: Option<&'a str>,
    status_text: Option<&'a str>,
}

impl<'a> StatusReport<'a> {
    /// Reports on a supervisor that was started, or executed again, at `started_at`.
    pub fn new(fleet: &'a Fleet, world: &'a RealWorld, started_at: Millis) -> Self {
        let now = now();
        let workers = fleet.workers.iter().map(|worker| {
            let usage = usage(worker.pid);
            let slot = fleet.slots.get(worker.slot);
            WorkerReport {
                pid: worker.pid,
                worker: worker.slot,
                ready: worker.is_ready(),
                retiring: worker.is_retired(),
                uptime: now.saturating_sub(worker.started_at),
                rss: usage.map_or(0, |usage| usage.rss),
                cpu_time: usage.map_or(0, |usage| usage.cpu),
                restarts: slot.map_or(0, |slot| slot.restarts),
                last_exit: slot.and_then(|slot| slot.last_exit.as_deref()),
                status_text: worker.status.as_deref(),
            }
        });
        Self {
            ok: true,
            name: &world.config.name,
            pid: std::process::id(),
            phase: match fleet.phase {
                Phase::Starting => "starting",
                Phase::Running if fleet.is_reloading() => "reloading",
                Phase::Running => "running",
                Phase::Stopping { .. } => "stopping",
            },
            uptime: now.saturating_sub(started_at),
            addresses: world.listeners.iter().map(|each| (each.name.as_str(), each.address())).collect(),
            slots: fleet.slots.len(),
            restarts: fleet.restarts(),
            failing: fleet.failing(now),
            workers: workers.collect(),
        }
    }
}
