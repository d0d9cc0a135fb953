//! Log files of a running process, reopened after they were moved away.

use std::os::fd::{AsRawFd, RawFd};
use std::path::PathBuf;

use nix::fcntl::OFlag;

use crate::error::{During, Result, Step};
use crate::log_file;
use crate::plan::{FileOwner, LogFile};
use crate::sys::fd;
use crate::sys::path::c_path;

/// Regular file that this process appends to.
#[derive(Debug)]
pub struct Appended {
    pub number: RawFd,
    /// Path as the kernel knows it now: for a file that was moved, its new name.
    pub path: PathBuf,
    pub mode: u32,
    pub inode: u64,
}

/// Opens `path` again and puts it under `number`, if the path no longer names the file that is open there. Writers
/// notice nothing, since dup2(2) replaces the open file atomically. True if it was replaced.
pub fn reopen(number: RawFd, path: &str, mode: u32, owner: Option<&FileOwner>) -> Result<bool> {
    let open = fd::stat_raw(number).during(Step::Log, "fstat")?;
    let named = fd::stat_path(&c_path(path.as_ref(), Step::Log)?, true);
    if named.is_ok_and(|named| (named.st_dev, named.st_ino) == (open.st_dev, open.st_ino)) {
        return Ok(false);
    }
    let file = log_file::open(&LogFile { path: path.into(), mode, truncate: false }, owner)?.0;
    fd::place(file.as_raw_fd(), number).during(Step::Dup2, "dup2").map_err(|failure| failure.at(path))?;
    if number > 2 {
        fd::close_at_exec(number).during(Step::Log, "fcntl")?;
    }
    Ok(true)
}

/// Lists the regular files that this process appends to, by proc_pid_fd(5).
#[must_use]
pub fn appended() -> Vec<Appended> {
    let Ok(entries) = std::fs::read_dir("/proc/self/fd") else {
        return Vec::new();
    };
    entries
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let number: RawFd = entry.file_name().to_str()?.parse().ok()?;
            let stat = fd::stat_raw(number).ok()?;
            let regular = stat.st_mode & libc::S_IFMT == libc::S_IFREG;
            let appends = OFlag::from_bits_truncate(fd::status_flags(number).ok()?).contains(OFlag::O_APPEND);
            let link = std::fs::read_link(entry.path()).ok()?;
            let path = link.to_str()?.trim_end_matches(" (deleted)").to_owned();
            // A memory file's "/memfd:…" looks like a path, but isn't one.
            let named = path.starts_with('/') && !path.starts_with("/memfd:");
            let mode = u32::from(stat.st_mode & 0o7777);
            (regular && appends && named).then(|| Appended {
                number,
                path: path.into(),
                mode,
                inode: u64::from(stat.st_ino),
            })
        })
        .collect()
}
