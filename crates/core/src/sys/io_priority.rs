//! I/O scheduling class and priority of a thread: ioprio_set(2). Linux only, and without a wrapper in libc.

use nix::errno::Errno;

/// Values of `IOPRIO_CLASS_*` in linux/ioprio.h.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Class {
    Realtime = 1,
    BestEffort = 2,
    Idle = 3,
}

/// Sets the I/O priority of one thread; `level` is from 0 (first served) to 7. Thread 0 means the calling thread.
/// Threads and processes that it creates afterwards inherit it. Async-signal-safe.
#[cfg(target_os = "linux")]
pub fn set(thread: i32, class: Class, level: u8) -> nix::Result<()> {
    const IOPRIO_WHO_PROCESS: libc::c_int = 1;
    const IOPRIO_CLASS_SHIFT: libc::c_int = 13;
    let priority = libc::c_int::from(class as u8) << IOPRIO_CLASS_SHIFT | libc::c_int::from(level);
    // SAFETY: ioprio_set(2) takes three ints and touches no memory.
    Errno::result(unsafe { libc::syscall(libc::SYS_ioprio_set, IOPRIO_WHO_PROCESS, thread, priority) }).map(drop)
}

/// Refuses: other systems have no I/O priorities.
#[cfg(not(target_os = "linux"))]
pub fn set(_thread: i32, _class: Class, _level: u8) -> nix::Result<()> {
    Err(Errno::ENOSYS)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_reads_back_what_was_set() {
        // Set in a thread of its own, so that the other tests' threads keep their priorities.
        let read_back = std::thread::spawn(|| {
            set(0, Class::BestEffort, 6).unwrap();
            // SAFETY: ioprio_get(2) takes two ints: IOPRIO_WHO_PROCESS and the calling thread.
            let best_effort = unsafe { libc::syscall(libc::SYS_ioprio_get, 1, 0) };
            set(0, Class::Idle, 0).unwrap();
            // SAFETY: as above.
            (best_effort, unsafe { libc::syscall(libc::SYS_ioprio_get, 1, 0) })
        });
        assert_eq!(read_back.join().unwrap(), (2 << 13 | 6, 3 << 13));
    }
}
