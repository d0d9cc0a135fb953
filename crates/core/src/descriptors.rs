//! Descriptor numbers in the daemon.
//!
//! Listening sockets come from 3 on, as systemd passes them, then daemonic's own descriptors, without a gap: when Node
//! boots, it marks only low and contiguous numbers to be closed at exec. Descriptors after a gap would leak into child
//! processes.

use std::os::fd::{AsRawFd, OwnedFd, RawFd};

/// Number of the first socket that is passed: SD_LISTEN_FDS_START of sd_listen_fds(3).
pub const FIRST_PASSED: RawFd = 3;

/// Moves of descriptors that the child has to make, and the descriptors themselves.
#[derive(Debug, Default)]
pub struct Arrangement {
    sources: Vec<OwnedFd>,
    moves: Vec<(RawFd, RawFd)>,
}

impl Arrangement {
    /// Gives `source` the number `target` in the child. All sources lie above all targets, so that no move overwrites
    /// one.
    pub fn place(&mut self, source: OwnedFd, target: RawFd) {
        self.moves.push((source.as_raw_fd(), target));
        self.sources.push(source);
    }

    /// Gives `source` the lowest number that is still free, and returns that number.
    pub fn place_next(&mut self, source: OwnedFd) -> RawFd {
        let is_taken = |number| self.moves.iter().any(|&(_, target)| target == number);
        let target = (FIRST_PASSED..RawFd::MAX).find(|&number| !is_taken(number)).unwrap_or(RawFd::MAX);
        self.place(source, target);
        target
    }

    /// Pairs of present number and number in the child.
    #[must_use]
    pub fn moves(&self) -> &[(RawFd, RawFd)] {
        &self.moves
    }

    /// Lists all numbers that the child keeps, sorted.
    #[must_use]
    pub fn kept(&self) -> Vec<RawFd> {
        let mut kept: Vec<_> = self.moves.iter().map(|&(_, target)| target).collect();
        kept.sort_unstable();
        kept
    }
}
