//! Log files of a running process.

use daemonic_core::logs;
use napi_derive::napi;

use crate::refusal::{Answer, answer};

/// Regular file that this process appends to.
#[napi(object)]
pub struct AppendedFile {
    pub fd: i32,
    pub path: String,
    pub mode: u32,
    pub inode: f64,
}

/// Opens `path` again under `fd`, if the path no longer names the file that is open there. True if it was reopened.
#[napi(catch_unwind)]
pub fn reopen_log(fd: i32, path: String, mode: u32) -> Answer<bool> {
    answer(logs::reopen(fd, &path, mode, None))
}

/// Lists the regular files that this process appends to.
#[napi(catch_unwind)]
pub fn appended_files() -> Vec<AppendedFile> {
    logs::appended()
        .into_iter()
        .map(|file| AppendedFile {
            fd: file.number,
            path: file.path.to_string_lossy().into_owned(),
            mode: file.mode,
            inode: file.inode as f64,
        })
        .collect()
}
