//! Signals: around fork, while a launcher blocks, and as events for a supervisor.

use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::ptr;
use std::sync::OnceLock;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, raise, sigaction};

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

/// Thread to which the handler of [`HeldOver`] sends the signals that come to other threads.
static HOLDER: OnceLock<Holder> = OnceLock::new();

#[cfg(target_os = "linux")]
type Holder = libc::pid_t;
/// A pthread_t, which is a pointer on some systems.
#[cfg(not(target_os = "linux"))]
type Holder = usize;

#[cfg(target_os = "linux")]
fn this_thread() -> Holder {
    super::process::thread_id()
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
        let _ = PIPE.set(new_pipe()?); // if another thread was faster, its pipe is used
    }
    PIPE.get().map(|(reader, _)| reader).ok_or(Errno::EBADF)
}

fn new_pipe() -> nix::Result<(OwnedFd, OwnedFd)> {
    let ends = nix::unistd::pipe()?;
    for end in [&ends.0, &ends.1] {
        fd::close_at_exec(end.as_raw_fd())?;
        nix::fcntl::fcntl(end, nix::fcntl::FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    }
    Ok(ends)
}

/// Pipe from the handler of [`Watch`] to the poll. Made once and never closed, like [`PIPE`].
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
        let ends = new_pipe()?;
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
        std::os::fd::AsFd::as_fd(self.0)
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
        std::os::fd::AsFd::as_fd(self.pipe)
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

#[cfg(test)]
mod tests {
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
