//! Signals that are held back over an exec.

use std::sync::OnceLock;

use nix::errno::Errno;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};

use super::AllBlocked;

/// Thread to which the handler of [`HeldOver`] sends the signals that come to other threads.
static HOLDER: OnceLock<Holder> = OnceLock::new();

#[cfg(target_os = "linux")]
type Holder = libc::pid_t;
/// A pthread_t, which is a pointer on some systems.
#[cfg(not(target_os = "linux"))]
type Holder = usize;

#[cfg(target_os = "linux")]
fn this_thread() -> Holder {
    crate::sys::process::thread_id()
}

#[cfg(not(target_os = "linux"))]
fn this_thread() -> Holder {
    // SAFETY: pthread_self(3) takes nothing and can't fail.
    unsafe { libc::pthread_self() as usize }
}

/// Signal handler of [`HeldOver`]. It runs in threads other than the holder, which has all signals blocked.
///
/// The kernel lets nobody pass on another sender's siginfo_t to another thread (rt_tgsigqueueinfo(2)), so who sent the
/// signal is lost. One thing hangs on it: the terminal's HUP, unlike a process's, is a stop; it goes on as TERM.
extern "C" fn hand_over(number: libc::c_int, info: *mut libc::siginfo_t, _context: *mut libc::c_void) {
    let saved = Errno::last_raw();
    // SAFETY: the kernel hands a filled siginfo_t to a handler with SA_SIGINFO.
    let is_from_kernel = unsafe { (*info).si_code } > 0;
    let number = if number == libc::SIGHUP && is_from_kernel { libc::SIGTERM } else { number };
    if let Some(&holder) = HOLDER.get() {
        #[cfg(target_os = "linux")]
        // SAFETY: tgkill(2) takes numbers.
        unsafe {
            libc::syscall(libc::SYS_tgkill, libc::getpid(), holder, number)
        };
        #[cfg(not(target_os = "linux"))]
        // SAFETY: pthread_kill(3) is async-signal-safe; the holder is the main thread, which outlives all others.
        unsafe {
            libc::pthread_kill(holder as libc::pthread_t, number)
        };
    }
    Errno::set_raw(saved);
}

/// Holds signals back, from a moment when they must no longer kill this process until a program that it executes takes
/// them. The main thread has them pending meanwhile, and keeps them over execve(2). When this is dropped instead, they
/// are delivered.
///
/// Blocking alone isn't enough: the other threads of Node don't block them, and a signal to the process is delivered to
/// any thread that doesn't.
pub struct HeldOver {
    before: Vec<(Signal, SigAction)>,
    // Dropped after the dispositions are restored.
    _blocked: AllBlocked,
}

impl HeldOver {
    const SIGNALS: [Signal; 6] =
        [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGQUIT, Signal::SIGUSR2, Signal::SIGALRM];

    /// Holds signals back from here on. Called in the main thread.
    pub fn new() -> nix::Result<Self> {
        HOLDER.get_or_init(this_thread);
        let mut held = Self { before: Vec::new(), _blocked: AllBlocked::new()? };
        let action = SigAction::new(SigHandler::SigAction(hand_over), SaFlags::SA_RESTART, SigSet::empty());
        for signal in Self::SIGNALS {
            // SAFETY: `hand_over` makes system calls alone.
            let before = unsafe { sigaction(signal, &action) }?;
            held.before.push((signal, before));
        }
        Ok(held)
    }
}

impl Drop for HeldOver {
    fn drop(&mut self) {
        for (signal, before) in &self.before {
            // SAFETY: the action is the one that sigaction(2) returned as the previous one.
            let _ = unsafe { sigaction(*signal, before) };
        }
    }
}
