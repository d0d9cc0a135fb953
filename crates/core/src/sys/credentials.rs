//! User and group ids, by libc's functions: they change all threads, where a raw system call would change only one.

use std::ffi::CStr;

use nix::Result;
use nix::errno::Errno;
use nix::unistd::Gid;

/// Sets the supplementary groups: setgroups(2).
pub fn set_groups(groups: &[u32]) -> Result<()> {
    let count = groups.len().try_into().map_err(|_| Errno::EINVAL)?;
    // SAFETY: setgroups(2) reads `count` ids of a slice that lives through the call.
    Errno::result(unsafe { libc::setgroups(count, groups.as_ptr()) }).map(drop)
}

/// Reads the supplementary groups and returns their number; EINVAL if there are more than `groups` has room for:
/// getgroups(2). Async-signal-safe.
pub fn read_groups(groups: &mut [u32]) -> Result<usize> {
    let room = groups.len().try_into().map_err(|_| Errno::EINVAL)?;
    // SAFETY: getgroups(2) fills at most `room` ids of a slice of the caller's.
    let got = Errno::result(unsafe { libc::getgroups(room, groups.as_mut_ptr()) })?;
    usize::try_from(got).map_err(|_| Errno::EINVAL)
}

/// Sets real, effective and saved group id: setresgid(2).
#[cfg(not(target_vendor = "apple"))]
pub fn set_group(group: u32) -> Result<()> {
    // SAFETY: setresgid(2) takes numbers.
    Errno::result(unsafe { libc::setresgid(group, group, group) }).map(drop)
}

/// Sets real, effective and saved user id: setresuid(2).
#[cfg(not(target_vendor = "apple"))]
pub fn set_user(user: u32) -> Result<()> {
    // SAFETY: setresuid(2) takes numbers.
    Errno::result(unsafe { libc::setresuid(user, user, user) }).map(drop)
}

/// Whether real, effective and saved group id are all `group`.
#[cfg(not(target_vendor = "apple"))]
pub fn is_group(group: u32) -> bool {
    let mut ids = [0; 3];
    let [real, effective, saved] = &mut ids;
    // SAFETY: getresgid(2) fills three ids of this frame.
    let got = unsafe { libc::getresgid(real, effective, saved) };
    got == 0 && ids == [group; 3]
}

/// Whether real, effective and saved user id are all `user`.
#[cfg(not(target_vendor = "apple"))]
pub fn is_user(user: u32) -> bool {
    let mut ids = [0; 3];
    let [real, effective, saved] = &mut ids;
    // SAFETY: getresuid(2) fills three ids of this frame.
    let got = unsafe { libc::getresuid(real, effective, saved) };
    got == 0 && ids == [user; 3]
}

/// Whether the effective user is root: geteuid(2). Async-signal-safe.
#[must_use]
pub fn is_root() -> bool {
    // SAFETY: geteuid(2) takes nothing and can't fail.
    unsafe { libc::geteuid() == 0 }
}

/// Whether capabilities outlive a change of the user id, by the securebits of capabilities(7).
#[cfg(target_os = "linux")]
pub fn outlive_a_change_of_user() -> bool {
    const KEEP_CAPS: libc::c_int = 1 << 4;
    const NO_SETUID_FIXUP: libc::c_int = 1 << 2;
    // SAFETY: PR_GET_SECUREBITS takes no argument and returns the bits.
    let bits = unsafe { libc::prctl(libc::PR_GET_SECUREBITS, 0, 0, 0, 0) };
    bits > 0 && bits & (KEEP_CAPS | NO_SETUID_FIXUP) != 0
}

/// Returns false: other systems have no capabilities.
#[cfg(not(target_os = "linux"))]
pub fn outlive_a_change_of_user() -> bool {
    false
}

/// The structs of capset(2), version 3: sets of 64 bits, in halves.
#[cfg(target_os = "linux")]
#[repr(C)]
struct CapabilityHeader {
    version: u32,
    pid: libc::c_int,
}
#[cfg(target_os = "linux")]
#[repr(C)]
#[derive(Default, Clone, Copy)]
struct CapabilityHalf {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}
#[cfg(target_os = "linux")]
const CAPABILITY_VERSION: u32 = 0x2008_0522;

/// Clears the permitted, effective and inheritable capabilities of the calling thread, and with them the ambient ones.
/// A change of ids leaves the inheritable ones. Async-signal-safe.
#[cfg(target_os = "linux")]
pub fn clear_capabilities() -> Result<()> {
    set_capabilities(&[CapabilityHalf::default(); 2])
}

/// Clears the inheritable capabilities of the calling thread alone, and with them the ambient ones: for a program of
/// root, whose rights come from its user id. Async-signal-safe.
#[cfg(target_os = "linux")]
pub fn clear_inheritable_capabilities() -> Result<()> {
    let mut header = CapabilityHeader { version: CAPABILITY_VERSION, pid: 0 };
    let mut halves = [CapabilityHalf::default(); 2];
    // SAFETY: capget(2) reads the header, and fills two halves of this frame.
    Errno::result(unsafe { libc::syscall(libc::SYS_capget, &raw mut header, halves.as_mut_ptr()) })?;
    if halves.iter().all(|half| half.inheritable == 0) {
        return Ok(());
    }
    set_capabilities(&halves.map(|half| CapabilityHalf { inheritable: 0, ..half }))
}

#[cfg(target_os = "linux")]
fn set_capabilities(halves: &[CapabilityHalf; 2]) -> Result<()> {
    let mut header = CapabilityHeader { version: CAPABILITY_VERSION, pid: 0 };
    // SAFETY: capset(2) reads the header and two halves, all of which live through the call.
    Errno::result(unsafe { libc::syscall(libc::SYS_capset, &raw mut header, halves.as_ptr()) }).map(drop)
}

/// Does nothing: other systems have no capabilities.
#[cfg(not(target_os = "linux"))]
pub fn clear_capabilities() -> Result<()> {
    Ok(())
}

/// Does nothing: other systems have no capabilities.
#[cfg(not(target_os = "linux"))]
pub fn clear_inheritable_capabilities() -> Result<()> {
    Ok(())
}

/// Sets all three group ids. macOS has no setresgid(2); called by root, setgid(2) sets all three.
#[cfg(target_vendor = "apple")]
pub fn set_group(group: u32) -> Result<()> {
    // SAFETY: setgid(2) takes a number.
    Errno::result(unsafe { libc::setgid(group) }).map(drop)
}

/// Sets all three user ids. macOS has no setresuid(2); called by root, setuid(2) sets all three.
#[cfg(target_vendor = "apple")]
pub fn set_user(user: u32) -> Result<()> {
    // SAFETY: setuid(2) takes a number.
    Errno::result(unsafe { libc::setuid(user) }).map(drop)
}

/// Whether real and effective group id are both `group`. The saved one can't be read on macOS.
#[cfg(target_vendor = "apple")]
pub fn is_group(group: u32) -> bool {
    nix::unistd::getgid().as_raw() == group && nix::unistd::getegid().as_raw() == group
}

/// Whether real and effective user id are both `user`. The saved one can't be read on macOS.
#[cfg(target_vendor = "apple")]
pub fn is_user(user: u32) -> bool {
    nix::unistd::getuid().as_raw() == user && nix::unistd::geteuid().as_raw() == user
}

/// Lists all groups of a user, `gid` among them: getgrouplist(3).
pub fn group_list(name: &CStr, gid: Gid) -> Result<Vec<u32>> {
    let mut room: libc::c_int = 64;
    loop {
        let mut groups = vec![0; usize::try_from(room).unwrap_or(0)];
        let mut count = room;
        #[cfg(not(target_vendor = "apple"))]
        let base = gid.as_raw();
        #[cfg(target_vendor = "apple")]
        let base = gid.as_raw().cast_signed();
        // SAFETY: getgrouplist(3) reads a C string and fills at most `count` ids of a vector that has room for them.
        let found = unsafe { libc::getgrouplist(name.as_ptr(), base, groups.as_mut_ptr(), &raw mut count) };
        if found >= 0 {
            groups.truncate(usize::try_from(count).unwrap_or(0));
            #[cfg(target_vendor = "apple")]
            let groups: Vec<u32> = groups.into_iter().map(i32::cast_unsigned).collect();
            return Ok(groups);
        }
        if room > 65_536 {
            return Err(Errno::ERANGE);
        }
        room = room.max(count).saturating_mul(2);
    }
}

/// Most supplementary groups that a process has on Linux: NGROUPS_MAX.
#[cfg(target_os = "linux")]
const MOST_GROUPS: usize = 65_536;

/// Lets the calling thread open files with another user's rights alone, until dropped: setfsuid(2), setfsgid(2), and
/// setgroups(2) as a bare system call, which changes one thread. Does nothing on systems without the first two.
#[derive(Debug)]
pub struct FileAccess {
    #[cfg(target_os = "linux")]
    before: (libc::c_int, libc::c_int, Vec<u32>),
}

impl FileAccess {
    /// Takes the rights of a user, a group and supplementary groups.
    #[cfg(target_os = "linux")]
    pub fn of(user: u32, group: u32, others: &[u32]) -> Result<Self> {
        let mut groups = vec![0; MOST_GROUPS];
        let count = read_groups(&mut groups)?;
        groups.truncate(count);
        set_groups_of_thread(others)?;
        // SAFETY: both calls take a number, and return the one before.
        let before = unsafe { (libc::setfsuid(user), libc::setfsgid(group), groups) };
        let access = Self { before };
        // SAFETY: an id that is none changes nothing, and the present one is returned.
        let now = unsafe { (libc::setfsuid(u32::MAX), libc::setfsgid(u32::MAX)) };
        // Neither call says whether it failed.
        if now == (user.cast_signed(), group.cast_signed()) { Ok(access) } else { Err(Errno::EPERM) }
    }

    /// Does nothing: other systems don't have these calls.
    #[cfg(not(target_os = "linux"))]
    pub fn of(_user: u32, _group: u32, _others: &[u32]) -> Result<Self> {
        Ok(Self {})
    }
}

impl Drop for FileAccess {
    fn drop(&mut self) {
        #[cfg(target_os = "linux")]
        {
            let (user, group, groups) = &self.before;
            // SAFETY: both calls take a number: the one that was in force.
            unsafe {
                libc::setfsuid(user.cast_unsigned());
                libc::setfsgid(group.cast_unsigned());
            }
            let _ = set_groups_of_thread(groups); // it was allowed before
        }
    }
}

/// Sets the supplementary groups of the calling thread alone.
#[cfg(target_os = "linux")]
fn set_groups_of_thread(groups: &[u32]) -> Result<()> {
    // The older call of these processors takes ids of 16 bits.
    #[cfg(any(target_arch = "arm", target_arch = "x86"))]
    let number = libc::SYS_setgroups32;
    #[cfg(not(any(target_arch = "arm", target_arch = "x86")))]
    let number = libc::SYS_setgroups;
    // SAFETY: setgroups(2) reads that many ids of a slice that lives through the call.
    Errno::result(unsafe { libc::syscall(number, groups.len(), groups.as_ptr()) }).map(drop)
}
