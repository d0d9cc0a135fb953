//! Priorities of a thread: nice value, and I/O scheduling class with its level.

use nix::errno::Errno;

/// Sets the nice value of one thread, from -20 to 19; 0 means the calling thread: setpriority(2). Threads and processes
/// that it creates afterwards inherit it. Elsewhere than on Linux, `thread` is a process. Async-signal-safe.
pub fn set_nice(thread: i32, nice: i32) -> nix::Result<()> {
    let thread = thread.try_into().map_err(|_| Errno::EINVAL)?;
    // SAFETY: setpriority(2) takes numbers.
    Errno::result(unsafe { libc::setpriority(libc::PRIO_PROCESS, thread, nice) }).map(drop)
}

/// Values of `IOPRIO_CLASS_*` in linux/ioprio.h.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum IoClass {
    Realtime = 1,
    BestEffort = 2,
    Idle = 3,
}

/// Sets the I/O priority of one thread; `level` is from 0 (first served) to 7. Thread 0 means the calling thread.
/// Threads and processes that it creates afterwards inherit it: ioprio_set(2), for which libc has no wrapper.
/// Async-signal-safe.
#[cfg(target_os = "linux")]
pub fn set_io(thread: i32, class: IoClass, level: u8) -> nix::Result<()> {
    let priority = io_priority(class, level);
    // SAFETY: ioprio_set(2) takes three ints and touches no memory.
    Errno::result(unsafe { libc::syscall(libc::SYS_ioprio_set, IOPRIO_WHO_PROCESS, thread, priority) }).map(drop)
}

/// Whether a thread has this I/O priority: ioprio_get(2). Async-signal-safe.
#[cfg(target_os = "linux")]
#[must_use]
pub fn is_io(thread: i32, class: IoClass, level: u8) -> bool {
    // SAFETY: ioprio_get(2) takes two ints and touches no memory.
    let present = unsafe { libc::syscall(libc::SYS_ioprio_get, IOPRIO_WHO_PROCESS, thread) };
    present == libc::c_long::from(io_priority(class, level))
}

#[cfg(target_os = "linux")]
const IOPRIO_WHO_PROCESS: libc::c_int = 1;

/// Class and level as the two calls have them in one number.
#[cfg(target_os = "linux")]
fn io_priority(class: IoClass, level: u8) -> libc::c_int {
    const IOPRIO_CLASS_SHIFT: libc::c_int = 13;
    libc::c_int::from(class as u8) << IOPRIO_CLASS_SHIFT | libc::c_int::from(level)
}

/// Refuses: other systems have no I/O priorities.
#[cfg(not(target_os = "linux"))]
pub fn set_io(_thread: i32, _class: IoClass, _level: u8) -> nix::Result<()> {
    Err(Errno::ENOSYS)
}

/// Answers no: other systems have no I/O priorities.
#[cfg(not(target_os = "linux"))]
#[must_use]
pub fn is_io(_thread: i32, _class: IoClass, _level: u8) -> bool {
    false
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_reads_back_what_was_set() {
        // Set in a thread of its own, so that the other tests' threads keep their priorities.
        let read_back = std::thread::spawn(|| {
            set_io(0, IoClass::BestEffort, 6).unwrap();
            let best_effort = is_io(0, IoClass::BestEffort, 6) && !is_io(0, IoClass::BestEffort, 7);
            set_io(0, IoClass::Idle, 0).unwrap();
            (best_effort, is_io(0, IoClass::Idle, 0))
        });
        assert_eq!(read_back.join().unwrap(), (true, true));
    }
}
