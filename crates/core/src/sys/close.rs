//! Closing of all descriptors but a few, between fork and exec. Every function is async-signal-safe.

use std::os::fd::RawFd;

use nix::errno::Errno;

use super::fd::close_raw;
use super::limit;

/// Highest number that is closed where neither the kernel nor a limit tells it.
const HIGHEST_GUESS: RawFd = 2048;

/// Closes every descriptor that is not in `kept`, which is sorted and without duplicates.
pub fn close_all_but(kept: &[RawFd]) {
    let mut first = 0;
    for &fd in kept {
        if fd > first {
            close_span(first, fd - 1);
        }
        first = fd + 1;
    }
    close_span(first, RawFd::MAX);
}

/// Closes `first..=last`: close_range(2) where there is one, else what /proc/self/fd lists, else number by number.
fn close_span(first: RawFd, last: RawFd) {
    if close_range(first, last).is_ok() || close_listed(first, last).is_ok() {
        return;
    }
    for fd in (first..=last.min(highest_allowed())).rev() {
        close_raw(fd);
    }
}

/// Makes the raw system call, since glibc has it only from 2.34 on. On ENOSYS (an old kernel), EPERM or EINVAL (a
/// sandbox) the caller takes another way.
#[cfg(target_os = "linux")]
fn close_range(first: RawFd, last: RawFd) -> nix::Result<()> {
    // SAFETY: close_range(2) takes three unsigned ints; `first` and `last` are not negative.
    Errno::result(unsafe { libc::syscall(libc::SYS_close_range, first.cast_unsigned(), last.cast_unsigned(), 0) })
        .map(drop)
}

#[cfg(not(target_os = "linux"))]
fn close_range(_first: RawFd, _last: RawFd) -> nix::Result<()> {
    Err(Errno::ENOSYS)
}

/// Closes what /proc/self/fd lists, read by getdents64 into a buffer on the stack: readdir(3) allocates. After a round
/// that closed something the directory is read again from its start, since closing changes it.
#[cfg(target_os = "linux")]
fn close_listed(first: RawFd, last: RawFd) -> nix::Result<()> {
    // Offsets in struct linux_dirent64 (getdents64(2)).
    const RECLEN: usize = 16;
    const NAME: usize = 19;

    #[repr(C, align(8))]
    struct Buffer([u8; 2048]);

    // SAFETY: the path is a literal C string.
    let directory =
        Errno::result(unsafe { libc::open(c"/proc/self/fd".as_ptr(), libc::O_RDONLY | libc::O_DIRECTORY) })?;
    let mut buffer = Buffer([0; 2048]);
    loop {
        let mut closed = false;
        loop {
            // SAFETY: getdents64(2) writes at most the length that is given into a buffer of this frame.
            let got = unsafe { libc::syscall(libc::SYS_getdents64, directory, buffer.0.as_mut_ptr(), buffer.0.len()) };
            let Ok(length) = usize::try_from(got) else {
                close_raw(directory);
                return Err(Errno::last());
            };
            if length == 0 {
                break;
            }
            let mut entry = 0;
            while entry < length {
                let size = usize::from(u16::from_ne_bytes([buffer.0[entry + RECLEN], buffer.0[entry + RECLEN + 1]]));
                if let Some(fd) = number(&buffer.0[entry + NAME..entry + size])
                    && (first..=last).contains(&fd)
                    && fd != directory
                {
                    close_raw(fd);
                    closed = true;
                }
                entry += size;
            }
        }
        if !closed {
            break;
        }
        // SAFETY: lseek(2) takes numbers; the descriptor was opened above.
        unsafe { libc::lseek(directory, 0, libc::SEEK_SET) };
    }
    close_raw(directory);
    Ok(())
}

#[cfg(not(target_os = "linux"))]
fn close_listed(_first: RawFd, _last: RawFd) -> nix::Result<()> {
    Err(Errno::ENOSYS)
}

/// Parses a NUL-terminated directory entry's name as a decimal number.
#[cfg(target_os = "linux")]
fn number(name: &[u8]) -> Option<RawFd> {
    let mut value: RawFd = 0;
    let mut digits = 0;
    for &byte in name.iter().take_while(|&&byte| byte != 0) {
        if !byte.is_ascii_digit() {
            return None;
        }
        value = value.checked_mul(10)?.checked_add(RawFd::from(byte - b'0'))?;
        digits += 1;
    }
    (digits > 0).then_some(value)
}

/// Returns the highest number that a descriptor of this process can have.
fn highest_allowed() -> RawFd {
    match limit::get(libc::RLIMIT_NOFILE) {
        Ok((_, hard)) if hard != libc::RLIM_INFINITY => RawFd::try_from(hard).unwrap_or(RawFd::MAX) - 1,
        _ => HIGHEST_GUESS,
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn an_entry_that_is_no_number_is_skipped() {
        assert_eq!(number(b"17\0rest"), Some(17));
        assert_eq!(number(b"0\0"), Some(0));
        assert_eq!(number(b"..\0"), None);
        assert_eq!(number(b"\0"), None);
        assert_eq!(number(b"99999999999\0"), None);
    }
}
