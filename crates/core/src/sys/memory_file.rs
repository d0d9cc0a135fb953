//! Memory files: files without a name, for the stderr of a daemon that isn't ready yet, and for what one process of
//! a start tells the next. memfd_create(2), or an unlinked temporary file.

use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};

/// Creates an empty file to append to, closed at exec.
pub fn create() -> nix::Result<OwnedFd> {
    let file = create_anonymous()?;
    fcntl(&file, FcntlArg::F_SETFL(OFlag::O_APPEND))?;
    Ok(file)
}

/// Creates a file with these contents, closed at exec.
pub fn with_bytes(bytes: &[u8]) -> nix::Result<OwnedFd> {
    let file = create_anonymous()?;
    super::fd::rewrite(file.as_raw_fd(), bytes)?;
    Ok(file)
}

/// Reads the whole of a file that [`with_bytes`] has made.
pub fn bytes_of(file: &OwnedFd) -> std::io::Result<Vec<u8>> {
    use std::os::unix::fs::FileExt;
    let file = std::fs::File::from(file.try_clone()?);
    let mut bytes = vec![0; usize::try_from(file.metadata()?.len()).unwrap_or(0)];
    file.read_exact_at(&mut bytes, 0)?;
    Ok(bytes)
}

/// Creates a file with a text, closed at exec.
pub fn with_text(text: &str) -> nix::Result<OwnedFd> {
    with_bytes(text.as_bytes())
}

/// Reads the whole text of a file that [`with_text`] has made.
pub fn text_of(file: &OwnedFd) -> std::io::Result<String> {
    String::from_utf8(bytes_of(file)?).map_err(|_| std::io::ErrorKind::InvalidData.into())
}

#[cfg(target_os = "linux")]
fn create_anonymous() -> nix::Result<OwnedFd> {
    let flags = libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING;
    // MFD_NOEXEC_SEAL is EINVAL before Linux 6.3.
    memfd_create(flags | libc::MFD_NOEXEC_SEAL).or_else(|_| memfd_create(flags)).or_else(|_| create_unlinked())
}

/// Calls memfd_create(2) by its number: glibc has a function for it since 2.27 only, and an addon that names one which is
/// missing can't be loaded at all.
#[cfg(target_os = "linux")]
fn memfd_create(flags: libc::c_uint) -> nix::Result<OwnedFd> {
    use std::os::fd::FromRawFd;
    // SAFETY: memfd_create(2) reads a C string, which is static, and an int.
    let fd = Errno::result(unsafe { libc::syscall(libc::SYS_memfd_create, c"daemonic-stderr".as_ptr(), flags) })?;
    // SAFETY: the kernel has just made it for this call; descriptors fit an int.
    Ok(unsafe { OwnedFd::from_raw_fd(i32::try_from(fd).unwrap_or(-1)) })
}

#[cfg(not(target_os = "linux"))]
fn create_anonymous() -> nix::Result<OwnedFd> {
    create_unlinked()
}

fn create_unlinked() -> nix::Result<OwnedFd> {
    let template = std::env::temp_dir().join("daemonic-stderr.XXXXXX");
    let (file, path) = nix::unistd::mkstemp(&template)?;
    nix::unistd::unlink(&path)?;
    fcntl(&file, FcntlArg::F_SETFD(nix::fcntl::FdFlag::FD_CLOEXEC))?;
    Ok(file)
}

/// Frees the memory of everything but the last `keep` bytes.
#[cfg(target_os = "linux")]
pub fn keep_last(file: RawFd, keep: i64) {
    let Ok(stat) = super::fd::stat_raw(file) else { return };
    // off_t has 32 bits on 32-bit ARM.
    let length = libc::off_t::try_from(i64::from(stat.st_size) - keep).unwrap_or(0);
    if length > 0 {
        // SAFETY: fallocate(2) takes numbers. A file system that can't punch holes refuses, and nothing is lost.
        unsafe { libc::fallocate(file, libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE, 0, length) };
    }
}

/// Does nothing: other systems can't punch holes into an open file.
#[cfg(not(target_os = "linux"))]
pub fn keep_last(_file: RawFd, _keep: i64) {}

/// Empties the file and forbids it to grow, so that a child process that still has it open can't fill the memory.
pub fn seal(file: &OwnedFd) -> nix::Result<()> {
    super::fd::truncate(file.as_raw_fd(), 0)?;
    #[cfg(target_os = "linux")]
    match fcntl(file, FcntlArg::F_ADD_SEALS(nix::fcntl::SealFlag::F_SEAL_GROW)) {
        Ok(_) | Err(Errno::EINVAL) => {} // EINVAL: an unlinked temporary file has no seals
        Err(errno) => return Err(errno),
    }
    #[cfg(not(target_os = "linux"))]
    let _: Option<Errno> = None;
    Ok(())
}
