//! Signals as events for a process that polls: the supervisor.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::ptr;
use std::sync::OnceLock;

use nix::errno::Errno;
use nix::sys::signal::SigSet;

use super::handler_pipe;
use crate::sys::fd;

/// Pipe from the handler of [`Watch`] to the poll. Made once and never closed: the handler is never taken back.
static WATCH: OnceLock<(OwnedFd, OwnedFd)> = OnceLock::new();

/// Signal handler of [`Watch`].
extern "C" fn note(number: libc::c_int, info: *mut libc::siginfo_t, _context: *mut libc::c_void) {
    let saved = Errno::last_raw();
    // SAFETY: the kernel hands a filled siginfo_t to a handler with SA_SIGINFO.
    let code = unsafe { (*info).si_code };
    // SI_USER is 0, SI_QUEUE, SI_TKILL and the like are negative; SI_KERNEL and the terminal's are positive.
    let words = [u8::try_from(number).unwrap_or(0), u8::from(code <= 0)];
    if let Some((_, writer)) = WATCH.get() {
        // SAFETY: write(2) is async-signal-safe and reads two bytes of this frame.
        unsafe { libc::write(writer.as_raw_fd(), words.as_ptr().cast(), words.len()) };
    }
    Errno::set_raw(saved);
}

/// Delivers signals as events to a process that polls.
#[derive(Debug)]
pub struct Watch(&'static OwnedFd);

impl Watch {
    /// Watches `signals` from here on, and unblocks all. Call it once.
    pub fn start(signals: &[i32]) -> nix::Result<Self> {
        let ends = handler_pipe()?;
        let _ = WATCH.set(ends);
        let (reader, _) = WATCH.get().ok_or(Errno::EBADF)?;
        let watch = Self(reader);
        for &number in signals {
            watch.add(number)?;
        }
        SigSet::empty().thread_set_mask()?;
        Ok(watch)
    }

    /// Watches one signal more.
    pub fn add(&self, number: i32) -> nix::Result<()> {
        // SAFETY: sigaction is plain data; `note` calls write(2) alone, on a pipe that is never closed.
        Errno::result(unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = note as *const () as libc::sighandler_t;
            action.sa_flags = libc::SA_SIGINFO | libc::SA_RESTART;
            libc::sigemptyset(&raw mut action.sa_mask);
            libc::sigaction(number, &raw const action, ptr::null_mut())
        })
        .map(drop)
    }

    /// The descriptor that polls as readable when a signal came.
    #[must_use]
    pub fn descriptor(&self) -> BorrowedFd<'static> {
        self.0.as_fd()
    }

    /// Raises again the signals that came and were not read yet, except some: for an exec, with all signals blocked. What
    /// came from the kernel or the terminal comes from there again.
    pub fn raise_unread(&self, except: &[i32]) {
        while let Some((number, from_process)) = self.next() {
            if except.contains(&number) {
                continue;
            }
            if from_process {
                // SAFETY: raise(3) takes a number.
                unsafe { libc::raise(number) };
            } else {
                raise_as_kernel(number);
            }
        }
    }

    /// Reads the next signal that came, and whether a process sent it, rather than the kernel or the terminal.
    #[must_use]
    pub fn next(&self) -> Option<(i32, bool)> {
        let mut words = [0; 2];
        match fd::read(self.0.as_raw_fd(), &mut words) {
            Ok(2) => Some((i32::from(words[0]), words[1] == 1)),
            _ => None,
        }
    }
}

/// Sends this thread a signal as the kernel does: rt_tgsigqueueinfo(2), which lets a thread choose the code of what it
/// sends itself.
#[cfg(target_os = "linux")]
fn raise_as_kernel(number: i32) {
    // SAFETY: siginfo_t is plain data, for which zeros are valid.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    info.si_signo = number;
    info.si_code = libc::SI_KERNEL;
    // SAFETY: rt_tgsigqueueinfo(2) reads a struct of this frame.
    unsafe { libc::syscall(libc::SYS_rt_tgsigqueueinfo, libc::getpid(), libc::gettid(), number, &raw const info) };
}

/// Raises the one signal that matters although the terminal sent it: SIGHUP, which ends this process, as SIGTERM.
#[cfg(not(target_os = "linux"))]
fn raise_as_kernel(number: i32) {
    if number == libc::SIGHUP {
        // SAFETY: raise(3) takes a number.
        unsafe { libc::raise(libc::SIGTERM) };
    }
}

#[cfg(test)]
mod tests {
    use super::super::AllBlocked;
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn a_signal_of_the_terminal_that_is_raised_again_is_still_the_terminals() {
        let watch = Watch::start(&[libc::SIGTTIN, libc::SIGTTOU]).unwrap();
        raise_as_kernel(libc::SIGTTIN);
        // SAFETY: raise(3) takes a number.
        unsafe { libc::raise(libc::SIGTTOU) };
        assert_eq!([watch.next(), watch.next()], [Some((libc::SIGTTIN, false)), Some((libc::SIGTTOU, true))]);
        raise_as_kernel(libc::SIGTTIN);
        let blocked = AllBlocked::new().unwrap();
        watch.raise_unread(&[]);
        assert_eq!(watch.next(), None);
        drop(blocked);
        assert_eq!(watch.next(), Some((libc::SIGTTIN, false)));
    }
}
