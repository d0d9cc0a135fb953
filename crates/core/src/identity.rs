//! Who a process is, and becoming someone else for good: credentials(7).

use std::ffi::CString;
use std::path::Path;

use nix::errno::Errno;
use nix::unistd::{Gid, Group, Uid, User, chroot, getegid, geteuid, getgid, getuid};

use crate::error::{During, Failure, Result, Step};
use crate::sys::{credentials, process};

/// The root directory and the ids to take, all resolved before the root changes.
#[derive(Debug, Default, Clone)]
pub struct Change {
    pub chroot: Option<std::path::PathBuf>,
    pub user: Option<u32>,
    pub group: Option<u32>,
    /// The supplementary groups, if they are to be other ones.
    pub groups: Option<Vec<u32>>,
    /// Whether core dumps were asked for: the kernel forbids them after a change of ids.
    pub dumpable: bool,
}

/// Somebody in the user database.
#[derive(Debug)]
pub struct Account {
    pub uid: u32,
    pub gid: u32,
    pub name: String,
    pub home: String,
    pub shell: String,
}

/// Takes the new root and the new ids, in the only order that works: each step needs the rights that a later one gives
/// up. Verified afterwards, for all ids and the way back. Not to be called in the launcher.
///
/// A started daemon that is not ready yet must end with its middle process, a worker with its supervisor: with `parent`;
/// the kernel forgets that at a change of ids, so it is said again.
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
        credentials::set_user(user).during(Step::Setuid, "setresuid")?;
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

/// What was asked for; and where the effective ids differ from the real ones (a set-uid start), the real ones for good.
fn targets(to: &Change) -> (Option<u32>, Option<u32>) {
    let own_user = (getuid() != geteuid()).then(|| getuid().as_raw());
    let own_group = (getgid() != getegid()).then(|| getgid().as_raw());
    (to.user.or(own_user), to.group.or(own_group))
}

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
            return refused(Step::Setgroups, "the groups are not what was asked for");
        }
    }
    if group.is_some_and(|group| !credentials::is_group(group)) {
        return refused(Step::Setgid, "the group ids are not what was asked for");
    }
    if user.is_some_and(|user| !credentials::is_user(user)) {
        return refused(Step::Setuid, "the user ids are not what was asked for");
    }
    if user.is_some_and(|user| user != 0) && nix::unistd::setuid(Uid::from_raw(0)).is_ok() {
        return refused(Step::Setuid, "root could be had again");
    }
    Ok(())
}

/// Who is called so; None if nobody is.
pub fn account_named(name: &str) -> Option<Account> {
    User::from_name(name).ok().flatten().map(account)
}

/// Who has this id; None if nobody does, which is allowed.
pub fn account_numbered(uid: u32) -> Option<Account> {
    User::from_uid(Uid::from_raw(uid)).ok().flatten().map(account)
}

pub fn group_named(name: &str) -> Option<u32> {
    Group::from_name(name).ok().flatten().map(|group| group.gid.as_raw())
}

/// All groups of a user, `gid` among them: getgrouplist(3), what initgroups(3) sets.
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
