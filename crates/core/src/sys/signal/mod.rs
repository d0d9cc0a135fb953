//! Signals: masks and dispositions. The modules hold signals over an exec, catch them while a launcher blocks, and make
//! them events of a supervisor.

mod captured;
mod held_over;
mod watch;

use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, OwnedFd};
use std::ptr;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};

pub use captured::Captured;
pub use held_over::HeldOver;
pub use watch::Watch;

use super::fd;

/// The highest signal number, the real-time ones included.
#[cfg(target_os = "linux")]
const LAST_SIGNAL: i32 = 64;
#[cfg(not(target_os = "linux"))]
const LAST_SIGNAL: i32 = 31;

/// Blocks all signals in this thread, until dropped. Signals that come meanwhile are delivered then.
pub struct AllBlocked(SigSet);

impl AllBlocked {
    /// Blocks them.
    pub fn new() -> nix::Result<Self> {
        Ok(Self(SigSet::all().thread_swap_mask(nix::sys::signal::SigmaskHow::SIG_SETMASK)?))
    }
}

impl Drop for AllBlocked {
    fn drop(&mut self) {
        // Restoring the mask can't fail: pthread_sigmask(3) itself returned it.
        let _ = self.0.thread_set_mask();
    }
}

/// Blocks all signals of this process, which has one thread: they wait over an exec until the new program takes them.
/// Async-signal-safe.
pub fn block_all() -> nix::Result<()> {
    let mut all = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: sigfillset(3) fills a set of this frame; sigprocmask(2) reads it.
    Errno::result(unsafe {
        libc::sigfillset(all.as_mut_ptr());
        libc::sigprocmask(libc::SIG_SETMASK, all.as_ptr(), ptr::null_mut())
    })
    .map(drop)
}

/// Drops the signals that have come while they were blocked. Dispositions are lost: [`restore_defaults`] follows.
pub fn discard_pending() {
    for number in 1..=LAST_SIGNAL {
        // SAFETY: SIG_IGN is no code. KILL, STOP and libc's own two signals are refused with EINVAL.
        unsafe { libc::signal(number, libc::SIG_IGN) };
    }
}

/// Resets every disposition and empties the mask, in a process with one thread: the middle, or a child of the
/// supervisor, whose handlers may not run there. Async-signal-safe.
pub fn restore_defaults() -> nix::Result<()> {
    for number in 1..=LAST_SIGNAL {
        // SAFETY: SIG_DFL is no code. KILL and STOP are refused with EINVAL, and libc's own signals by libc.
        unsafe { libc::signal(number, libc::SIG_DFL) };
    }
    #[cfg(target_os = "linux")]
    reset_signals_of_libc();
    let mut empty = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: sigemptyset(3) fills a set of this frame; sigprocmask(2) reads it. The process has one thread.
    Errno::result(unsafe {
        libc::sigemptyset(empty.as_mut_ptr());
        libc::sigprocmask(libc::SIG_SETMASK, empty.as_ptr(), ptr::null_mut())
    })
    .map(drop)
}

/// Resets the two signals that libc keeps for its threads, nptl(7): glibc's posix_spawn(3) has them ignored in the new
/// process, and no libc lets sigaction(2) change them.
#[cfg(target_os = "linux")]
fn reset_signals_of_libc() {
    // The kernel's struct sigaction: handler, flags, restorer, and a mask of 64 signals. Zeros are SIG_DFL.
    let default = [0_u64; 4];
    for number in [32, 33] {
        // SAFETY: rt_sigaction(2) reads a struct that is no larger than this array.
        unsafe {
            libc::syscall(
                libc::SYS_rt_sigaction,
                number,
                default.as_ptr(),
                ptr::null_mut::<libc::c_void>(),
                size_of::<u64>(),
            )
        };
    }
}

/// Ignores a signal. An ignored signal stays so over exec, but Node resets it when it boots, so this is called
/// afterwards.
pub fn ignore(signal: Signal) -> nix::Result<()> {
    set_disposition(signal, SigHandler::SigIgn)
}

/// Lets a signal have its default effect.
pub fn set_default(signal: Signal) -> nix::Result<()> {
    set_disposition(signal, SigHandler::SigDfl)
}

fn set_disposition(signal: Signal, handler: SigHandler) -> nix::Result<()> {
    let action = SigAction::new(handler, SaFlags::empty(), SigSet::empty());
    // SAFETY: SIG_IGN and SIG_DFL are no code.
    unsafe { sigaction(signal, &action) }.map(drop)
}

/// Makes the pipe from a signal handler to a poll. Neither end blocks.
fn handler_pipe() -> nix::Result<(OwnedFd, OwnedFd)> {
    let ends = nix::unistd::pipe()?;
    for end in [&ends.0, &ends.1] {
        fd::close_at_exec(end.as_raw_fd())?;
        nix::fcntl::fcntl(end, nix::fcntl::FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    }
    Ok(ends)
}
