//! fork, exec and the ends of processes.

use std::cell::UnsafeCell;
use std::ffi::{CStr, CString, c_char};
use std::os::unix::ffi::OsStringExt;
use std::ptr;

use nix::Result;
use nix::errno::Errno;
use nix::unistd::Pid;

/// How often a fork is tried again when the system says that it can't just now (EAGAIN, ENOMEM), and the first pause;
/// each next one is twice as long: 0.75 s in all, which a person waits without noticing.
const FORK_TRIES: u32 = 5;
const FIRST_PAUSE_MS: u32 = 50;

/// Decimal digits of the largest pid, and NUL.
const PID_ROOM: usize = 11;

/// Forks, and runs `body` in the child, which never returns. In the parent: the child's pid, or the errno of the last
/// try. `body` is a plain function on memory prepared before, so that all it does can be read in one place: the child
/// of a multithreaded process may only call async-signal-safe functions (signal-safety(7)), and must not unwind.
pub fn fork<T>(body: fn(&T) -> !, prepared: &T) -> Result<Pid> {
    let mut pause = FIRST_PAUSE_MS;
    for tries_left in (0..FORK_TRIES).rev() {
        // SAFETY: the child runs `body` alone: middle::run and child::run, which keep to signal-safety(7).
        match Errno::result(unsafe { libc::fork() }) {
            Ok(0) => body(prepared),
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

#[must_use]
pub fn fork_tries() -> u32 {
    FORK_TRIES
}

/// nanosleep(2), async-signal-safe; a signal may shorten it.
fn sleep(milliseconds: u32) {
    let time = libc::timespec {
        tv_sec: 0,
        tv_nsec: libc::c_long::from(milliseconds.min(999).cast_signed()) * 1_000_000,
    };
    // SAFETY: nanosleep(2) reads a struct that we own; the remainder isn't asked for.
    unsafe { libc::nanosleep(&raw const time, ptr::null_mut()) };
}

/// Ends this process at once: no destructors, no atexit handlers. Async-signal-safe.
pub fn exit_now(code: i32) -> ! {
    // SAFETY: _exit(2) takes a number and doesn't return.
    unsafe { libc::_exit(code) }
}

/// What execve(2) needs, made before the fork. Variables may end in the pid that the process will have, which only the
/// child knows: room is kept for its digits.
pub struct Image {
    path: CString,
    _arguments: Vec<CString>,
    _variables: Vec<UnsafeCell<Vec<u8>>>,
    argv: Vec<*const c_char>,
    envp: Vec<*const c_char>,
    pid_slots: Vec<*mut u8>,
}

/// A variable's `NAME=value` text, and whether the pid is to be appended.
pub struct Variable {
    pub text: Vec<u8>,
    pub ends_in_pid: bool,
}

impl Image {
    pub fn new(path: CString, arguments: Vec<CString>, variables: Vec<Variable>) -> Self {
        let argv = arguments
            .iter()
            .map(|each| each.as_ptr())
            .chain([ptr::null()])
            .collect();
        let mut pid_slots = Vec::new();
        let mut envp = Vec::new();
        let mut stored = Vec::new();
        for Variable { mut text, ends_in_pid } in variables {
            let length = text.len();
            text.resize(length + if ends_in_pid { PID_ROOM } else { 1 }, 0);
            let cell = UnsafeCell::new(text);
            // SAFETY: the buffer is on the heap, where it stays when `cell` moves into the struct; it is never resized again.
            let start = unsafe { (*cell.get()).as_mut_ptr() };
            envp.push(start.cast_const().cast());
            if ends_in_pid {
                // SAFETY: `length` is inside the buffer, which has PID_ROOM bytes behind it.
                pid_slots.push(unsafe { start.add(length) });
            }
            stored.push(cell);
        }
        envp.push(ptr::null());
        Self {
            path,
            _arguments: arguments,
            _variables: stored,
            argv,
            envp,
            pid_slots,
        }
    }

    /// Writes our pid where it is wanted and executes the program; returns only the errno. Async-signal-safe.
    pub fn execute(&self) -> Errno {
        let mut digits = [0; PID_ROOM];
        let pid = decimal(id(), &mut digits);
        for &slot in &self.pid_slots {
            // SAFETY: every slot has PID_ROOM zeroed bytes (see `new`), and `pid` has at most PID_ROOM - 1.
            unsafe { ptr::copy_nonoverlapping(pid.as_ptr(), slot, pid.len()) };
        }
        // SAFETY: path, argv and envp are NUL-terminated and live in this struct.
        unsafe { libc::execve(self.path.as_ptr(), self.argv.as_ptr(), self.envp.as_ptr()) };
        Errno::last()
    }
}

/// getpid(2). Async-signal-safe.
pub fn id() -> u32 {
    std::process::id()
}

/// The digits of a number, in a buffer of the caller's. Async-signal-safe.
pub fn decimal(mut number: u32, buffer: &mut [u8; PID_ROOM]) -> &[u8] {
    let mut start = buffer.len();
    loop {
        start -= 1;
        buffer[start] = b'0' + u8::try_from(number % 10).unwrap_or(0);
        number /= 10;
        if number == 0 {
            return &buffer[start..];
        }
    }
}

/// The environment of this process, as bytes.
pub fn environment() -> impl Iterator<Item = (Vec<u8>, Vec<u8>)> {
    std::env::vars_os().map(|(name, value)| (name.into_vec(), value.into_vec()))
}

/// Asks for SIGKILL when the thread that forked us ends (PR_SET_PDEATHSIG), or takes that back. Async-signal-safe.
#[cfg(target_os = "linux")]
pub fn die_with_parent(wanted: bool) -> Result<()> {
    let signal = if wanted { libc::SIGKILL } else { 0 };
    // SAFETY: PR_SET_PDEATHSIG takes one number.
    Errno::result(unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, signal, 0, 0, 0) }).map(drop)
}

/// Elsewhere the middle's end is seen by the channel's end alone.
#[cfg(not(target_os = "linux"))]
pub fn die_with_parent(_wanted: bool) -> Result<()> {
    Ok(())
}

/// setpgid(0, 0): a process group of our own. Async-signal-safe.
pub fn lead_process_group() -> Result<()> {
    // SAFETY: setpgid(2) takes numbers.
    Errno::result(unsafe { libc::setpgid(0, 0) }).map(drop)
}

/// chdir(2) by C string. Async-signal-safe.
pub fn change_directory(path: &CStr) -> Result<()> {
    // SAFETY: the path is a C string.
    Errno::result(unsafe { libc::chdir(path.as_ptr()) }).map(drop)
}

/// SIGKILL for a child of ours that has not been waited for, so that its number can't be another's, and for the process
/// group that it leads. Async-signal-safe.
pub fn kill_child_and_group(child: Pid) {
    // SAFETY: kill(2) takes numbers. The child is unreaped (middle::run waits for it only after this).
    unsafe {
        libc::kill(-child.as_raw(), libc::SIGKILL);
        libc::kill(child.as_raw(), libc::SIGKILL);
    }
}

/// waitpid(2) through EINTR: the raw status, or None if `block` is false and the child still runs. Async-signal-safe.
pub fn wait(child: Pid, block: bool) -> Result<Option<i32>> {
    let mut status = 0;
    loop {
        // SAFETY: waitpid(2) fills an int that we own.
        let pid = unsafe { libc::waitpid(child.as_raw(), &raw mut status, if block { 0 } else { libc::WNOHANG }) };
        match Errno::result(pid) {
            Ok(0) => return Ok(None),
            Ok(_) => return Ok(Some(status)),
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_have_no_padding() {
        assert_eq!(decimal(0, &mut [0; PID_ROOM]), b"0");
        assert_eq!(decimal(4_194_304, &mut [0; PID_ROOM]), b"4194304");
        assert_eq!(decimal(u32::MAX, &mut [0; PID_ROOM]), b"4294967295");
    }
}
