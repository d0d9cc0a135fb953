//! Forks of a process with one thread: clone(2), elsewhere fork(2); tried again while the system lacks resources.

use std::cell::UnsafeCell;
use std::ptr;

use nix::Result;
use nix::errno::Errno;
use nix::unistd::Pid;

use crate::error::{Failure, Step};

/// Number of tries of a fork while the system lacks resources (EAGAIN, ENOMEM), and the pause after the first try, in
/// milliseconds. Each pause is twice as long as the one before: 0.75 s in all, a delay that a person hardly notices.
const FORK_TRIES: u32 = 5;
const FIRST_PAUSE_MS: u32 = 50;

/// Forks, from a process with one thread, and runs `body` in the child, which never returns and soon executes
/// (child::run). The parent gets the child's pid, or the errno of the last try. `body` is a plain function on prepared
/// memory, so that all it does can be read in one place.
///
/// On Linux the child shares this process's memory, on a stack of its own, while this process is suspended: that takes
/// a tenth of the time (CLONE_VFORK in clone(2)).
#[cfg(target_os = "linux")]
pub fn fork_to_execute<T>(body: fn(&T) -> !, prepared: &T, stack: &Stack) -> Result<Pid> {
    struct Start<'a, T>(fn(&T) -> !, &'a T);
    extern "C" fn start<T>(argument: *mut libc::c_void) -> libc::c_int {
        // SAFETY: the argument is the `Start` below, which lives until the child has executed or exited.
        let Start(body, prepared) = unsafe { &*argument.cast::<Start<'_, T>>() };
        body(prepared)
    }
    let mut argument = Start(body, prepared);
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
    retrying(|| {
        // SAFETY: this process is suspended until the child has executed or exited, so the two never run at once; the
        // child's stack is its own, and child::run keeps to signal-safety(7) and changes no memory that is read
        // afterwards.
        Errno::result(unsafe { libc::clone(start::<T>, stack.top(), flags, (&raw mut argument).cast()) })
            .map(Pid::from_raw)
    })
}

/// Forks, from a process with one thread, and runs `body` in the child, which never returns and soon executes
/// (child::run): fork(2).
#[cfg(not(target_os = "linux"))]
pub fn fork_to_execute<T>(body: fn(&T) -> !, prepared: &T, _stack: &Stack) -> Result<Pid> {
    // SAFETY: the child runs `body` alone: child::run, which keeps to signal-safety(7).
    retrying(|| match Errno::result(unsafe { libc::fork() })? {
        0 => body(prepared),
        pid => Ok(Pid::from_raw(pid)),
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

/// Tries `fork` again, after pauses, while the system lacks resources.
pub fn retrying(mut fork: impl FnMut() -> Result<Pid>) -> Result<Pid> {
    let mut pause = FIRST_PAUSE_MS;
    for _ in 1..FORK_TRIES {
        match fork() {
            Err(Errno::EAGAIN | Errno::ENOMEM) => sleep(pause),
            other => return other,
        }
        pause *= 2;
    }
    fork()
}

/// Describes a fork that failed; EAGAIN and ENOMEM are what remained after several tries.
pub fn failure(step: Step, errno: Errno) -> Failure {
    let failure = Failure::new(step, step.syscall(), errno);
    match errno {
        Errno::EAGAIN | Errno::ENOMEM => failure.because(format!("tried {FORK_TRIES} times")),
        _ => failure,
    }
}

/// Sleeps, or until a signal comes: nanosleep(2).
fn sleep(milliseconds: u32) {
    let time =
        libc::timespec { tv_sec: 0, tv_nsec: libc::c_long::from(milliseconds.min(999).cast_signed()) * 1_000_000 };
    // SAFETY: nanosleep(2) reads a struct of this frame; the remainder isn't asked for.
    unsafe { libc::nanosleep(&raw const time, ptr::null_mut()) };
}
