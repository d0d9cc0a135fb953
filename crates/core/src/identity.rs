//! User and group ids of this process, and the user database: credentials(7).

use std::ffi::CString;
use std::path::Path;

use nix::errno::Errno;
use nix::unistd::{Gid, Group, Uid, User};

use crate::error::{During, Failure, Result, Step};
use crate::id_change::{IdChange, Refused};
use crate::sys::{credentials, process};

/// New root directory and new ids. All names are resolved before the root changes.
#[derive(Debug, Default, Clone)]
pub struct Change {
    /// New root directory.
    pub chroot: Option<std::path::PathBuf>,
    /// User id.
    pub user: Option<u32>,
    /// Group id.
    pub group: Option<u32>,
    /// New supplementary groups; None keeps them.
    pub groups: Option<Vec<u32>>,
    /// Whether to allow core dumps again, which the kernel forbids after a change of ids.
    pub dumpable: bool,
}

impl Change {
    /// Whether it names a user or groups.
    #[must_use]
    pub fn has_ids(&self) -> bool {
        self.user.is_some() || self.group.is_some() || self.groups.is_some()
    }
}

/// Entry of the user database.
#[derive(Debug)]
pub struct Account {
    /// User id.
    pub uid: u32,
    /// Id of the user's group.
    pub gid: u32,
    /// Name of the user.
    pub name: String,
    /// Home directory.
    pub home: String,
    /// Login shell.
    pub shell: String,
}

/// Changes root and ids of this process, all its threads included. Not to be called in the launcher.
///
/// `parent` is the pid of the process with which this one must die: the middle process until the daemon is ready, or
/// the supervisor. The kernel clears the parent-death signal at a change of ids, so it is set again.
pub fn change(to: &Change, parent: Option<u32>) -> Result<()> {
    let prepared = IdChange::new(to)?;
    prepared.make().map_err(|Refused { step, syscall, errno, why }| {
        let failure = Failure { detail: why.map(str::to_owned), ..Failure::new(step, syscall, errno) };
        match &to.chroot {
            Some(root) if step == Step::Chroot => failure.at(root),
            _ => failure,
        }
    })?;
    if !prepared.changes_ids() {
        return Ok(());
    }
    if let Some(parent) = parent {
        process::die_with(parent).during(Step::Process, "prctl")?;
    }
    if to.dumpable {
        process::allow_core_dumps().during(Step::Process, "prctl")?;
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
