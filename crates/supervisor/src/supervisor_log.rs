//! The supervisor's own lines, on its stderr: ISO time, name[pid], level, text.

use std::io::Write;
use std::time::SystemTime;

use crate::fleet::Level;

pub struct Journal {
    name: String,
    most: Level,
}

impl Journal {
    pub fn new(name: &str, verbosity: u8) -> Self {
        let most = if verbosity == 0 { Level::Info } else { Level::Debug };
        Self { name: name.to_owned(), most }
    }

    /// In one write, so that lines of several processes don't mix. A full disk must not end us: what can't be written
    /// is lost.
    pub fn say(&self, level: Level, text: &str) {
        if level > self.most {
            return;
        }
        let time = humantime::format_rfc3339_millis(SystemTime::now());
        let word = match level {
            Level::Error => "error",
            Level::Warning => "warning",
            Level::Info => "info",
            Level::Debug => "debug",
        };
        let line = format!("{time}{}{word}: {text}\n", self.mark());
        let _ = std::io::stderr().write_all(line.as_bytes());
    }

    /// What others wrote to a log that is ours, too.
    pub fn without_own(&self, text: &str) -> String {
        let mark = self.mark();
        let is_own = |line: &str| line.split_once('Z').is_some_and(|(_, rest)| rest.starts_with(&mark));
        text.split_inclusive('\n').filter(|line| !is_own(line)).collect()
    }

    fn mark(&self) -> String {
        format!(" {}[{}] ", self.name, std::process::id())
    }
}
