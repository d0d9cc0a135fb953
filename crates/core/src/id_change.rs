//! The change of root directory and ids for good: one sequence, for a running process and for one between fork and exec.

use std::cell::Cell;
use std::ffi::CString;

use nix::errno::Errno;
use nix::unistd::{getegid, geteuid, getgid, getuid};

use crate::error::{Failure, Step};
use crate::identity::Change;
use crate::sys::path::c_path;
use crate::sys::{credentials, process};

/// Change in the form that the system calls take.
pub struct IdChange {
    chroot: Option<CString>,
    /// Supplementary groups, sorted and each of them once.
    groups: Option<Vec<u32>>,
    /// Room to read the groups back.
    room: Cell<Vec<u32>>,
    group: Option<u32>,
    user: Option<u32>,
}

/// Step that failed. `why`: the system call succeeded, but not in what it was for.
pub struct Refused {
    pub step: Step,
    pub syscall: &'static str,
    pub errno: Errno,
    pub why: Option<&'static str>,
}

impl IdChange {
    /// Prepares it. In a set-uid start, where the effective ids differ from the real ones, the real ones are taken for
    /// good unless others were asked for.
    pub fn new(to: &Change) -> Result<Self, Failure> {
        let own_user = (getuid() != geteuid()).then(|| getuid().as_raw());
        let own_group = (getgid() != getegid()).then(|| getgid().as_raw());
        let groups = to.groups.clone().map(|mut groups| {
            groups.sort_unstable();
            groups.dedup();
            groups
        });
        Ok(Self {
            chroot: to.chroot.as_deref().map(|root| c_path(root, Step::Chroot)).transpose()?,
            // One more, so that a group too many is seen.
            room: Cell::new(vec![0; groups.as_ref().map_or(0, |groups| groups.len() + 1)]),
            groups,
            group: to.group.or(own_group),
            user: to.user.or(own_user),
        })
    }

    /// Whether it changes ids, and not the root directory alone.
    pub fn changes_ids(&self) -> bool {
        self.user.is_some() || self.group.is_some() || self.groups.is_some()
    }

    /// Makes the change, in the only order that works: each step needs the rights that a later one gives up. Afterwards
    /// all ids are verified, and that there is no way back: a change that only seems to succeed would leave root's
    /// rights to the program. Async-signal-safe.
    pub fn make(&self) -> Result<(), Refused> {
        if let Some(root) = &self.chroot {
            process::change_root(root).map_err(failed(Step::Chroot, "chroot"))?;
            process::change_directory(c"/").map_err(failed(Step::Chdir, "chdir"))?;
        }
        if let Some(groups) = &self.groups {
            credentials::set_groups(groups).map_err(failed(Step::Setgroups, "setgroups"))?;
        }
        if let Some(group) = self.group {
            credentials::set_group(group).map_err(failed(Step::Setgid, "setresgid"))?;
        }
        if let Some(user) = self.user {
            let is_drop = credentials::is_root() && user != 0;
            if is_drop && credentials::outlive_a_change_of_user() {
                let why = "the securebits of this process let capabilities outlive a change of user (capsh --print)";
                return Err(seen(Step::Setuid, "prctl", why));
            }
            credentials::set_user(user).map_err(failed(Step::Setuid, "setresuid"))?;
            if is_drop {
                credentials::clear_capabilities().map_err(failed(Step::Setuid, "capset"))?;
            }
        }
        self.verify()
    }

    /// Fails unless this process has these ids, and can't get root's back.
    fn verify(&self) -> Result<(), Refused> {
        if !self.has_groups() {
            return Err(seen(Step::Setgroups, "getgroups", "the kernel reports other groups after the change"));
        }
        if self.group.is_some_and(|group| !credentials::is_group(group)) {
            return Err(seen(Step::Setgid, "getresgid", "the kernel reports other group ids after the change"));
        }
        let Some(user) = self.user else { return Ok(()) };
        if !credentials::is_user(user) {
            return Err(seen(Step::Setuid, "getresuid", "the kernel reports other user ids after the change"));
        }
        if user != 0 && credentials::set_user(0).is_ok() {
            return Err(seen(Step::Setuid, "setresuid", "the process could become root again after the change"));
        }
        Ok(())
    }

    fn has_groups(&self) -> bool {
        let Some(wanted) = &self.groups else { return true };
        let mut room = self.room.take();
        let present = credentials::read_groups(&mut room).map(|count| &mut room[..count]);
        let same = present.is_ok_and(|present| {
            present.sort_unstable();
            present.iter().all(|each| wanted.binary_search(each).is_ok())
                && wanted.iter().all(|each| present.binary_search(each).is_ok())
        });
        self.room.set(room);
        same
    }
}

fn failed(step: Step, syscall: &'static str) -> impl FnOnce(Errno) -> Refused {
    move |errno| Refused { step, syscall, errno, why: None }
}

fn seen(step: Step, syscall: &'static str, why: &'static str) -> Refused {
    Refused { step, syscall, errno: Errno::EPERM, why: Some(why) }
}
