//! Interruption of a system call that blocks one thread. Only a signal interrupts fcntl(F_OFD_SETLKW).

use std::os::unix::thread::JoinHandleExt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use nix::errno::Errno;

/// Time between two signals. A signal that comes just before the call blocks is lost, so it is sent again until the
/// thread acknowledges.
const RESEND_INTERVAL: Duration = Duration::from_millis(1);

/// State that the interrupting and the interrupted thread share.
#[derive(Debug, Default)]
pub struct Interruption {
    wanted: AtomicBool,
    acknowledged: AtomicBool,
}

impl Interruption {
    /// Whether the thread is to stop. The thread checks it after every EINTR, and before a call that blocks.
    pub fn is_wanted(&self) -> bool {
        self.wanted.load(Ordering::SeqCst)
    }

    /// Called by the thread when it will not block again.
    pub fn acknowledge(&self) {
        self.acknowledged.store(true, Ordering::SeqCst);
    }

    /// Asks the thread to stop, for the case that it doesn't block in the kernel.
    pub fn request(&self) {
        self.wanted.store(true, Ordering::SeqCst);
    }

    /// Asks the thread to stop, and signals it until it has acknowledged.
    pub fn interrupt<T>(&self, thread: &JoinHandle<T>) {
        self.request();
        while !self.acknowledged.load(Ordering::SeqCst) {
            // SAFETY: the thread has not been joined or detached: its handle is borrowed.
            unsafe { libc::pthread_kill(thread.as_pthread_t() as libc::pthread_t, signal().unwrap_or(libc::SIGURG)) };
            std::thread::sleep(RESEND_INTERVAL);
        }
    }
}

/// Interrupts the calling thread in regular intervals, until it is dropped there.
pub struct Ticker {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// Has what blocks the calling thread fail with EINTR every `interval`. The thread must have called [`allow`]. A signal
/// that comes just before the call blocks is lost, and the next one comes in time.
#[must_use]
pub fn every(interval: Duration) -> Ticker {
    // SAFETY: pthread_self(3) only names the calling thread.
    let waiting = Waiting(unsafe { libc::pthread_self() });
    let (stop, stopped) = channel();
    let thread = std::thread::spawn(move || {
        let Waiting(waiting) = { waiting };
        while stopped.recv_timeout(interval) == Err(RecvTimeoutError::Timeout) {
            // SAFETY: the thread lives: it joins this one first, when it drops the ticker.
            unsafe { libc::pthread_kill(waiting, signal().unwrap_or(libc::SIGURG)) };
        }
    });
    Ticker { stop: Some(stop), thread: Some(thread) }
}

/// Thread that is to be interrupted.
struct Waiting(libc::pthread_t);

// SAFETY: the id is a pointer on some systems, which is never read through; pthread_kill(3) takes it from any thread.
unsafe impl Send for Waiting {}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Signal handler that does nothing, but makes the system call fail with EINTR.
extern "C" fn nothing(_: libc::c_int) {}

/// Returns the signal that interrupts: an unused one, with a handler that does nothing, and without SA_RESTART.
pub fn signal() -> Result<libc::c_int, Errno> {
    static SIGNAL: OnceLock<Result<libc::c_int, Errno>> = OnceLock::new();
    *SIGNAL.get_or_init(|| candidates().find(|&number| claim(number)).ok_or(Errno::EBUSY))
}

/// Unblocks the signal in the calling thread, whatever mask it inherited.
pub fn allow() -> nix::Result<()> {
    let number = signal()?;
    let mut set = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: sigemptyset(3) fills a set of this frame; the others read and change it.
    let failed = unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        libc::sigaddset(set.as_mut_ptr(), number);
        libc::pthread_sigmask(libc::SIG_UNBLOCK, set.as_ptr(), std::ptr::null_mut())
    };
    if failed == 0 { Ok(()) } else { Err(Errno::from_raw(failed)) }
}

/// Lists the signals to try.
#[cfg(target_os = "linux")]
fn candidates() -> impl Iterator<Item = libc::c_int> {
    (libc::SIGRTMIN()..=libc::SIGRTMAX()).rev()
}

/// Offers SIGURG alone, since macOS has no real-time signals: it is ignored by default, and raised only for out-of-band
/// data.
#[cfg(not(target_os = "linux"))]
fn candidates() -> impl Iterator<Item = libc::c_int> {
    std::iter::once(libc::SIGURG)
}

/// Takes the signal if its disposition is the default.
fn claim(number: libc::c_int) -> bool {
    // SAFETY: sigaction is plain data for which zero is a value; both structs are this frame's, and `nothing` is
    // async-signal-safe.
    unsafe {
        let mut before: libc::sigaction = std::mem::zeroed();
        if libc::sigaction(number, std::ptr::null(), &raw mut before) != 0 || before.sa_sigaction != libc::SIG_DFL {
            return false;
        }
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = nothing as extern "C" fn(libc::c_int) as usize;
        libc::sigaction(number, &raw const action, std::ptr::null_mut()) == 0
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn a_thread_is_interrupted_however_early_the_signal_comes() {
        for _ in 0..200 {
            let interruption = Arc::new(Interruption::default());
            let shared = Arc::clone(&interruption);
            let thread = std::thread::spawn(move || {
                allow().unwrap();
                while !shared.is_wanted() {
                    let mut nothing: [nix::poll::PollFd<'_>; 0] = [];
                    let _ = nix::poll::poll(&mut nothing, nix::poll::PollTimeout::NONE);
                }
                shared.acknowledge();
            });
            interruption.interrupt(&thread);
            thread.join().unwrap();
        }
    }
}
