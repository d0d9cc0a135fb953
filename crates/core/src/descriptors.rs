//! Which descriptor has which number in the daemon.
//!
//! Listening sockets from 3 on, as systemd passes them, then ours, without a gap: Node marks only low and contiguous
//! numbers to be closed at exec when it boots, so what stands after a gap would leak into the first children.

use std::os::fd::{AsRawFd, OwnedFd, RawFd};

/// The first descriptor that is passed: sd_listen_fds(3).
pub const FIRST_PASSED: RawFd = 3;

/// Moves for the child to make, and the descriptors that they need.
#[derive(Debug, Default)]
pub struct Arrangement {
    sources: Vec<OwnedFd>,
    moves: Vec<(RawFd, RawFd)>,
}

impl Arrangement {
    /// Gives `source` the number `target` in the child. Sources lie above all targets, so that no move overwrites one.
    pub fn place(&mut self, source: OwnedFd, target: RawFd) {
        self.moves.push((source.as_raw_fd(), target));
        self.sources.push(source);
    }

    /// The lowest number that is still free, taken.
    pub fn place_next(&mut self, source: OwnedFd) -> RawFd {
        let is_taken = |number| self.moves.iter().any(|&(_, target)| target == number);
        let target = (FIRST_PASSED..RawFd::MAX).find(|&number| !is_taken(number)).unwrap_or(RawFd::MAX);
        self.place(source, target);
        target
    }

    #[must_use]
    pub fn moves(&self) -> &[(RawFd, RawFd)] {
        &self.moves
    }

    /// All numbers that the child keeps, sorted.
    #[must_use]
    pub fn kept(&self) -> Vec<RawFd> {
        let mut kept: Vec<_> = self.moves.iter().map(|&(_, target)| target).collect();
        kept.sort_unstable();
        kept
    }
}
