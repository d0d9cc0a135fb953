//! Execution of another program in a new process by libc: posix_spawn(3).
//!
//! A fork of a process with threads copies whatever locks these hold, libc's own among them: in musl, and in glibc from
//! 2.41 on, signal(2) in the child of a bare clone(2) waits for ever for one that another thread's fork held.
//! posix_spawn(3) takes these locks first. It copies no memory either, so it takes the same time whatever the size of
//! the caller.

use std::ffi::{CStr, CString, c_char};
use std::mem::MaybeUninit;
use std::os::fd::RawFd;
use std::ptr;

use nix::Result;
use nix::errno::Errno;
use nix::unistd::Pid;

/// Starts `program` with these arguments and variables, with all signals blocked. `descriptors` are pairs of a number
/// here and a number there, which no number here may equal; what isn't marked to be closed at exec comes along, too.
pub fn spawn(
    program: &CStr,
    arguments: &[CString],
    variables: &[CString],
    descriptors: &[(RawFd, RawFd)],
) -> Result<Pid> {
    let mut actions = Actions::new()?;
    descriptors.iter().try_for_each(|&(from, to)| actions.add_duplicate(from, to))?;
    let attributes = Attributes::with_all_signals_blocked()?;
    let argv = null_terminated(arguments);
    let envp = null_terminated(variables);
    let mut pid = 0;
    // SAFETY: program, argv and envp are NUL-terminated and outlive the call, which writes none of them; actions and
    // attributes are initialised.
    let errno = unsafe {
        libc::posix_spawn(
            &raw mut pid,
            program.as_ptr(),
            &raw const actions.0,
            &raw const attributes.0,
            argv.as_ptr(),
            envp.as_ptr(),
        )
    };
    checked(errno)?;
    Ok(Pid::from_raw(pid))
}

fn null_terminated(texts: &[CString]) -> Vec<*mut c_char> {
    texts.iter().map(|text| text.as_ptr().cast_mut()).chain([ptr::null_mut()]).collect()
}

/// These functions return the errno.
fn checked(errno: libc::c_int) -> Result<()> {
    if errno == 0 { Ok(()) } else { Err(Errno::from_raw(errno)) }
}

struct Actions(libc::posix_spawn_file_actions_t);

impl Actions {
    fn new() -> Result<Self> {
        let mut actions = MaybeUninit::uninit();
        // SAFETY: the call initialises the value, or fails.
        checked(unsafe { libc::posix_spawn_file_actions_init(actions.as_mut_ptr()) })?;
        // SAFETY: it has succeeded.
        Ok(Self(unsafe { actions.assume_init() }))
    }

    fn add_duplicate(&mut self, from: RawFd, to: RawFd) -> Result<()> {
        // SAFETY: the actions are initialised; the descriptors are numbers, which are looked at in the new process.
        checked(unsafe { libc::posix_spawn_file_actions_adddup2(&raw mut self.0, from, to) })
    }
}

impl Drop for Actions {
    fn drop(&mut self) {
        // SAFETY: the actions are initialised, and not used again.
        unsafe { libc::posix_spawn_file_actions_destroy(&raw mut self.0) };
    }
}

struct Attributes(libc::posix_spawnattr_t);

impl Attributes {
    fn with_all_signals_blocked() -> Result<Self> {
        let mut attributes = MaybeUninit::uninit();
        // SAFETY: the call initialises the value, or fails.
        checked(unsafe { libc::posix_spawnattr_init(attributes.as_mut_ptr()) })?;
        // SAFETY: it has succeeded.
        let mut attributes = Self(unsafe { attributes.assume_init() });
        let mut all = MaybeUninit::uninit();
        // The type of the flags differs between the systems, and so does that of the constant.
        #[allow(clippy::cast_possible_truncation)]
        let flags = libc::POSIX_SPAWN_SETSIGMASK as libc::c_short;
        // SAFETY: sigfillset(3) fills a set of this frame, which is copied; the attributes are initialised.
        unsafe {
            libc::sigfillset(all.as_mut_ptr());
            checked(libc::posix_spawnattr_setsigmask(&raw mut attributes.0, all.as_ptr()))?;
            checked(libc::posix_spawnattr_setflags(&raw mut attributes.0, flags))?;
        }
        Ok(attributes)
    }
}

impl Drop for Attributes {
    fn drop(&mut self) {
        // SAFETY: the attributes are initialised, and not used again.
        unsafe { libc::posix_spawnattr_destroy(&raw mut self.0) };
    }
}
