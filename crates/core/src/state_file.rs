//! The state file beside a pid file, with what is known about the daemon besides its pid. The middle process writes it:
//! it knows the pid first, and outlives a launcher that exits.

use std::ffi::CString;
use std::os::fd::AsRawFd;

use nix::unistd::{Pid, getsid};

use crate::error::{Result, Step};
use crate::pid_space;
use crate::plan;
use crate::sys::fd;
use crate::sys::path::c_path;
use crate::sys::process::decimal;

/// Writes the state file. The launcher prepares everything but the pid.
pub struct StateWriter {
    path: CString,
    /// Path of the draft, which is renamed to `path` once it is complete.
    draft: CString,
    before_pid: Vec<u8>,
    /// Whether to add the daemon's session: that of the process which writes the file.
    adds_session: bool,
}

crate::packing::pack_fields!(StateWriter { path, draft, before_pid, adds_session });

impl StateWriter {
    /// Prepares the text from the plan and the sockets' addresses, by name.
    pub fn new<'a>(plan: &plan::StateFile, addresses: impl Iterator<Item = (&'a str, &'a str)>) -> Result<Self> {
        let addresses: Vec<_> =
            addresses.map(|(name, address)| format!("{}:{}", quoted(name), quoted(address))).collect();
        let known = plan.text.strip_suffix('}').unwrap_or(&plan.text);
        let text = format!("{known},\"addresses\":{{{}}},\"pid\":", addresses.join(","));
        Ok(Self {
            path: c_path(&plan.path, Step::PidFileCreate)?,
            draft: c_path(&plan.draft, Step::PidFileCreate)?,
            before_pid: text.into_bytes(),
            adds_session: plan.adds_session,
        })
    }

    /// Writes the file with the daemon's pid. A failure is ignored, since no start depends on this file: in a directory
    /// where only the pid file may be written there is none.
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
        let session = self.session();
        let parts =
            [&self.before_pid, decimal(daemon.as_raw().unsigned_abs(), &mut digits), session.as_bytes(), b"}\n"];
        parts.into_iter().try_for_each(|part| fd::write_all(file.as_raw_fd(), part))
    }

    /// Text that tells the daemon's session; empty where it is not wanted, or can't be told from a later one.
    fn session(&self) -> String {
        let session = getsid(None).ok().filter(|_| self.adds_session).zip(pid_space::current());
        session.map_or_else(String::new, |(session, space)| {
            format!(",\"session\":{session},\"pidSpace\":{}", quoted(&space))
        })
    }
}

/// Quotes a text as a JSON string.
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
    fn characters_that_mean_something_in_json_are_escaped() {
        assert_eq!(quoted("/a \"b\"\\\n"), r#""/a \"b\"\\\u000a""#);
    }
}
