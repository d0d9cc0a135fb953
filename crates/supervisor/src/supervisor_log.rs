//! The supervisor's own log lines, on its stderr: ISO time, name[pid], supervisor, level, text.

use std::io::Write;
use std::time::SystemTime;

use crate::fleet::Level;

/// Writes lines up to a level.
pub struct SupervisorLog {
    name: String,
    verbosity: Level,
}

impl SupervisorLog {
    /// Logs under `name`; verbosity 0 leaves out debug lines.
    pub fn new(name: &str, verbosity: u8) -> Self {
        let verbosity = if verbosity == 0 { Level::Info } else { Level::Debug };
        Self { name: name.to_owned(), verbosity }
    }

    /// Writes a line in one write(2), so that lines of several processes don't mix. A line that can't be written is
    /// lost: a full disk must not stop the supervisor.
    pub fn write(&self, level: Level, text: &str) {
        if level > self.verbosity {
            return;
        }
        let time = humantime::format_rfc3339_millis(SystemTime::now());
        let word = match level {
            Level::Error => "error",
            Level::Warning => "warning",
            Level::Info => "info",
            Level::Debug => "debug",
        };
        let line = format!("{time}{}{word}: {text}\n", self.sender());
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
