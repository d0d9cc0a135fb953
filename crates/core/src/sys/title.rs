//! Title of a process, which ps shows: written over its arguments and environment, as setproctitle(3) does.

use std::ffi::CStr;

/// Memory in which the kernel has put arguments and environment, or the part of it that may be written over.
#[derive(Debug)]
pub struct Title {
    start: usize,
    room: usize,
}

impl Title {
    /// Takes over the memory: from here on the environment can't be read. None where /proc doesn't say where the memory
    /// is (proc_pid_stat(5)).
    #[must_use]
    pub fn take_over() -> Option<Self> {
        let [start, argument_end, environment_start, end] = bounds()?;
        // The kernel reads on into the environment where the arguments no longer end in NUL.
        let end = if argument_end == environment_start { end } else { argument_end };
        let room = end.checked_sub(start)?.checked_sub(1)?;
        (start != 0).then_some(Self { start, room })
    }

    /// Takes over the arguments, and of the environment the first variable alone. None where that has another name: the
    /// process was not started by this library, and reads all of its environment.
    #[must_use]
    pub fn over_first_variable(name: &str) -> Option<Self> {
        let [start, argument_end, environment_start, end] = bounds()?;
        if start == 0 || argument_end != environment_start || environment_start >= end {
            return None;
        }
        // SAFETY: the kernel put NUL-terminated variables there, readable for the life of the process; the first one is
        // changed by `set` of a title alone, which replaces this one.
        let first = unsafe { CStr::from_ptr(std::ptr::with_exposed_provenance(environment_start)) }.to_bytes();
        let is_named = first.strip_prefix(name.as_bytes()).is_some_and(|rest| rest.starts_with(b"="));
        is_named.then(|| Self { start, room: environment_start - start + first.len() })
    }

    /// Sets the title, cut to the room that there is.
    pub fn set(&mut self, text: &str) {
        let bytes = &text.as_bytes()[..text.len().min(self.room)];
        // SAFETY: the kernel put arguments and environment there, `room` bytes and one more, writable and for the life
        // of the process. What of it was taken over nobody reads: libuv has copied the arguments, and the variable is
        // no longer in the environment. Whoever writes has this title alone.
        unsafe {
            let memory = std::ptr::with_exposed_provenance_mut::<u8>(self.start);
            std::ptr::write_bytes(memory, 0, self.room + 1);
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), memory, bytes.len());
        }
    }
}

/// Where arguments and environment begin and end: proc_pid_stat(5).
fn bounds() -> Option<[usize; 4]> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // arg_start is the 48th field of all, env_end the 51st; the first after the name is the third.
    let fields: Vec<&str> = stat[stat.rfind(')')? + 1..].split_whitespace().collect();
    let field = |number: usize| fields.get(number - 3)?.parse().ok();
    Some([field(48)?, field(49)?, field(50)?, field(51)?])
}
