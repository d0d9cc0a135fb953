//! What /proc/PID/stat says about a process: proc_pid_stat(5).

/// Flag of a process whose exit has begun: the kernel sets it before it closes the descriptors.
const PF_EXITING: u32 = 4;

/// Fields of /proc/PID/stat.
pub struct ProcStat {
    /// The command's name, of which the kernel keeps 15 bytes.
    pub name: String,
    state: char,
    pub parent: i32,
    pub group: i32,
    /// Device number of the controlling terminal; 0 for none.
    pub terminal: u32,
    flags: u32,
    /// User and system time, in clock ticks.
    pub ticks_used: u64,
    threads: u32,
    /// The moment of its start, in clock ticks since boot.
    pub start: u64,
    pub resident_pages: u64,
}

impl ProcStat {
    /// Reads them; None where there is no /proc, or no such process.
    #[must_use]
    pub fn read(pid: i32) -> Option<Self> {
        Self::parse(&String::from_utf8_lossy(&std::fs::read(format!("/proc/{pid}/stat")).ok()?))
    }

    /// The command's name, in parentheses, may contain anything: fields are counted from the last parenthesis on. The
    /// first of them has the number 3 in the manual page.
    fn parse(text: &str) -> Option<Self> {
        let (start, end) = (text.find('(')?, text.rfind(')')?);
        let fields: Vec<&str> = text[end + 1..].split_whitespace().collect();
        let field = |number: usize| fields.get(number - 3);
        Some(Self {
            name: text[start + 1..end].to_owned(),
            state: field(3)?.chars().next()?,
            parent: field(4)?.parse().ok()?,
            group: field(5)?.parse().ok()?,
            terminal: field(7)?.parse::<i32>().ok()?.cast_unsigned(),
            flags: field(9)?.parse().ok()?,
            ticks_used: field(14)?.parse::<u64>().ok()? + field(15)?.parse::<u64>().ok()?,
            threads: field(20)?.parse().ok()?,
            start: field(22)?.parse().ok()?,
            resident_pages: field(24)?.parse().ok()?,
        })
    }

    /// Whether it has exited, and waits to be reaped. The first thread may be a zombie while others go on, with all
    /// descriptors.
    #[must_use]
    pub fn has_exited(&self) -> bool {
        matches!(self.state, 'Z' | 'X') && self.threads <= 1
    }

    /// Whether its exit has begun.
    #[must_use]
    pub fn is_exiting(&self) -> bool {
        self.flags & PF_EXITING != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stat(name: &str, state: char, threads: u32) -> ProcStat {
        let rest = format!("7 8 9 34817 -1 4194308 0 0 0 0 3 4 0 0 20 0 {threads} 0 777 0 5");
        ProcStat::parse(&format!("42 ({name}) {state} {rest}")).unwrap()
    }

    #[test]
    fn a_command_name_with_parentheses_and_spaces_does_not_shift_the_fields() {
        let stat = stat("a) b (c", 'S', 1);
        assert_eq!((stat.name.as_str(), stat.parent, stat.group, stat.terminal), ("a) b (c", 7, 8, 34817));
        assert_eq!((stat.ticks_used, stat.start, stat.resident_pages, stat.is_exiting()), (7, 777, 5, true));
    }

    #[test]
    fn a_zombie_with_other_threads_has_not_exited() {
        assert!(stat("a", 'Z', 1).has_exited());
        assert!(!stat("a", 'Z', 2).has_exited());
        assert!(!stat("a", 'S', 1).has_exited());
    }
}
