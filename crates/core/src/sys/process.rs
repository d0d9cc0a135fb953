//! fork, exec and the ends of processes.

use std::cell::UnsafeCell;
use std::ffi::{CStr, CString, c_char};
use std::os::unix::ffi::OsStringExt;
use std::ptr;

use nix::Result;
use nix::errno::Errno;
use nix::unistd::{Pid, getppid, getsid};

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
    // SAFETY: the child runs `body` alone: middle::run, which keeps to signal-safety(7).
    retrying(FORK_TRIES, || match unsafe { bare_fork() } {
        0 => body(prepared),
        pid => pid,
    })
}

/// The same for a child that executes soon (child::run), from a process with one thread: on Linux it shares our memory,
/// on a stack of its own, while we stand still, which takes a tenth of the time (CLONE_VFORK in clone(2)).
#[cfg(target_os = "linux")]
pub fn fork_to_execute<T>(tries: u32, body: fn(&T) -> !, prepared: &T, stack: &Stack) -> Result<Pid> {
    struct Start<'a, T>(fn(&T) -> !, &'a T);
    extern "C" fn start<T>(argument: *mut libc::c_void) -> libc::c_int {
        // SAFETY: the argument is the `Start` below, which lives until the child has executed or ended.
        let Start(body, prepared) = unsafe { &*argument.cast::<Start<'_, T>>() };
        body(prepared)
    }
    let mut argument = Start(body, prepared);
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
    // SAFETY: we are suspended until the child has executed or ended, so nothing is shared at once; its stack is its
    // own, and child::run keeps to signal-safety(7) and changes no memory that we read afterwards.
    retrying(tries, || unsafe { libc::clone(start::<T>, stack.top(), flags, (&raw mut argument).cast()) })
}

#[cfg(not(target_os = "linux"))]
pub fn fork_to_execute<T>(tries: u32, body: fn(&T) -> !, prepared: &T, _stack: &Stack) -> Result<Pid> {
    // SAFETY: the child runs `body` alone: child::run, which keeps to signal-safety(7).
    retrying(tries, || match unsafe { bare_fork() } {
        0 => body(prepared),
        pid => pid,
    })
}

/// Memory for the child of [`fork_to_execute`]: its frames are small, closing descriptors needs 2 KiB.
#[cfg_attr(not(target_os = "linux"), allow(dead_code))]
pub struct Stack(UnsafeCell<Box<[u128]>>);

impl Stack {
    const SIZE: usize = 64 * 1024;

    pub fn allocate() -> Self {
        Self(UnsafeCell::new(vec![0; Self::SIZE / size_of::<u128>()].into_boxed_slice()))
    }

    /// The end, from where a stack grows down; aligned to 16 bytes, as u128 is.
    #[cfg(target_os = "linux")]
    fn top(&self) -> *mut libc::c_void {
        // SAFETY: one past the end of an allocation of ours; nobody has a reference to its contents.
        unsafe { (*self.0.get()).as_mut_ptr_range().end.cast() }
    }
}

/// fork(2) as a system call: libc's runs the pthread_atfork(3) handlers of the whole process in the child, libuv's among
/// them, which makes pipes there.
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

#[must_use]
pub fn fork_tries() -> u32 {
    FORK_TRIES
}

/// nanosleep(2), async-signal-safe; a signal may shorten it.
fn sleep(milliseconds: u32) {
    let time =
        libc::timespec { tv_sec: 0, tv_nsec: libc::c_long::from(milliseconds.min(999).cast_signed()) * 1_000_000 };
    // SAFETY: nanosleep(2) reads a struct that we own; the remainder isn't asked for.
    unsafe { libc::nanosleep(&raw const time, ptr::null_mut()) };
}

/// Ends this process at once: no destructors, no atexit handlers. Async-signal-safe.
pub fn exit_now(code: i32) -> ! {
    // SAFETY: _exit(2) takes a number and doesn't return.
    unsafe { libc::_exit(code) }
}

/// Ends this process by a signal, as a child of ours ended, without a dump; returns if the signal doesn't end processes.
pub fn end_by(number: i32) {
    let _ = super::limit::set(libc::RLIMIT_CORE, 0, 0);
    // SAFETY: SIG_DFL is no code of ours, and raise(3) takes a number.
    unsafe {
        libc::signal(number, libc::SIG_DFL);
        libc::raise(number);
    }
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
        let argv = arguments.iter().map(|each| each.as_ptr()).chain([ptr::null()]).collect();
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
        Self { path, _arguments: arguments, _variables: stored, argv, envp, pid_slots }
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

/// PR_SET_DUMPABLE: allows core dumps again, and ptrace(2) and /proc/PID/fd to the same user.
#[cfg(target_os = "linux")]
pub fn allow_core_dumps() -> Result<()> {
    // SAFETY: PR_SET_DUMPABLE takes one number.
    Errno::result(unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 1, 0, 0, 0) }).map(drop)
}

#[cfg(not(target_os = "linux"))]
pub fn allow_core_dumps() -> Result<()> {
    Ok(())
}

/// PR_SET_NO_NEW_PRIVS: no execve(2) of us or our children grants privileges any more. Async-signal-safe.
#[cfg(target_os = "linux")]
pub fn forbid_new_privileges() -> Result<()> {
    // SAFETY: PR_SET_NO_NEW_PRIVS takes one number, and zeros.
    Errno::result(unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) }).map(drop)
}

#[cfg(not(target_os = "linux"))]
pub fn forbid_new_privileges() -> Result<()> {
    Err(Errno::ENOSYS)
}

/// setpriority(2) for this process: the nice value, from -20 to 19. Async-signal-safe.
pub fn set_nice(nice: i32) -> Result<()> {
    // SAFETY: setpriority(2) takes numbers.
    Errno::result(unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, nice) }).map(drop)
}

/// The same for one thread: on Linux a nice value is a thread's, and new ones inherit it.
#[cfg(target_os = "linux")]
pub fn set_nice_of_thread(thread: u32, nice: i32) -> Result<()> {
    // SAFETY: setpriority(2) takes numbers.
    Errno::result(unsafe { libc::setpriority(libc::PRIO_PROCESS, thread, nice) }).map(drop)
}

/// Writes /proc/self/oom_score_adj (proc_pid_oom_score_adj(5)). Async-signal-safe.
pub fn set_oom_score_adjust(text: &[u8]) -> Result<()> {
    use std::os::fd::AsRawFd;
    let file = super::fd::open(c"/proc/self/oom_score_adj", libc::O_WRONLY, 0)?;
    // SAFETY: write(2) reads a slice that lives through the call.
    Errno::result(unsafe { libc::write(file.as_raw_fd(), text.as_ptr().cast(), text.len()) }).map(drop)
}

/// Not to outlive the middle process. It leads the session, so its pid is the session's: if it is no longer our parent,
/// it ended before prctl(2), the signal won't come, and we end here. Async-signal-safe.
pub fn die_with_middle() -> Result<()> {
    die_with_parent(true)?;
    if getsid(None) != Ok(getppid()) {
        exit_now(1);
    }
    Ok(())
}

/// Not to outlive the process `parent`, by whose only thread we were forked: if it is no longer our parent, it ended
/// before prctl(2), the signal won't come, and we end here. Async-signal-safe.
pub fn die_with(parent: u32) -> Result<()> {
    die_with_parent(true)?;
    if u32::try_from(getppid().as_raw()) != Ok(parent) {
        exit_now(1);
    }
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

/// chroot(2) by C string. Async-signal-safe.
pub fn change_root(path: &CStr) -> Result<()> {
    // SAFETY: the path is a C string.
    Errno::result(unsafe { libc::chroot(path.as_ptr()) }).map(drop)
}

/// umask(2). Async-signal-safe.
pub fn set_umask(mask: libc::mode_t) {
    // SAFETY: umask(2) takes a number and can't fail.
    unsafe { libc::umask(mask) };
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

/// A child that has ended, which stays unreaped, and its number its own. ECHILD: there is none at all.
pub fn ended_child() -> Result<Option<Pid>> {
    // SAFETY: siginfo_t is plain data for which zero is a value.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    let options = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
    // SAFETY: waitid(2) fills a struct that we own.
    Errno::result(unsafe { libc::waitid(libc::P_ALL, 0, &raw mut info, options) })?;
    if info.si_signo == 0 {
        return Ok(None);
    }
    // SAFETY: waitid(2) has filled the fields of SIGCHLD.
    Ok(Some(Pid::from_raw(unsafe { info.si_pid() })))
}

/// kill(2) for a child of ours that has not been waited for; `group`: for the process group that it leads.
pub fn signal_child(child: Pid, number: i32, group: bool) -> Result<()> {
    let target = if group { -child.as_raw() } else { child.as_raw() };
    // SAFETY: kill(2) takes numbers; the caller has not reaped the child, so its number is its own.
    Errno::result(unsafe { libc::kill(target, number) }).map(drop)
}

/// Whether the child has ended; it stays unreaped, and its number its own. Async-signal-safe.
pub fn has_ended(child: Pid) -> bool {
    #[allow(irrefutable_let_patterns)] // id_t is wide enough on the BSDs
    let Ok(number) = libc::id_t::try_from(child.as_raw()) else { return true };
    // SAFETY: siginfo_t is plain data for which zero is a value.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    let options = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
    // SAFETY: waitid(2) fills a struct that we own.
    let asked = unsafe { libc::waitid(libc::P_PID, number, &raw mut info, options) };
    // Zero without a child that has ended: the signal number says which.
    asked == 0 && info.si_signo != 0
}

/// Reaps the child: its raw status, when it has ended. Async-signal-safe.
pub fn wait(child: Pid) -> Result<i32> {
    let mut status = 0;
    loop {
        // SAFETY: waitpid(2) fills an int that we own.
        let pid = unsafe { libc::waitpid(child.as_raw(), &raw mut status, 0) };
        match Errno::result(pid) {
            Ok(_) => return Ok(status),
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
