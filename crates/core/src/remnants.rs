//! Processes that a supervisor's workers had started, and that go on when the supervisor was killed: they may keep its
//! port. The next start of that daemon ends them.
//!
//! SACRED: signals only what is proven to descend from that daemon. A pid, a session or a text alone proves nothing: the
//! first two are given away again, the third anybody can write. Together they do. One process of the daemon's session,
//! with the id of that very start in the environment that the kernel gave it, was in that session from its fork on. So
//! the session's number has not been given away since, and whatever else is in that session descends from the daemon.

use std::fs;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use nix::unistd::{Pid, geteuid, getsid};

use crate::pid_space;
use crate::plan::Plan;
use crate::process_facts::status_field;
use crate::sys::process_handle::ProcessHandle;

/// Variable of every program under a supervisor: the id of the daemon's start.
pub const INVOCATION: &str = "DAEMONIC_INVOCATION_ID";

/// Time that the processes have from SIGTERM to SIGKILL, and then to be gone.
const TERM_TIMEOUT: Duration = Duration::from_secs(3);
const KILL_TIMEOUT: Duration = Duration::from_secs(5);

/// A daemon with a supervisor that has been killed, as its state file tells of it.
#[derive(Debug, Clone)]
pub struct KilledDaemon {
    /// Pid of the daemon, which was the supervisor's.
    pub pid: i32,
    /// The session of the daemon, which has no leader any more.
    pub session: i32,
    /// Where and when its pids meant what they meant: [`pid_space::current`].
    pub pid_space: String,
    /// Value of [`INVOCATION`] in its processes.
    pub invocation: String,
    /// User of the daemon.
    pub user: u32,
}

/// Processes that a killed daemon had left.
#[derive(Debug, Clone, Default)]
pub struct Remnants {
    /// Processes that were ended.
    pub ended: Vec<i32>,
    /// Processes that go on: nothing proves that they are the daemon's, or they can't be killed.
    pub left: Vec<i32>,
}

/// Ends what the last daemon of the plan's pid file has left, if that was killed; says so where a person looks on. Called
/// once the pid file is claimed, and before anything that those processes may keep is asked for.
pub fn clear_away(plan: &Plan) -> Remnants {
    let Some(killed) = plan.pid_file.as_ref().and_then(|file| file.killed.as_ref()) else { return Remnants::default() };
    let remnants = Remnants::end(killed);
    if let Some(name) = &plan.hints_as {
        remnants.tell(name, killed);
    }
    remnants
}

impl Remnants {
    /// Ends the processes that `killed` has left. Called by the owner of its pid file's lock, so it has exited. Blocks
    /// while they end.
    fn end(killed: &KilledDaemon) -> Self {
        if pid_space::current().as_ref() != Some(&killed.pid_space) || is_taken(killed) {
            return Self::default();
        }
        let members = members(killed);
        let pids = |members: &[Member]| members.iter().map(|member| member.process.pid()).collect::<Vec<_>>();
        if !members.iter().any(|member| member.is_of_user && member.has_id) {
            return Self { ended: Vec::new(), left: pids(&members) };
        }
        let mut ended = pids(&members);
        let mut left = end_members(killed, Signal::SIGTERM, TERM_TIMEOUT, members, &mut ended);
        if !left.is_empty() {
            left = end_members(killed, Signal::SIGKILL, KILL_TIMEOUT, left, &mut ended);
        }
        let left = pids(&left);
        ended.retain(|pid| !left.contains(pid));
        Self { ended, left }
    }

    /// Tells a person, on stderr, what was ended, and what was not; in the name of the daemon that is started.
    fn tell(&self, name: &str, killed: &KilledDaemon) {
        let list = |pids: &[i32]| pids.iter().map(i32::to_string).collect::<Vec<_>>().join(", ");
        let whose = format!("of the daemon that was killed (pid {})", killed.pid);
        if !self.ended.is_empty() {
            eprintln!("{name}: ended what was left {whose}: pid {}", list(&self.ended));
        }
        if !self.left.is_empty() {
            eprintln!(
                "{name}: warning: pid {} may be left {whose}, and in the way: look at it, and end it by kill(1)",
                list(&self.left)
            );
        }
    }
}

/// Whether the daemon still runs, since its pid file was overwritten, or the number of its session is another session's
/// by now, whose leader runs. The middle, which led the daemon's, has exited.
fn is_taken(killed: &KilledDaemon) -> bool {
    let runs = |pid: i32| ProcessHandle::open(pid).is_ok();
    runs(killed.session) || runs(killed.pid) && is_in_session(killed, killed.pid)
}

fn is_in_session(killed: &KilledDaemon, pid: i32) -> bool {
    getsid(Some(Pid::from_raw(pid))).is_ok_and(|session| session.as_raw() == killed.session)
}

/// Process of the daemon's session.
struct Member {
    process: ProcessHandle,
    is_of_user: bool,
    /// Whether it was executed with the id of the daemon's start in its environment.
    has_id: bool,
}

/// Lists the processes of the session.
fn members(killed: &KilledDaemon) -> Vec<Member> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    pids.filter_map(|pid| member(killed, pid)).collect()
}

/// Looks at a process. What is read by its pid holds for the process of the handle if that has not exited afterwards.
fn member(killed: &KilledDaemon, pid: i32) -> Option<Member> {
    if !is_in_session(killed, pid) {
        return None;
    }
    let process = ProcessHandle::open(pid).ok()?;
    let user = status_field(&pid.to_string(), "Uid:")?.split_whitespace().next()?.parse::<u32>().ok()?;
    let is_of_user = user == killed.user || user == geteuid().as_raw();
    let id = format!("{INVOCATION}={}", killed.invocation);
    let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    let has_id = environment.split(|&byte| byte == 0).any(|variable| variable == id.as_bytes());
    (is_in_session(killed, pid) && !process.has_exited()).then_some(Member { process, is_of_user, has_id })
}

/// Signals the members, and those that they start meanwhile, and waits for their end. Returns those that still run after
/// `timeout`, and adds to `seen` whoever comes.
fn end_members(
    killed: &KilledDaemon,
    signal: Signal,
    timeout: Duration,
    mut members: Vec<Member>,
    seen: &mut Vec<i32>,
) -> Vec<Member> {
    let deadline = Instant::now() + timeout;
    let mut signalled = Vec::new();
    while !members.is_empty() {
        for member in members.iter().filter(|member| member.is_of_user) {
            let pid = member.process.pid();
            if !signalled.contains(&pid) {
                signalled.push(pid);
                let _ = member.process.signal(signal);
            }
            if !seen.contains(&pid) {
                seen.push(pid);
            }
        }
        let left = deadline.saturating_duration_since(Instant::now());
        let has_changed = members.iter().find(|member| member.is_of_user).is_some_and(|m| m.process.wait(Some(left)));
        members = self::members(killed);
        if !has_changed {
            break;
        }
    }
    members
}
