//! The state file beside a pid file: what is known of the daemon besides its pid. The middle writes it, which alone knows
//! the pid at once and outlives a caller that ends.

use std::ffi::CString;
use std::os::fd::AsRawFd;

use nix::unistd::Pid;

use crate::error::Result;
use crate::pidfile::c_path;
use crate::plan;
use crate::sys::fd;
use crate::sys::process::decimal;

/// All but the pid, made ready before the fork.
pub struct StateFile {
    path: CString,
    /// Renamed to `path` when it is whole.
    draft: CString,
    before_pid: Vec<u8>,
}

/// What follows the pid.
const AFTER_PID: &[u8] = b"}\n";

impl StateFile {
    /// Of what the plan tells and of the sockets' addresses, by name.
    pub fn new<'a>(plan: &plan::State, addresses: impl Iterator<Item = (&'a str, &'a str)>) -> Result<Self> {
        let addresses: Vec<_> =
            addresses.map(|(name, address)| format!("{}:{}", quoted(name), quoted(address))).collect();
        let known = plan.text.strip_suffix('}').unwrap_or(&plan.text);
        let text = format!("{known},\"addresses\":{{{}}},\"pid\":", addresses.join(","));
        Ok(Self { path: c_path(&plan.path)?, draft: c_path(&plan.draft)?, before_pid: text.into_bytes() })
    }

    /// Nothing depends on it: in a directory where only the pid file may be written there is none. Async-signal-safe.
    pub fn write(&self, daemon: Pid) {
        let _ = fd::unlink(&self.draft);
        if self.write_draft(daemon).and_then(|()| fd::rename(&self.draft, &self.path)).is_err() {
            let _ = fd::unlink(&self.draft);
        }
    }

    fn write_draft(&self, daemon: Pid) -> nix::Result<()> {
        let flags = libc::O_WRONLY | libc::O_CREAT | libc::O_EXCL | libc::O_NOFOLLOW;
        let file = fd::open(&self.draft, flags, 0o600)?;
        let mut digits = [0; 11];
        for part in [&self.before_pid, decimal(daemon.as_raw().unsigned_abs(), &mut digits), AFTER_PID] {
            fd::write_all(file.as_raw_fd(), part)?;
        }
        Ok(())
    }
}

/// A JSON string.
fn quoted(text: &str) -> String {
    let mut json = String::from('"');
    for character in text.chars() {
        match character {
            '"' | '\\' => json.extend(['\\', character]),
            control if control < ' ' => json.extend(format!("\\u{:04x}", u32::from(control)).chars()),
            other => json.push(other),
        }
    }
    json.push('"');
    json
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn what_json_has_a_meaning_for_is_escaped() {
        assert_eq!(quoted("/a \"b\"\\\n"), r#""/a \"b\"\\\u000a""#);
    }
}
