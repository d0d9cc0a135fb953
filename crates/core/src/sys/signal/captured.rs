//! Signals that are caught while a launcher blocks, when JavaScript doesn't run.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::OnceLock;

use nix::errno::Errno;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, raise, sigaction};

use super::handler_pipe;
use crate::sys::fd;

/// Pipe from the handler of [`Captured`] to the poll. Made once and never closed: the handler may still run in another
/// thread when the previous handlers are back.
static PIPE: OnceLock<(OwnedFd, OwnedFd)> = OnceLock::new();

/// Signal handler of [`Captured`].
extern "C" fn wake(number: libc::c_int) {
    let saved = Errno::last_raw();
    let byte = u8::try_from(number).unwrap_or(0);
    // OnceLock::get is one atomic load: the pipe is there before the handler is.
    if let Some((_, writer)) = PIPE.get() {
        // SAFETY: write(2) is async-signal-safe and reads one byte of this frame. A full pipe already says enough.
        unsafe { libc::write(writer.as_raw_fd(), (&raw const byte).cast(), 1) };
    }
    Errno::set_raw(saved);
}

fn pipe() -> nix::Result<&'static OwnedFd> {
    if PIPE.get().is_none() {
        let _ = PIPE.set(handler_pipe()?); // if another thread was faster, its pipe is used
    }
    PIPE.get().map(|(reader, _)| reader).ok_or(Errno::EBADF)
}

/// Catches INT, TERM, HUP and QUIT in place of the JavaScript side while that is blocked, until dropped.
#[derive(Debug)]
pub struct Captured {
    pipe: &'static OwnedFd,
    before: Vec<(Signal, SigAction)>,
}

impl Captured {
    const SIGNALS: [Signal; 4] = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGQUIT];

    /// Installs the handlers.
    pub fn new() -> nix::Result<Self> {
        let mut captured = Self { pipe: pipe()?, before: Vec::new() };
        while captured.caught().is_some() {} // signals of an earlier start
        // Without SA_RESTART, so that the signal interrupts the poll.
        let action = SigAction::new(SigHandler::Handler(wake), SaFlags::empty(), SigSet::empty());
        for signal in Self::SIGNALS {
            // SAFETY: `wake` calls write(2) alone, on a pipe that is never closed.
            let before = unsafe { sigaction(signal, &action) }?;
            captured.before.push((signal, before));
        }
        Ok(captured)
    }

    /// The descriptor that polls as readable when a signal came.
    #[must_use]
    pub fn descriptor(&self) -> BorrowedFd<'static> {
        self.pipe.as_fd()
    }

    /// Reads the signal that came first, if one came.
    #[must_use]
    pub fn caught(&self) -> Option<Signal> {
        let mut byte = [0];
        match fd::read(self.pipe.as_raw_fd(), &mut byte) {
            Ok(1) => Signal::try_from(i32::from(byte[0])).ok(),
            _ => None,
        }
    }

    /// Restores the previous handlers and raises the signal for them.
    pub fn pass_on(self, signal: Signal) {
        drop(self);
        let _ = raise(signal);
    }
}

impl Drop for Captured {
    /// Restores the previous handlers. They get the signals that came and were not read.
    fn drop(&mut self) {
        for (signal, before) in &self.before {
            // SAFETY: the action is the one that sigaction(2) returned as the previous one.
            let _ = unsafe { sigaction(*signal, before) };
        }
        while let Some(signal) = self.caught() {
            let _ = raise(signal);
        }
    }
}
