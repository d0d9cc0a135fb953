//! Execution of a program: execve(2), prepared before the fork.

use std::cell::UnsafeCell;
use std::ffi::{CString, c_char};
use std::ptr;

use nix::errno::Errno;

use super::process::{PID_ROOM, decimal, id};
use crate::packing::pack_fields;

/// Program to execute, with its arguments and its environment.
#[derive(Clone)]
pub struct Command {
    pub path: CString,
    pub arguments: Vec<CString>,
    pub variables: Vec<Variable>,
}

pack_fields!(Command { path, arguments, variables });

/// Arguments of execve(2), prepared before the fork. Variables may end in the pid of the new process, which only the
/// child knows: room is kept for its digits.
pub struct Image {
    path: CString,
    _arguments: Vec<CString>,
    _variables: Vec<UnsafeCell<Vec<u8>>>,
    argv: Vec<*const c_char>,
    envp: Vec<*const c_char>,
    pid_slots: Vec<*mut u8>,
}

/// Environment variable as `NAME=value`, and whether the pid is to be appended.
#[derive(Clone)]
pub struct Variable {
    pub text: Vec<u8>,
    pub ends_in_pid: bool,
}

pack_fields!(Variable { text, ends_in_pid });

impl Image {
    /// Prepares path, arguments and environment.
    pub fn new(Command { path, arguments, variables }: Command) -> Self {
        let argv = arguments.iter().map(|each| each.as_ptr()).chain([ptr::null()]).collect();
        let mut pid_slots = Vec::new();
        let mut envp = Vec::new();
        let mut stored = Vec::new();
        for Variable { mut text, ends_in_pid } in variables {
            let length = text.len();
            text.resize(length + if ends_in_pid { PID_ROOM } else { 1 }, 0);
            let cell = UnsafeCell::new(text);
            // SAFETY: the buffer is on the heap, where it stays when `cell` moves into the struct; it is never resized
            // again.
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

    /// Completes the variables that end in the pid and executes the program. Returns only the errno. Async-signal-safe.
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
