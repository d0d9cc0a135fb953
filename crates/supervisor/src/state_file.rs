//! The state file of the daemon, as far as the supervisor changes it: the middle process has written it.

use std::fs::OpenOptions;
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value};

use crate::config::PidFile;
use crate::fleet::Failure;

/// Bytes that a state file has at most, as src/running/state-file.ts reads it.
const LARGEST: u64 = 8 * 1024 * 1024;

/// Sets entries in the state file of this daemon: written beside it first, then renamed into place. Where it can't be
/// changed, it stays as it is; false then.
pub fn set<const N: usize>(file: &PidFile, entries: [(&str, Value); N]) -> bool {
    let [path, draft, ..] = &file.companions[..] else { return false };
    let Some(mut state) = read(path) else { return false };
    state.extend(entries.map(|(name, value)| (name.to_owned(), value)));
    let text = format!("{}\n", Value::Object(state));
    let mut options = OpenOptions::new();
    let written = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(draft)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .and_then(|()| std::fs::rename(draft, path));
    if written.is_err() {
        let _ = std::fs::remove_file(draft);
    }
    written.is_ok()
}

/// Records in the state file that the daemon has failed for good, and when, in milliseconds since the epoch.
pub fn record_failure(file: &PidFile, failure: &Failure) -> bool {
    let Ok(Value::Object(mut record)) = serde_json::to_value(failure) else { return false };
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    record.insert("at".to_owned(), u64::try_from(since_epoch.as_millis()).unwrap_or_default().into());
    set(file, [("failure", record.into())])
}

/// Reads the state file, if it is one of this user's that tells of this process.
fn read(path: &Path) -> Option<Map<String, Value>> {
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path).ok()?;
    let status = file.metadata().ok()?;
    if !status.is_file() || status.uid() != nix::unistd::geteuid().as_raw() {
        return None;
    }
    let mut text = String::new();
    file.take(LARGEST).read_to_string(&mut text).ok()?;
    let state: Map<String, Value> = serde_json::from_str(&text).ok()?;
    (state.get("pid")?.as_u64()? == u64::from(std::process::id())).then_some(state)
}
