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

/// Lets the calling thread open files with another user's rights, until dropped: setfsuid(2). Does nothing on systems
/// without that call.
#[derive(Debug)]
pub struct FileAccess {
    #[cfg(target_os = "linux")]
    before: libc::c_int,
}

impl FileAccess {
    /// Takes the rights of `user` for opening files.
    #[cfg(target_os = "linux")]
    #[must_use]
    pub fn of(user: u32) -> Self {
        // SAFETY: setfsuid(2) takes a number, and returns the one before.
        Self { before: unsafe { libc::setfsuid(user) } }
    }

    /// Does nothing: other systems don't have this call.
    #[cfg(not(target_os = "linux"))]
    #[must_use]
    pub fn of(_user: u32) -> Self {
        Self {}
    }
}

impl Drop for FileAccess {
    fn drop(&mut self) {
        #[cfg(target_os = "linux")]
        // SAFETY: setfsuid(2) takes a number: the one that was in force.
        unsafe {
            libc::setfsuid(self.before.cast_unsigned());
        }
    }
}
