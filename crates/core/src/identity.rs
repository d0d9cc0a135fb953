//! User and group ids of a process, their change for good, and the user database: credentials(7).

use std::ffi::CString;
use std::path::Path;

use nix::errno::Errno;
use nix::unistd::{Gid, Group, Uid, User, chroot, getegid, geteuid, getgid, getuid};

use crate::error::{During, Failure, Result, Step};
use crate::sys::{credentials, process};

/// New root directory and new ids. All names are resolved before the root changes.
#[derive(Debug, Default, Clone)]
pub struct Change {
    pub chroot: Option<std::path::PathBuf>,
    pub user: Option<u32>,
    pub group: Option<u32>,
    /// New supplementary groups; None keeps them.
    pub groups: Option<Vec<u32>>,
    /// Whether to allow core dumps again, which the kernel forbids after a change of ids.
    pub dumpable: bool,
}

/// Entry of the user database.
#[derive(Debug)]
pub struct Account {
    pub uid: u32,
    pub gid: u32,
    pub name: String,
    pub home: String,
    pub shell: String,
}

/// Changes root and ids, in the only order that works: each step needs the rights that a later one gives up. Afterwards
/// all ids are verified, and that there is no way back. Not to be called in the launcher.
///
/// `parent` is the pid of the process with which this one must die: the middle process until the daemon is ready, or
/// the supervisor. The kernel clears the parent-death signal at a change of ids, so it is set again.
pub fn change(to: &Change, parent: Option<u32>) -> Result<()> {
    if let Some(root) = &to.chroot {
        chroot(root).during(Step::Chroot, "chroot").map_err(|failure| failure.at(root))?;
        nix::unistd::chdir("/").during(Step::Chdir, "chdir")?;
    }
    let (user, group) = targets(to);
    if user.is_none() && group.is_none() && to.groups.is_none() {
        return Ok(());
    }
    if let Some(groups) = &to.groups {
        credentials::set_groups(groups).during(Step::Setgroups, "setgroups")?;
    }
    if let Some(group) = group {
        credentials::set_group(group).during(Step::Setgid, "setresgid")?;
    }
    if let Some(user) = user {
        let is_drop = geteuid().is_root() && user != 0;
        if is_drop && credentials::outlive_a_change_of_user() {
            let why = "the securebits of this process let capabilities outlive a change of user (capsh --print shows them)";
            return Err(Failure::new(Step::Setuid, "setresuid", Errno::EPERM).because(why).into());
        }
        credentials::set_user(user).during(Step::Setuid, "setresuid")?;
        if is_drop {
            credentials::clear_capabilities().during(Step::Setuid, "capset")?;
        }
    }
    verify(user, group, to.groups.as_deref())?;
    if let Some(parent) = parent {
        process::die_with(parent).during(Step::Process, "prctl")?;
    }
    if to.dumpable {
        process::allow_core_dumps().during(Step::Process, "prctl")?;
    }
    Ok(())
}

/// Returns the user and the group to change to. In a set-uid start, where the effective ids differ from the real ones,
/// the real ones are taken for good unless others were asked for.
fn targets(to: &Change) -> (Option<u32>, Option<u32>) {
    let own_user = (getuid() != geteuid()).then(|| getuid().as_raw());
    let own_group = (getgid() != getegid()).then(|| getgid().as_raw());
    (to.user.or(own_user), to.group.or(own_group))
}

/// Fails unless this process has these ids, and can't get root's back.
fn verify(user: Option<u32>, group: Option<u32>, groups: Option<&[u32]>) -> std::result::Result<(), Failure> {
    let refused = |step: Step, why: &str| Err(Failure::new(step, step.syscall(), Errno::EPERM).because(why));
    if let Some(wanted) = groups {
        let mut present = credentials::groups().during(Step::Setgroups, "getgroups")?;
        let mut wanted = wanted.to_vec();
        for list in [&mut present, &mut wanted] {
            list.sort_unstable();
            list.dedup();
        }
        if present != wanted {
            return refused(Step::Setgroups, "the kernel reports other groups after the change");
        }
    }
    if group.is_some_and(|group| !credentials::is_group(group)) {
        return refused(Step::Setgid, "the kernel reports other group ids after the change");
    }
    if user.is_some_and(|user| !credentials::is_user(user)) {
        return refused(Step::Setuid, "the kernel reports other user ids after the change");
    }
    if user.is_some_and(|user| user != 0) && nix::unistd::setuid(Uid::from_raw(0)).is_ok() {
        return refused(Step::Setuid, "the process could become root again after the change");
    }
    Ok(())
}

/// Finds the account of this name.
pub fn account_named(name: &str) -> Option<Account> {
    User::from_name(name).ok().flatten().map(account)
}

/// Finds the account of this user id. An id without an account is valid too.
pub fn account_numbered(uid: u32) -> Option<Account> {
    User::from_uid(Uid::from_raw(uid)).ok().flatten().map(account)
}

/// Finds the id of the group of this name.
pub fn group_named(name: &str) -> Option<u32> {
    Group::from_name(name).ok().flatten().map(|group| group.gid.as_raw())
}

/// Lists all groups of a user, `gid` among them, as initgroups(3) would set them: getgrouplist(3).
pub fn groups_of(name: &str, gid: u32) -> Result<Vec<u32>> {
    let name = CString::new(name).map_err(|_| Failure::new(Step::Setgroups, "getgrouplist", Errno::EINVAL))?;
    Ok(credentials::group_list(&name, Gid::from_raw(gid)).during(Step::Setgroups, "getgrouplist")?)
}

fn account(user: User) -> Account {
    let text = |path: &Path| path.to_string_lossy().into_owned();
    Account {
        uid: user.uid.as_raw(),
        gid: user.gid.as_raw(),
        name: user.name,
        home: text(&user.dir),
        shell: text(&user.shell),
    }
}
