//! Processes: their attributes, signals to children, exit and wait.

use std::ffi::CStr;
use std::os::unix::ffi::OsStringExt;

use nix::Result;
use nix::errno::Errno;
use nix::unistd::{Pid, getppid, getsid};

/// Room for the decimal digits of the largest pid, and NUL.
pub const PID_ROOM: usize = 11;

/// Exits at once, without destructors and atexit handlers: _exit(2). Async-signal-safe.
pub fn exit_now(code: i32) -> ! {
    // SAFETY: _exit(2) takes a number and doesn't return.
    unsafe { libc::_exit(code) }
}

/// Kills this process by the signal that killed its child, without a core dump. Returns if the signal doesn't kill.
pub fn die_by(number: i32) {
    let _ = super::limit::set(libc::RLIMIT_CORE, 0, 0);
    // SAFETY: SIG_DFL is no code, and raise(3) takes a number.
    unsafe {
        libc::signal(number, libc::SIG_DFL);
        libc::raise(number);
    }
}

/// Returns the pid of this process: getpid(2). Async-signal-safe.
pub fn id() -> u32 {
    std::process::id()
}

/// Writes the decimal digits of a number into a buffer, and returns them. Async-signal-safe.
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

/// Lists the environment of this process, as bytes.
pub fn environment() -> impl Iterator<Item = (Vec<u8>, Vec<u8>)> {
    std::env::vars_os().map(|(name, value)| (name.into_vec(), value.into_vec()))
}

/// Names the calling thread as ps(1) shows it: PR_SET_NAME. Without it, a program that was executed by the number of a
/// descriptor is called by that number.
#[cfg(target_os = "linux")]
pub fn set_name(name: &CStr) {
    // SAFETY: PR_SET_NAME reads a C string, of which it takes the first 15 bytes.
    unsafe { libc::prctl(libc::PR_SET_NAME, name.as_ptr(), 0, 0, 0) };
}

/// Does nothing: elsewhere, programs are executed by their paths.
#[cfg(not(target_os = "linux"))]
pub fn set_name(_name: &CStr) {}

/// Has the kernel kill this process when the thread that forked it exits (PR_SET_PDEATHSIG), or no longer.
/// Async-signal-safe.
#[cfg(target_os = "linux")]
pub fn die_with_parent(wanted: bool) -> Result<()> {
    let signal = if wanted { libc::SIGKILL } else { 0 };
    // SAFETY: PR_SET_PDEATHSIG takes one number.
    Errno::result(unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, signal, 0, 0, 0) }).map(drop)
}

/// Does nothing: on other systems the death of the middle process is seen by the channel closing.
#[cfg(not(target_os = "linux"))]
pub fn die_with_parent(_wanted: bool) -> Result<()> {
    Ok(())
}

/// Allows core dumps again, and with them ptrace(2) and /proc/PID/fd to the same user: PR_SET_DUMPABLE.
#[cfg(target_os = "linux")]
pub fn allow_core_dumps() -> Result<()> {
    // SAFETY: PR_SET_DUMPABLE takes one number.
    Errno::result(unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 1, 0, 0, 0) }).map(drop)
}

/// Does nothing: other systems don't forbid core dumps this way.
#[cfg(not(target_os = "linux"))]
pub fn allow_core_dumps() -> Result<()> {
    Ok(())
}

/// Forbids every later execve(2) of this process and its children to grant privileges: PR_SET_NO_NEW_PRIVS.
/// Async-signal-safe.
#[cfg(target_os = "linux")]
pub fn forbid_new_privileges() -> Result<()> {
    // SAFETY: PR_SET_NO_NEW_PRIVS takes one number, and zeros.
    Errno::result(unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) }).map(drop)
}

/// Refuses: other systems don't support it.
#[cfg(not(target_os = "linux"))]
pub fn forbid_new_privileges() -> Result<()> {
    Err(Errno::ENOSYS)
}

/// Returns the id of the calling thread: gettid(2).
#[cfg(target_os = "linux")]
pub fn thread_id() -> i32 {
    nix::unistd::gettid().as_raw()
}

/// Returns the pid: other systems keep no priorities for each thread.
#[cfg(not(target_os = "linux"))]
pub fn thread_id() -> i32 {
    id().cast_signed()
}

/// Sets the likelihood of this process being killed when memory runs out, from -1000 to 1000, by a write to
/// /proc/self/oom_score_adj (proc_pid_oom_score_adj(5)). Async-signal-safe.
pub fn set_oom_score_adjust(adjust: i32) -> Result<()> {
    use std::os::fd::AsRawFd;
    let file = super::fd::open(c"/proc/self/oom_score_adj", libc::O_WRONLY, 0)?;
    let mut text = [b'-'; PID_ROOM + 1];
    let mut room = [0; PID_ROOM];
    let digits = decimal(adjust.unsigned_abs(), &mut room);
    text[1..=digits.len()].copy_from_slice(digits);
    let text = &text[usize::from(adjust >= 0)..=digits.len()];
    super::fd::write_all(file.as_raw_fd(), text)
}

/// Has this process die with the middle process, its parent. If the middle died before the prctl(2), the signal never
/// comes; then another process is the parent by now, and this one exits here. The middle's pid is known as that of the
/// session that it leads. Async-signal-safe.
pub fn die_with_middle() -> Result<()> {
    die_with_parent(true)?;
    if getsid(None) != Ok(getppid()) {
        exit_now(1);
    }
    Ok(())
}

/// Has this process die with `parent`, which forked it by its only thread. If `parent` died before the prctl(2), the
/// signal never comes; then another process is the parent by now, and this one exits here. Async-signal-safe.
pub fn die_with(parent: u32) -> Result<()> {
    die_with_parent(true)?;
    if u32::try_from(getppid().as_raw()) != Ok(parent) {
        exit_now(1);
    }
    Ok(())
}

/// Makes this process the leader of a new process group: setpgid(2). Async-signal-safe.
pub fn lead_process_group() -> Result<()> {
    // SAFETY: setpgid(2) takes numbers.
    Errno::result(unsafe { libc::setpgid(0, 0) }).map(drop)
}

/// Whether standard input is the controlling terminal. A process of another group than the terminal's could not read it.
#[must_use]
pub fn reads_terminal() -> bool {
    nix::unistd::tcgetpgrp(std::io::stdin()).is_ok()
}

/// Changes the working directory: chdir(2). Async-signal-safe.
pub fn change_directory(path: &CStr) -> Result<()> {
    // SAFETY: the path is a C string.
    Errno::result(unsafe { libc::chdir(path.as_ptr()) }).map(drop)
}

/// Changes the root directory: chroot(2). Async-signal-safe.
pub fn change_root(path: &CStr) -> Result<()> {
    // SAFETY: the path is a C string.
    Errno::result(unsafe { libc::chroot(path.as_ptr()) }).map(drop)
}

/// Sets the umask: umask(2). Async-signal-safe.
pub fn set_umask(mask: libc::mode_t) {
    // SAFETY: umask(2) takes a number and can't fail.
    unsafe { libc::umask(mask) };
}

/// Kills a child and the process group that it leads. The child must not be reaped yet: until then no other process
/// gets its pid.
pub fn kill_child_and_group(child: Pid) {
    // SAFETY: kill(2) takes numbers. The child is unreaped (the middle waits for it only after this).
    unsafe {
        libc::kill(-child.as_raw(), libc::SIGKILL);
        libc::kill(child.as_raw(), libc::SIGKILL);
    }
}

/// Finds a child that has exited, with its wait status. It stays unreaped, so that its pid stays its own. ECHILD: this
/// process has no child.
pub fn exited_child() -> Result<Option<(Pid, i32)>> {
    look_for_exit(libc::P_ALL, 0)
}

/// Reads the wait status of a child, if it has exited. It stays unreaped.
pub fn status_of_exited(child: Pid) -> Option<i32> {
    #[allow(irrefutable_let_patterns, clippy::unnecessary_fallible_conversions)] // id_t is wide enough on the BSDs
    let Ok(number) = libc::id_t::try_from(child.as_raw()) else { return None };
    look_for_exit(libc::P_PID, number).ok().flatten().map(|(_, status)| status)
}

/// Looks for a child that has exited, without reaping it: waitid(2). Async-signal-safe.
fn look_for_exit(kind: libc::idtype_t, number: libc::id_t) -> Result<Option<(Pid, i32)>> {
    // SAFETY: siginfo_t is plain data for which zero is a value.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    let options = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
    // SAFETY: waitid(2) fills a struct of this frame.
    Errno::result(unsafe { libc::waitid(kind, number, &raw mut info, options) })?;
    // waitid(2) also returns 0 where no child has exited, and leaves the signal number 0.
    if info.si_signo == 0 {
        return Ok(None);
    }
    // SAFETY: waitid(2) has filled the fields of SIGCHLD.
    let (pid, value) = unsafe { (info.si_pid(), info.si_status()) };
    // The form that wait(2) gives, as the macros of wait(2) take it apart.
    let status = match info.si_code {
        libc::CLD_EXITED => (value & 0xff) << 8,
        libc::CLD_DUMPED => value | 0x80,
        _ => value,
    };
    Ok(Some((Pid::from_raw(pid), status)))
}

/// Signals a child that is not reaped yet, or with `group` the process group that it leads: kill(2).
pub fn signal_child(child: Pid, number: i32, group: bool) -> Result<()> {
    let target = if group { -child.as_raw() } else { child.as_raw() };
    // SAFETY: kill(2) takes numbers; the caller has not reaped the child, so its number is its own.
    Errno::result(unsafe { libc::kill(target, number) }).map(drop)
}

/// Whether the child has exited. It stays unreaped, so that its pid stays its own. Async-signal-safe.
pub fn has_exited(child: Pid) -> bool {
    status_of_exited(child).is_some()
}

/// Blocks until the child has exited, reaps it, and returns its raw status. Async-signal-safe.
pub fn wait(child: Pid) -> Result<i32> {
    let mut status = 0;
    loop {
        // SAFETY: waitpid(2) fills an int of this frame.
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
