//! User and group ids, by libc's functions: they change those of all threads, a raw system call would change one's.

use std::ffi::CStr;

use nix::Result;
use nix::errno::Errno;
use nix::unistd::Gid;

/// setgroups(2)
pub fn set_groups(groups: &[u32]) -> Result<()> {
    let count = groups.len().try_into().map_err(|_| Errno::EINVAL)?;
    // SAFETY: setgroups(2) reads `count` ids of a slice that lives through the call.
    Errno::result(unsafe { libc::setgroups(count, groups.as_ptr()) }).map(drop)
}

/// getgroups(2)
pub fn groups() -> Result<Vec<u32>> {
    // SAFETY: with no room, getgroups(2) only counts.
    let count = Errno::result(unsafe { libc::getgroups(0, std::ptr::null_mut()) })?;
    let mut groups = vec![0; usize::try_from(count).unwrap_or(0)];
    // SAFETY: getgroups(2) fills at most `count` ids of a vector that has room for them.
    let got = Errno::result(unsafe { libc::getgroups(count, groups.as_mut_ptr()) })?;
    groups.truncate(usize::try_from(got).unwrap_or(0));
    Ok(groups)
}

/// All three group ids: setresgid(2).
#[cfg(not(target_vendor = "apple"))]
pub fn set_group(group: u32) -> Result<()> {
    // SAFETY: setresgid(2) takes numbers.
    Errno::result(unsafe { libc::setresgid(group, group, group) }).map(drop)
}

/// All three user ids: setresuid(2).
#[cfg(not(target_vendor = "apple"))]
pub fn set_user(user: u32) -> Result<()> {
    // SAFETY: setresuid(2) takes numbers.
    Errno::result(unsafe { libc::setresuid(user, user, user) }).map(drop)
}

#[cfg(not(target_vendor = "apple"))]
pub fn is_group(group: u32) -> bool {
    let mut ids = [0; 3];
    let [real, effective, saved] = &mut ids;
    // SAFETY: getresgid(2) fills three ids that we own.
    let got = unsafe { libc::getresgid(real, effective, saved) };
    got == 0 && ids == [group; 3]
}

#[cfg(not(target_vendor = "apple"))]
pub fn is_user(user: u32) -> bool {
    let mut ids = [0; 3];
    let [real, effective, saved] = &mut ids;
    // SAFETY: getresuid(2) fills three ids that we own.
    let got = unsafe { libc::getresuid(real, effective, saved) };
    got == 0 && ids == [user; 3]
}

/// macOS has no setresgid(2): as root, setgid(2) sets all three.
#[cfg(target_vendor = "apple")]
pub fn set_group(group: u32) -> Result<()> {
    // SAFETY: setgid(2) takes a number.
    Errno::result(unsafe { libc::setgid(group) }).map(drop)
}

#[cfg(target_vendor = "apple")]
pub fn set_user(user: u32) -> Result<()> {
    // SAFETY: setuid(2) takes a number.
    Errno::result(unsafe { libc::setuid(user) }).map(drop)
}

#[cfg(target_vendor = "apple")]
pub fn is_group(group: u32) -> bool {
    nix::unistd::getgid().as_raw() == group && nix::unistd::getegid().as_raw() == group
}

#[cfg(target_vendor = "apple")]
pub fn is_user(user: u32) -> bool {
    nix::unistd::getuid().as_raw() == user && nix::unistd::geteuid().as_raw() == user
}

/// getgrouplist(3)
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

/// The calling thread opens files as another user, until dropped: setfsuid(2). Nothing on systems that don't know it.
#[derive(Debug)]
pub struct FileAccess {
    #[cfg(target_os = "linux")]
    before: libc::c_int,
}

impl FileAccess {
    #[cfg(target_os = "linux")]
    #[must_use]
    pub fn of(user: u32) -> Self {
        // SAFETY: setfsuid(2) takes a number, and returns the one before.
        Self { before: unsafe { libc::setfsuid(user) } }
    }

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
