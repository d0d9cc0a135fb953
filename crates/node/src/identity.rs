//! User and group ids, and the user database.

use daemonic_core::identity::{self, Change};
use napi_derive::napi;

use crate::refusal::{Answer, Refusal, answer, refusal};

/// Entry of the user database.
#[napi(object)]
pub struct Account {
    pub uid: u32,
    pub gid: u32,
    pub name: String,
    pub home: String,
    pub shell: String,
}

/// New root directory and new ids, for good.
#[napi(object)]
pub struct IdentityChange {
    pub chroot: Option<String>,
    pub user: Option<u32>,
    pub group: Option<u32>,
    pub groups: Option<Vec<u32>>,
    /// Whether to allow core dumps again, which the kernel forbids after a change of ids.
    pub dumpable: bool,
}

impl From<identity::Account> for Account {
    fn from(account: identity::Account) -> Self {
        let identity::Account { uid, gid, name, home, shell } = account;
        Self { uid, gid, name, home, shell }
    }
}

/// Finds the account of this name.
#[napi(catch_unwind)]
pub fn account_named(name: String) -> Option<Account> {
    identity::account_named(&name).map(Account::from)
}

/// Finds the account of this user id.
#[napi(catch_unwind)]
pub fn account_numbered(uid: u32) -> Option<Account> {
    identity::account_numbered(uid).map(Account::from)
}

/// Finds the id of the group of this name.
#[napi(catch_unwind)]
pub fn group_named(name: String) -> Option<u32> {
    identity::group_named(&name)
}

/// Lists the groups of a user as initgroups(3) would set them.
#[napi(catch_unwind)]
pub fn groups_of(name: String, gid: u32) -> Answer<Vec<u32>> {
    answer(identity::groups_of(&name, gid))
}

/// Changes root and ids for good, and verifies the change. `parent` is the pid of the process with which this one dies.
#[napi(catch_unwind)]
pub fn change_identity(change: IdentityChange, parent: Option<u32>) -> Option<Refusal> {
    let IdentityChange { chroot, user, group, groups, dumpable } = change;
    let change = Change { chroot: chroot.map(Into::into), user, group, groups, dumpable };
    refusal(identity::change(&change, parent))
}
