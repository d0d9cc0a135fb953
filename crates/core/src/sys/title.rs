//! Title of a process, which ps shows: written over its arguments and environment, as setproctitle(3) does.

/// Memory in which the kernel has put arguments and environment.
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
        let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
        // arg_start is the 48th field of all, env_end the 51st; the first after the name is the third.
        let fields: Vec<&str> = stat[stat.rfind(')')? + 1..].split_whitespace().collect();
        let field = |number: usize| fields.get(number - 3)?.parse::<usize>().ok();
        let (start, argument_end) = (field(48)?, field(49)?);
        let (environment_start, end) = (field(50)?, field(51)?);
        // The kernel reads on into the environment where the arguments no longer end in NUL.
        let end = if argument_end == environment_start { end } else { argument_end };
        let room = end.checked_sub(start)?.checked_sub(1)?;
        (start != 0).then_some(Self { start, room })
    }

    /// Sets the title, cut to the room that there is.
    pub fn set(&mut self, text: &str) {
        let bytes = &text.as_bytes()[..text.len().min(self.room)];
        // SAFETY: the kernel put arguments and environment there, `room` bytes and one more, writable and for the life
        // of the process; after take_over() the caller reads neither, and this process has one thread.
        unsafe {
            let memory = std::ptr::with_exposed_provenance_mut::<u8>(self.start);
            std::ptr::write_bytes(memory, 0, self.room + 1);
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), memory, bytes.len());
        }
    }
}
