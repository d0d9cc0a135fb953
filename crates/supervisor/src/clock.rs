//! The supervisor's one clock.

use nix::time::{ClockId, clock_gettime};

/// Milliseconds on the monotonic clock, or between two points of it.
pub type Millis = u64;

/// Reads CLOCK_MONOTONIC, which goes on counting when the supervisor executes itself again.
pub fn now() -> Millis {
    let time = clock_gettime(ClockId::CLOCK_MONOTONIC).map(std::time::Duration::from);
    time.map_or(0, |time| Millis::try_from(time.as_millis()).unwrap_or(Millis::MAX))
}
