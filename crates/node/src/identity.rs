//! User and group ids.

use daemonic_core::identity::{self, Change};
use napi_derive::napi;

use crate::refusal::{Answer, Refusal, answer, refusal};

#[napi(object)]
pub struct Account {
    pub uid: u32,
    pub gid: u32,
    pub name: String,
    pub home: String,
    pub shell: String,
}

#[napi(object)]
pub struct IdentityChange {
    pub chroot: Option<String>,
    pub user: Option<u32>,
    pub group: Option<u32>,
    pub groups: Option<Vec<u32>>,
    /// Core dumps were asked for.
    pub dumpable: bool,
}

impl From<identity::Account> for Account {
    fn from(account: identity::Account) -> Self {
        let identity::Account { uid, gid, name, home, shell } = account;
        Self { uid, gid, name, home, shell }
    }
}

#[napi(catch_unwind)]
pub fn account_named(name: String) -> Option<Account> {
    identity::account_named(&name).map(Account::from)
}

#[napi(catch_unwind)]
pub fn account_numbered(uid: u32) -> Option<Account> {
    identity::account_numbered(uid).map(Account::from)
}

#[napi(catch_unwind)]
pub fn group_named(name: String) -> Option<u32> {
    identity::group_named(&name)
}

/// The groups that initgroups(3) would set.
#[napi(catch_unwind)]
pub fn groups_of(name: String, gid: u32) -> Answer<Vec<u32>> {
    answer(identity::groups_of(&name, gid))
}

/// For good, and verified. `parent`: the process whose end is ours too.
#[napi(catch_unwind)]
pub fn change_identity(change: IdentityChange, parent: Option<u32>) -> Option<Refusal> {
    let IdentityChange { chroot, user, group, groups, dumpable } = change;
    let change = Change { chroot: chroot.map(Into::into), user, group, groups, dumpable };
    refusal(identity::change(&change, parent))
}
