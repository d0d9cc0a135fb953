//! The supervisor's own log lines, on its stderr: ISO time, name[pid], supervisor, level, text. The journal also gets the
//! priority, as sd-daemon(3) has it.

use std::io::Write;
use std::time::SystemTime;

use daemonic_core::surroundings::is_journal_stream;

use crate::fleet::Level;

/// Writes lines up to a level.
pub struct SupervisorLog {
    name: String,
    verbosity: Level,
    /// Value of JOURNAL_STREAM, where systemd has set it.
    journal: Option<String>,
}

impl SupervisorLog {
    /// Logs under `name`; verbosity 0 leaves out debug lines.
    pub fn new(name: &str, verbosity: u8) -> Self {
        let verbosity = if verbosity == 0 { Level::Info } else { Level::Debug };
        Self { name: name.to_owned(), verbosity, journal: std::env::var("JOURNAL_STREAM").ok() }
    }

    /// Writes a line in one write(2), so that lines of several processes don't mix. A line that can't be written is
    /// lost: a full disk must not stop the supervisor.
    pub fn write(&self, level: Level, text: &str) {
        if level > self.verbosity {
            return;
        }
        let time = humantime::format_rfc3339_millis(SystemTime::now());
        let (word, priority) = match level {
            Level::Error => ("error", 3),
            Level::Warning => ("warning", 4),
            Level::Info => ("info", 6),
            Level::Debug => ("debug", 7),
        };
        let line = format!("{time}{}{word}: {text}\n", self.sender());
        // Looked at each time: stderr may have been exchanged for a log file.
        let is_journal = self.journal.as_ref().is_some_and(|stream| is_journal_stream(2, stream));
        let line = if is_journal { with_priority(&line, priority) } else { line };
        let _ = std::io::stderr().write_all(line.as_bytes());
    }

    /// Removes the supervisor's own lines from the text of a log that workers share with it.
    pub fn without_own(&self, text: &str) -> String {
        let sender = self.sender();
        let is_own = |line: &str| line.split_once('Z').is_some_and(|(_, rest)| rest.starts_with(&sender));
        text.split_inclusive('\n').filter(|line| !is_own(line)).collect()
    }

    fn sender(&self) -> String {
        format!(" {}[{}] supervisor: ", self.name, std::process::id())
    }
}

/// Begins every line with its priority: the journal makes an entry of each.
fn with_priority(text: &str, priority: u8) -> String {
    let mark = format!("<{priority}>");
    format!("{mark}{}\n", text.trim_end().replace('\n', &format!("\n{mark}")))
}
