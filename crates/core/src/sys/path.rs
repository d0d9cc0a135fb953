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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_with_a_nul_byte_fails_at_the_step_that_needs_it() {
        let failure = c_path(Path::new("/bin/a\0b"), Step::Exec).unwrap_err();
        assert_eq!((failure.step, failure.syscall, failure.errno), (Step::Exec, "execve", Errno::EINVAL));
    }

    #[test]
    fn a_bare_file_name_lies_in_the_current_directory() {
        assert_eq!(directory_of(Path::new("d.pid")), Path::new("."));
        assert_eq!(directory_of(Path::new("/run/d.pid")), Path::new("/run"));
    }
}
