//! Paths in the form that system calls take.

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::errno::Errno;

use crate::error::{Failure, Step};

/// Converts a path to a C string. A path that contains a NUL byte fails as `step`, the step that needs the path.
pub fn c_path(path: &Path, step: Step) -> Result<CString, Failure> {
    CString::new(path.as_os_str().as_bytes())
        .map_err(|_| Failure::new(step, step.syscall(), Errno::EINVAL).at(path).because("the path contains a NUL byte"))
}

/// Converts the paths of files that are to be removed. A path that contains a NUL byte names no file, and is left out.
pub fn c_paths(paths: &[impl AsRef<Path>]) -> Vec<CString> {
    paths.iter().filter_map(|path| CString::new(path.as_ref().as_os_str().as_bytes()).ok()).collect()
}

/// Returns the directory that contains `path`: `.` for a bare file name.
#[must_use]
pub fn directory_of(path: &Path) -> &Path {
    path.parent().filter(|each| !each.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Whether only this user and root can put files beside `path`, and move its directory: every directory on the way
/// belongs to one of them, and others may write at most in those above that are sticky, such as /tmp.
#[must_use]
pub fn is_private(path: &Path) -> bool {
    let Ok(directory) = directory_of(path).canonicalize() else { return false };
    let own = nix::unistd::geteuid().as_raw();
    directory.ancestors().enumerate().all(|(distance, each)| {
        nix::sys::stat::stat(each).is_ok_and(|stat| {
            let is_closed = stat.st_mode & (libc::S_IWGRP | libc::S_IWOTH) == 0;
            let is_sticky = distance > 0 && stat.st_mode & libc::S_ISVTX != 0;
            (stat.st_uid == 0 || stat.st_uid == own) && (is_closed || is_sticky)
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_with_a_nul_byte_fails_at_the_step_that_needs_it() {
        let failure = c_path(Path::new("/bin/a\0b"), Step::Exec).unwrap_err();
        assert_eq!((failure.step, failure.syscall, failure.errno), (Step::Exec, "execve", Errno::EINVAL));
    }

    #[test]
    fn a_directory_where_others_can_put_files_is_not_private() {
        use std::os::unix::fs::PermissionsExt;
        let directory = std::env::temp_dir().join(format!("daemonic-private-{}", std::process::id()));
        std::fs::create_dir(&directory).unwrap();
        for (mode, expected) in [(0o755, true), (0o700, true), (0o1777, false), (0o775, false)] {
            std::fs::set_permissions(&directory, std::fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(is_private(&directory.join("d.pid")), expected, "{mode:o}");
        }
        std::fs::remove_dir(&directory).unwrap();
        assert!(!is_private(&directory.join("d.pid")));
    }

    #[test]
    fn a_bare_file_name_lies_in_the_current_directory() {
        assert_eq!(directory_of(Path::new("d.pid")), Path::new("."));
        assert_eq!(directory_of(Path::new("/run/d.pid")), Path::new("/run"));
    }
}
