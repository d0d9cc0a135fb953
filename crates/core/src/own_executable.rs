//! The executable of daemonic beside the addon: it is the middle process of a start, and the supervisor.

use std::ffi::{CString, OsStr};
use std::fs::File;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use nix::errno::Errno;
use nix::unistd::Pid;

use crate::error::{During, Failure, Step, errno_of};
use crate::sys::fd::{self, FileId};
use crate::sys::path::c_path;
use crate::sys::{fork, spawn};

/// The executable, opened once for the life of this process: an upgrade of the package puts another in its place, which
/// is of another build than the addon that is loaded here.
static OPENED: Mutex<Option<(PathBuf, OwnedFd)>> = Mutex::new(None);

/// Opens the executable at `path`, unless it is open already.
pub fn open(path: &Path) -> Result<(), Failure> {
    let mut opened = OPENED.lock().unwrap_or_else(PoisonError::into_inner);
    if opened.as_ref().is_none_or(|(known, _)| known != path) {
        let file = File::open(path).map_err(|error| explain(path, errno_of(&error)))?;
        *opened = Some((path.to_owned(), file.into()));
    }
    Ok(())
}

/// Starts the executable with these arguments, variables and descriptors: see [`spawn::spawn`]. Its own number is
/// `lowest` or above meanwhile. Tried again while the system lacks resources.
pub fn start(
    path: &Path,
    arguments: &[CString],
    variables: &[CString],
    descriptors: &[(RawFd, RawFd)],
    lowest: RawFd,
) -> Result<Pid, Failure> {
    open(path)?;
    let file = {
        let opened = OPENED.lock().unwrap_or_else(PoisonError::into_inner);
        let number = opened.as_ref().map_or(-1, |(_, file)| file.as_raw_fd());
        fd::duplicate_raw(number, lowest).during(Step::Executable, "fcntl")?
    };
    let spawn = |program: &CString| fork::retrying(|| spawn::spawn(program, arguments, variables, descriptors));
    let spawned = match by_number(&file) {
        Some(program) => match spawn(&program) {
            // There is no /proc.
            Err(Errno::ENOENT) => spawn(&by_path(&file, path)?),
            other => other,
        },
        None => spawn(&by_path(&file, path)?),
    };
    spawned.map_err(|errno| match errno {
        Errno::EAGAIN | Errno::ENOMEM => fork::failure(Step::FirstFork, errno),
        _ => explain(path, errno),
    })
}

/// Names the file as /proc does, where that leads to the open file itself.
fn by_number(file: &OwnedFd) -> Option<CString> {
    let name = cfg!(target_os = "linux").then(|| format!("/proc/self/fd/{}", file.as_raw_fd()))?;
    CString::new(name).ok()
}

/// Names the file by its path, if it still lies there.
fn by_path(file: &OwnedFd, path: &Path) -> Result<CString, Failure> {
    let name = c_path(path, Step::Executable)?;
    let id = |stat: nix::Result<libc::stat>| stat.map(|stat| FileId::of(&stat));
    let opened = id(fd::stat_raw(file.as_raw_fd())).during(Step::Executable, "fstat")?;
    match id(fd::stat_path(&name, true)) {
        Ok(there) if there == opened => Ok(name),
        Ok(_) => Err(Failure::new(Step::Executable, "stat", Errno::ESTALE)
            .at(path)
            .because("it was replaced after this program had begun: start this program again")),
        Err(errno) => Err(explain(path, errno)),
    }
}

/// Says what to do about an executable that can't be executed.
fn explain(path: &Path, errno: Errno) -> Failure {
    let failure = Failure::new(Step::Executable, "posix_spawn", errno).at(path);
    let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
    match errno {
        Errno::ENOENT => failure.because(format!(
            "it belongs to the package: where that is bundled or copied, {name} must lie beside the addon"
        )),
        Errno::EACCES | Errno::EPERM => failure.because(
            "it must be executable, in directories that may be searched, on a file system not mounted with noexec",
        ),
        Errno::ENOEXEC => {
            failure.because("it is damaged, or for another system: install the package on this host again")
        }
        _ => failure,
    }
}
