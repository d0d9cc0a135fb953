//! Forks: fork(2) and clone(2), tried again while the system lacks resources.

use std::cell::UnsafeCell;
use std::ptr;

use nix::Result;
use nix::errno::Errno;
use nix::unistd::Pid;

/// Number of tries of a fork while the system lacks resources (EAGAIN, ENOMEM), and the pause after the first try, in
/// milliseconds. Each pause is twice as long as the one before: 0.75 s in all, a delay that a person hardly notices.
const FORK_TRIES: u32 = 5;
const FIRST_PAUSE_MS: u32 = 50;

/// Forks and runs `body` in the child, which never returns. The parent gets the child's pid, or the errno of the last
/// try. `body` is a plain function on prepared memory, so that all it does can be read in one place: the child of a
/// multithreaded process may call only async-signal-safe functions (signal-safety(7)), and must not unwind.
pub fn fork<T>(body: fn(&T) -> !, prepared: &T) -> Result<Pid> {
    // SAFETY: the child runs `body` alone: middle::run, which keeps to signal-safety(7).
    retrying(FORK_TRIES, || match unsafe { bare_fork() } {
        0 => body(prepared),
        pid => pid,
    })
}

/// Forks, like [`fork`], a child that executes soon (child::run), from a process with one thread. On Linux the child
/// shares this process's memory, on a stack of its own, while this process is suspended: that takes a tenth of the time
/// (CLONE_VFORK in clone(2)).
#[cfg(target_os = "linux")]
pub fn fork_to_execute<T>(tries: u32, body: fn(&T) -> !, prepared: &T, stack: &Stack) -> Result<Pid> {
    struct Start<'a, T>(fn(&T) -> !, &'a T);
    extern "C" fn start<T>(argument: *mut libc::c_void) -> libc::c_int {
        // SAFETY: the argument is the `Start` below, which lives until the child has executed or exited.
        let Start(body, prepared) = unsafe { &*argument.cast::<Start<'_, T>>() };
        body(prepared)
    }
    let mut argument = Start(body, prepared);
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
    // SAFETY: this process is suspended until the child has executed or exited, so the two never run at once; the
    // child's stack is its own, and child::run keeps to signal-safety(7) and changes no memory that is read afterwards.
    retrying(tries, || unsafe { libc::clone(start::<T>, stack.top(), flags, (&raw mut argument).cast()) })
}

/// Forks, like [`fork`], a child that executes soon (child::run), from a process with one thread.
#[cfg(not(target_os = "linux"))]
pub fn fork_to_execute<T>(tries: u32, body: fn(&T) -> !, prepared: &T, _stack: &Stack) -> Result<Pid> {
    // SAFETY: the child runs `body` alone: child::run, which keeps to signal-safety(7).
    retrying(tries, || match unsafe { bare_fork() } {
        0 => body(prepared),
        pid => pid,
    })
}

/// Stack for the child of [`fork_to_execute`]. Its frames are small; the largest, which closes descriptors, needs 2
/// KiB.
#[cfg_attr(not(target_os = "linux"), allow(dead_code))]
pub struct Stack(UnsafeCell<Box<[u128]>>);

impl Stack {
    const SIZE: usize = 64 * 1024;

    /// Allocates it, before the fork.
    pub fn allocate() -> Self {
        Self(UnsafeCell::new(vec![0; Self::SIZE / size_of::<u128>()].into_boxed_slice()))
    }

    /// Returns the upper end, from where a stack grows down; aligned to 16 bytes, as u128 is.
    #[cfg(target_os = "linux")]
    fn top(&self) -> *mut libc::c_void {
        // SAFETY: one past the end of this struct's allocation, to whose contents no reference exists.
        unsafe { (*self.0.get()).as_mut_ptr_range().end.cast() }
    }
}

/// Forks by a raw system call. libc's fork would run the pthread_atfork(3) handlers of the whole process in the child,
/// and libuv's handler makes pipes there.
#[cfg(target_os = "linux")]
unsafe fn bare_fork() -> libc::pid_t {
    const NONE: libc::c_long = 0;
    // SAFETY: clone(2) with no flags but the signal is fork(2); the caller keeps to what a child may do. The null
    // arguments stand in different orders on different processors.
    let pid = unsafe { libc::syscall(libc::SYS_clone, libc::c_long::from(libc::SIGCHLD), NONE, NONE, NONE, NONE) };
    libc::pid_t::try_from(pid).unwrap_or(-1)
}

#[cfg(not(target_os = "linux"))]
unsafe fn bare_fork() -> libc::pid_t {
    // SAFETY: the caller keeps to what a child may do.
    unsafe { libc::fork() }
}

/// Tries `fork` again, after pauses, while the system lacks resources.
fn retrying(tries: u32, mut fork: impl FnMut() -> libc::pid_t) -> Result<Pid> {
    let mut pause = FIRST_PAUSE_MS;
    for tries_left in (0..tries).rev() {
        match Errno::result(fork()) {
            Ok(pid) => return Ok(Pid::from_raw(pid)),
            Err(Errno::EAGAIN | Errno::ENOMEM) if tries_left > 0 => {
                sleep(pause);
                pause *= 2;
            }
            Err(errno) => return Err(errno),
        }
    }
    Err(Errno::EAGAIN)
}

/// Returns the number of tries of a fork before it fails.
#[must_use]
pub const fn tries() -> u32 {
    FORK_TRIES
}

/// Sleeps, or until a signal comes: nanosleep(2). Async-signal-safe.
fn sleep(milliseconds: u32) {
    let time =
        libc::timespec { tv_sec: 0, tv_nsec: libc::c_long::from(milliseconds.min(999).cast_signed()) * 1_000_000 };
    // SAFETY: nanosleep(2) reads a struct of this frame; the remainder isn't asked for.
    unsafe { libc::nanosleep(&raw const time, ptr::null_mut()) };
}
