//! Model check of the locking protocol: `cargo test -p daemonic-core pidfile::model`.
//!
//! Processes are threads that run the protocol's code on a simulated kernel, one system call at a time. A depth-first
//! search goes through all schedules with a bounded number of unforced switches and one crash at any call. Then the
//! parts that the protocol needs are removed one by one, and the same search must find a fault.

use std::collections::HashMap;
use std::ffi::{CStr, CString};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use nix::errno::Errno;

use super::claim;
use super::kernel::{Kernel, Status};
use super::look::{PidFileState, look};
use super::sweep::{Sweep, remove_free};
use crate::error::Error;
use crate::sys::fd::FileId;
use crate::sys::lock::{Access, Holder, LockOwner, Span};

/// Unforced switches in a schedule. Most bugs of this kind need two at the wrong moment; their number makes the search
/// longer exponentially, and so does that of the processes.
const SWITCHES: usize = 3;
const SWITCHES_OF_MANY: usize = 2;
const NAME: &CStr = c"model.pid";
/// Bytes of a file that can be locked.
const BYTES: usize = 5;
/// Pid of a process that may only read.
const READER: u32 = 7;
const COMPANION: &CStr = c"model.json";

/// Part that is removed from the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Without {
    Nothing,
    TheInodeCheck,
    TheSingleRequest,
    TheStartingByte,
    /// The read lock on the old file, under which a replacer compares the path.
    TheReplacersReadLock,
    /// The exclusive lock on the companion file.
    TheReplacersTurn,
    /// The request that names writers alone.
    TheReadRequest,
}

#[derive(Default)]
struct World {
    inodes: Vec<Inode>,
    names: HashMap<CString, usize>,
    opens: usize,
    /// Pids of the processes that believe to own the file, and those of them that are ready.
    holding: Vec<u32>,
    ready: Vec<u32>,
    /// Pids that have been in these lists since a reader began to look.
    held_lately: Vec<u32>,
    ready_lately: Vec<u32>,
    faults: Vec<String>,
    turn: Turn,
}

#[derive(Default)]
struct Inode {
    text: Vec<u8>,
    /// For each byte: the processes that lock it, and the open files that lock it.
    process_locks: [Vec<(u32, Access)>; BYTES],
    open_locks: [Vec<(usize, Access)>; BYTES],
}

/// Next move: the index of the process, and whether it crashes. Granted only when no process is busy between two calls,
/// so that a schedule can be repeated.
#[derive(Default)]
struct Turn {
    granted: Option<(usize, bool)>,
    /// Process that waits for another one: it goes on once that has moved.
    yielded: Option<usize>,
    phases: Vec<Phase>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Busy,
    Waiting,
    Ended,
}

struct Shared {
    world: Mutex<World>,
    moved: Condvar,
}

/// Simulated kernel as one process sees it.
#[derive(Clone)]
struct Simulated {
    shared: Arc<Shared>,
    index: usize,
    without: Without,
}

struct File {
    kernel: Simulated,
    inode: usize,
    open: usize,
}

/// Panic payload that unwinds a crashing process: its descriptors close, as the kernel would close them.
struct Crash;

impl Simulated {
    fn lock_world(&self) -> MutexGuard<'_, World> {
        self.shared.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until this process may move, and makes one system call.
    fn call<T>(&self, body: impl FnOnce(&mut World) -> T) -> T {
        let mut world = self.lock_world();
        world.turn.phases[self.index] = Phase::Waiting;
        self.shared.moved.notify_all();
        loop {
            match world.turn.granted {
                Some((index, crash)) if index == self.index => {
                    world.turn.granted = None;
                    world.turn.phases[self.index] = Phase::Busy;
                    if crash {
                        drop(world);
                        resume_unwind(Box::new(Crash));
                    }
                    return body(&mut world);
                }
                _ => world = self.shared.moved.wait(world).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }

    /// Records something for the test; not a system call.
    fn note(&self, remark: impl FnOnce(&mut World, u32)) {
        remark(&mut self.lock_world(), self.pid());
    }
}

impl Kernel for Simulated {
    type File = File;

    const PATIENCE: u32 = 1;

    fn open(&self, name: &CStr, flags: i32) -> nix::Result<File> {
        self.call(|world| {
            let inode = match world.names.get(name) {
                Some(_) if flags & libc::O_EXCL != 0 => return Err(Errno::EEXIST),
                Some(&inode) => inode,
                None if flags & libc::O_CREAT == 0 => return Err(Errno::ENOENT),
                None => {
                    world.inodes.push(Inode::default());
                    world.names.insert(name.to_owned(), world.inodes.len() - 1);
                    world.inodes.len() - 1
                }
            };
            world.opens += 1;
            Ok(File { kernel: self.clone(), inode, open: world.opens })
        })
    }

    fn status(&self, file: &File) -> nix::Result<Status> {
        self.call(|world| {
            let links = world.names.values().filter(|&&inode| inode == file.inode).count() as u64;
            let owner = nix::unistd::geteuid().as_raw();
            Ok(Status { identity: identity(file.inode), regular: true, links, owner })
        })
    }

    fn named(&self, name: &CStr) -> nix::Result<FileId> {
        self.call(|world| world.names.get(name).copied().map(identity).ok_or(Errno::ENOENT))
    }

    fn names_still(&self, name: &CStr, identity: FileId) -> bool {
        self.without == Without::TheInodeCheck || self.named(name) == Ok(identity)
    }

    fn set_mode(&self, _file: &File, _mode: u32) -> nix::Result<()> {
        Ok(()) // nothing depends on when
    }

    fn lock(&self, file: &File, owner: LockOwner, access: Access, span: Span) -> nix::Result<()> {
        if self.without == Without::TheSingleRequest && span.length == 2 {
            self.lock(file, owner, access, Span { start: 1, length: 1 })?;
            return self.lock(file, owner, access, Span { start: 2, length: 1 });
        }
        let is_read_lock = access == Access::Read && span.length as usize == BYTES;
        if is_read_lock && self.without == Without::TheReplacersReadLock {
            return Ok(());
        }
        let is_turn = span.start == 1 && span.length == 1 && access == Access::Write;
        if is_turn && self.without == Without::TheReplacersTurn {
            return Ok(());
        }
        let span = self.known(span);
        self.call(|world| {
            let inode = &mut world.inodes[file.inode];
            if bytes(span).any(|byte| inode.conflict(byte, owner, access, file, self.pid()).is_some()) {
                return Err(Errno::EAGAIN);
            }
            for byte in bytes(span) {
                match owner {
                    LockOwner::Process => inode.process_locks[byte].push((self.pid(), access)),
                    LockOwner::OpenFile => inode.open_locks[byte].push((file.open, access)),
                }
            }
            Ok(())
        })
    }

    fn unlock(&self, file: &File, _owner: LockOwner, span: Span) -> nix::Result<()> {
        let span = self.known(span);
        self.call(|world| {
            for byte in bytes(span) {
                world.inodes[file.inode].open_locks[byte].retain(|&(open, _)| open != file.open);
            }
        });
        Ok(())
    }

    fn holder(&self, file: &File, owner: LockOwner, access: Access, span: Span) -> nix::Result<Option<Holder>> {
        let span = self.known(span);
        let access = if self.without == Without::TheReadRequest { Access::Write } else { access };
        Ok(self.call(|world| {
            bytes(span).find_map(|byte| world.inodes[file.inode].conflict(byte, owner, access, file, self.pid()))
        }))
    }

    fn text(&self, file: &File, buffer: &mut [u8]) -> nix::Result<usize> {
        self.call(|world| {
            let text = &world.inodes[file.inode].text;
            buffer[..text.len()].copy_from_slice(text);
            Ok(text.len())
        })
    }

    fn rewrite(&self, file: &File, text: &[u8]) -> nix::Result<()> {
        self.call(|world| text.clone_into(&mut world.inodes[file.inode].text));
        Ok(())
    }

    fn unlink(&self, name: &CStr) -> nix::Result<()> {
        self.call(|world| world.names.remove(name).map(drop).ok_or(Errno::ENOENT))
    }

    fn rename(&self, from: &CStr, to: &CStr) -> nix::Result<()> {
        self.call(|world| {
            let inode = world.names.remove(from).ok_or(Errno::ENOENT)?;
            world.names.insert(to.to_owned(), inode);
            Ok(())
        })
    }

    fn link(&self, from: &CStr, to: &CStr) -> nix::Result<()> {
        self.call(|world| {
            let inode = *world.names.get(from).ok_or(Errno::ENOENT)?;
            world.names.insert(to.to_owned(), inode);
            Ok(())
        })
    }

    fn pid(&self) -> u32 {
        pid_of(self.index)
    }

    fn is_private(&self, _path: &Path) -> bool {
        true
    }

    fn pause(&self) {
        self.call(|world| world.turn.yielded = Some(self.index));
    }
}

impl Simulated {
    /// Returns the span without the byte that is removed from the protocol.
    fn known(&self, span: Span) -> Span {
        match (self.without, span.start, span.length) {
            (Without::TheStartingByte, 1, 2) => Span { start: 1, length: 1 },
            (Without::TheStartingByte, 2, 1) => Span { start: 2, length: 0 },
            _ => span,
        }
    }
}

impl Inode {
    /// Finds the lock in the way by the kernel's rule: an open file's lock conflicts with every other open file, a
    /// process's lock with every other process, and two readers never.
    fn conflict(&self, byte: usize, owner: LockOwner, access: Access, file: &File, pid: u32) -> Option<Holder> {
        let conflicts = |other: Access| access == Access::Write || other == Access::Write;
        let by_process = self.process_locks[byte]
            .iter()
            .find(|&&(holder, other)| conflicts(other) && (owner == LockOwner::OpenFile || holder != pid));
        let by_open = self.open_locks[byte]
            .iter()
            .find(|&&(open, other)| conflicts(other) && (owner == LockOwner::Process || open != file.open));
        let holder = |pid, access| Holder { pid, reader: access == Access::Read };
        by_process
            .map(|&(pid, access)| holder(pid.cast_signed(), access))
            .or(by_open.map(|&(_, access)| holder(-1, access)))
    }
}

impl Drop for File {
    /// Closes the file in the same move as the call before: the open file's locks go, and so do all of the process's
    /// locks on that file: close(2).
    fn drop(&mut self) {
        let pid = self.kernel.pid();
        let mut world = self.kernel.lock_world();
        let inode = &mut world.inodes[self.inode];
        for byte in 0..BYTES {
            inode.open_locks[byte].retain(|&(open, _)| open != self.open);
            inode.process_locks[byte].retain(|&(holder, _)| holder != pid);
        }
    }
}

fn bytes(span: Span) -> impl Iterator<Item = usize> {
    usize::from(span.start)..usize::from(span.start) + usize::from(span.length)
}

fn identity(inode: usize) -> FileId {
    FileId { device: 1, inode: inode as u64 }
}

fn pid_of(index: usize) -> u32 {
    100 + u32::try_from(index).unwrap_or(0)
}

// ── The processes ────────────────────────────────────────────────────────────────────────

type Process = fn(&Simulated);

/// Runs a daemon: it claims and owns the file, is ready, and releases it.
fn daemon(kernel: &Simulated) {
    let Some((file, identity)) = start(kernel) else { return };
    stop(kernel, &file, identity, &[]);
}

/// Runs a daemon that has a state file while it owns the pid file.
fn daemon_with_companion(kernel: &Simulated) {
    let Some((file, identity)) = start(kernel) else { return };
    drop(kernel.open(COMPANION, libc::O_CREAT));
    let written = kernel.named(COMPANION).is_ok();
    kernel.note(|world, pid| {
        if !written {
            world.faults.push(format!("{pid} owns the file, and its companion is gone"));
        }
    });
    stop(kernel, &file, identity, &[COMPANION.to_owned()]);
}

fn start(kernel: &Simulated) -> Option<(File, FileId)> {
    let taken = claim::take(kernel, Path::new("model.pid"), NAME);
    kernel.note(|world, pid| match &taken {
        Ok(_) => {
            if !world.holding.is_empty() {
                world.faults.push(format!("{pid} took what {:?} holds", world.holding));
            }
            world.holding.push(pid);
            world.held_lately.push(pid);
        }
        Err(Error::Running { pid: Some(owner), .. }) if owner.cast_unsigned() == READER => {
            world.faults.push(format!("{pid} takes a reader for the owner"));
        }
        Err(Error::Running { .. }) => {}
        Err(error) => world.faults.push(format!("{pid} could not start: {error:?}")),
    });
    let (file, identity) = taken.ok()?;
    if let Err((step, errno)) = claim::own(kernel, &file, 0o644) {
        kernel.note(|world, pid| world.faults.push(format!("{pid} could not own the file: {step:?} {errno}")));
    }
    kernel.note(|world, pid| {
        world.ready.push(pid);
        world.ready_lately.push(pid);
    });
    let _ = claim::unlock_starting(kernel, &file);
    let is_in_place = kernel.named(NAME) == Ok(identity);
    kernel.note(|world, pid| {
        if !is_in_place {
            world.faults.push(format!("{pid} owns the file, and the path names another"));
        }
    });
    Some((file, identity))
}

fn stop(kernel: &Simulated, file: &File, identity: FileId, companions: &[CString]) {
    // From here on the file may be gone at any moment.
    kernel.note(World::leave);
    let _ = claim::remove(kernel, file, NAME, identity, companions, None);
}

/// Ends the process that reads the leftover: its locks go.
fn departing(kernel: &Simulated) {
    kernel.call(|world| {
        world.inodes[0].process_locks.iter_mut().for_each(|locks| locks.retain(|&(pid, _)| pid != READER));
    });
}

/// Looks once: the report must be true of some moment during the look.
fn reader(kernel: &Simulated) {
    kernel.note(|world, _| {
        world.held_lately = world.holding.clone();
        world.ready_lately = world.ready.clone();
    });
    let Ok(file) = kernel.open(NAME, libc::O_RDONLY) else {
        return;
    };
    let Ok(report) = look(kernel, &file, Path::new("model.pid")) else {
        return;
    };
    kernel.note(|world, _| {
        let known = |lately: &[u32]| report.pid.is_some_and(|pid| lately.contains(&pid.cast_unsigned()));
        match report.state {
            PidFileState::Running if world.ready_lately.is_empty() => {
                world.faults.push(format!("{report:?}, but no process was ready"));
            }
            PidFileState::Running | PidFileState::Starting if report.pid.is_some() && !known(&world.held_lately) => {
                world.faults.push(format!("{report:?}, which no process was"));
            }
            _ => {}
        }
    });
}

fn sweeper(kernel: &Simulated) {
    let companions = vec![COMPANION.to_owned()];
    remove_free(kernel, &Sweep { name: NAME.to_owned(), identity: None, companions, previous: None });
}

/// Sweeps once more where there may be no pid file left.
fn sweeps_twice(kernel: &Simulated) {
    sweeper(kernel);
    sweeper(kernel);
}

/// Removes the companions where there is no pid file, without the lock that keeps a start away.
fn sweeps_without_a_lock(kernel: &Simulated) {
    sweeper(kernel);
    if matches!(kernel.open(NAME, libc::O_RDWR), Err(Errno::ENOENT)) {
        let _ = kernel.unlink(COMPANION);
    }
}

impl World {
    fn leave(&mut self, pid: u32) {
        self.holding.retain(|&each| each != pid);
        // A reader that looks now may have begun before: the lately lists keep the pid.
        self.ready.retain(|&each| each != pid);
    }
}

// ── The search ───────────────────────────────────────────────────────────────────────────

/// Point of a schedule with a choice: which way was taken, out of how many.
struct Choice {
    taken: usize,
    of: usize,
}

/// Searches all schedules for a fault. Returns the first fault, and the number of schedules that were run.
fn search(without: Without, read: bool, processes: &[Process]) -> (Option<String>, usize) {
    let mut path: Vec<Choice> = Vec::new();
    for schedules in 1.. {
        if let Some(fault) = run(without, read, processes, &mut path) {
            return (Some(fault), schedules);
        }
        // The next schedule differs in the last choice that has another way left.
        while path.last().is_some_and(|choice| choice.taken + 1 == choice.of) {
            path.pop();
        }
        match path.last_mut() {
            Some(choice) => choice.taken += 1,
            None => return (None, schedules),
        }
    }
    unreachable!("schedules are finite")
}

/// Leftover of a daemon that has exited. With `read`, another user's process keeps read locks on all of its bytes.
fn leftover(text: &[u8], read: bool) -> Inode {
    let mut inode = Inode { text: text.to_owned(), ..Inode::default() };
    if read {
        inode.process_locks.iter_mut().for_each(|locks| locks.push((READER, Access::Read)));
    }
    inode
}

/// Runs one schedule: the choices of `path`, then the first way at every further choice, which is added to `path`.
fn run(without: Without, read: bool, processes: &[Process], path: &mut Vec<Choice>) -> Option<String> {
    let stale = leftover(STALE, read);
    let turn = Turn { phases: vec![Phase::Busy; processes.len()], ..Turn::default() };
    let names = HashMap::from([(NAME.to_owned(), 0)]);
    let world = World { inodes: vec![stale], names, turn, ..World::default() };
    let shared = Arc::new(Shared { world: Mutex::new(world), moved: Condvar::new() });
    thread::scope(|scope| {
        for (index, &process) in processes.iter().enumerate() {
            let kernel = Simulated { shared: Arc::clone(&shared), index, without };
            scope.spawn(move || {
                // A simulated crash unwinds too; any other panic is a fault.
                if let Err(payload) = catch_unwind(AssertUnwindSafe(|| process(&kernel)))
                    && !payload.is::<Crash>()
                {
                    kernel.note(|world, pid| world.faults.push(format!("{pid} panicked")));
                }
                let mut world = kernel.lock_world();
                world.leave(pid_of(index));
                world.turn.phases[index] = Phase::Ended;
                kernel.shared.moved.notify_all();
            });
        }
        let switches = if processes.len() > 2 || read { SWITCHES_OF_MANY } else { SWITCHES };
        direct(&shared, switches, path);
    });
    let world = shared.world.lock().unwrap_or_else(PoisonError::into_inner);
    world.faults.first().cloned()
}

/// Grants moves until all processes have ended.
fn direct(shared: &Shared, mut switches_left: usize, path: &mut Vec<Choice>) {
    let (mut depth, mut last, mut crashed) = (0, 0, false);
    loop {
        let mut world = shared.world.lock().unwrap_or_else(PoisonError::into_inner);
        while world.turn.granted.is_some() || world.turn.phases.contains(&Phase::Busy) {
            world = shared.moved.wait(world).unwrap_or_else(PoisonError::into_inner);
        }
        let running: Vec<usize> =
            (0..world.turn.phases.len()).filter(|&index| world.turn.phases[index] == Phase::Waiting).collect();
        if running.is_empty() {
            return;
        }
        // The first way is to go on with the same process; then come switches, while there are some left, and the crash
        // of that process.
        let yields = world.turn.yielded.take() == Some(last) && running.len() > 1;
        let goes_on = running.contains(&last) && !yields;
        let mut options: Vec<(usize, bool)> = if goes_on { vec![(last, false)] } else { Vec::new() };
        if !goes_on || switches_left > 0 {
            options.extend(running.iter().filter(|&&index| index != last).map(|&index| (index, false)));
        }
        if goes_on && !crashed {
            options.push((last, true));
        }
        if depth == path.len() {
            path.push(Choice { taken: 0, of: options.len() });
        }
        let (index, crash) = options[path[depth].taken];
        depth += 1;
        switches_left -= usize::from(goes_on && index != last);
        crashed |= crash;
        last = index;
        world.turn.granted = Some((index, crash));
        shared.moved.notify_all();
    }
}

// ── What is found ────────────────────────────────────────────────────────────────────────

const STALE: &[u8] = b"99\n";

fn assert_sound(processes: &[Process]) {
    assert_sound_with(false, processes);
}

fn assert_sound_with(read: bool, processes: &[Process]) {
    let (fault, schedules) = search(Without::Nothing, read, processes);
    assert_eq!(fault, None);
    assert!(schedules > 100, "only {schedules} schedules were searched");
}

fn assert_needed(without: Without, processes: &[Process]) {
    assert_needed_with(without, false, processes);
}

fn assert_needed_with(without: Without, read: bool, processes: &[Process]) {
    let (fault, _) = search(without, read, processes);
    assert!(fault.is_some(), "nothing is wrong without {without:?}");
}

#[test]
fn two_daemons_never_hold_the_file_together_however_they_come_and_crash() {
    assert_sound(&[daemon, daemon]);
}

#[test]
fn a_reader_is_told_the_truth_of_some_moment() {
    assert_sound(&[daemon, reader]);
}

#[test]
fn a_sweeper_never_takes_a_file_away_from_its_owner() {
    assert_sound(&[daemon, sweeper, daemon]);
}

#[test]
fn without_the_inode_check_two_hold_it() {
    assert_needed(Without::TheInodeCheck, &[daemon, daemon, daemon]);
}

#[test]
fn without_the_single_request_a_start_looks_ready() {
    assert_needed(Without::TheSingleRequest, &[daemon, reader]);
}

#[test]
fn without_the_starting_byte_a_start_looks_ready() {
    assert_needed(Without::TheStartingByte, &[daemon, reader]);
}

#[test]
fn a_reader_neither_stops_a_start_nor_is_taken_for_its_owner() {
    assert_sound_with(true, &[daemon, reader]);
    assert_eq!(search(Without::Nothing, true, &[daemon, departing]).0, None);
}

#[test]
fn two_replacers_and_an_owner_among_readers_never_hold_the_file_together() {
    assert_sound_with(true, &[daemon, daemon]);
}

#[test]
fn a_sweeper_never_removes_the_companions_of_an_owner() {
    assert_sound(&[daemon_with_companion, sweeper]);
    assert_sound(&[sweeps_twice, daemon_with_companion]);
}

#[test]
fn without_the_sweepers_lock_an_owner_loses_its_companions() {
    assert_needed(Without::Nothing, &[sweeps_without_a_lock, daemon_with_companion]);
}

#[test]
fn without_the_replacers_read_lock_an_owner_is_replaced() {
    assert_needed_with(Without::TheReplacersReadLock, true, &[daemon, departing, daemon]);
}

#[test]
fn without_the_replacers_turn_an_owner_is_replaced() {
    assert_needed_with(Without::TheReplacersTurn, true, &[daemon, daemon]);
}

#[test]
fn without_the_request_for_reading_a_reader_is_taken_for_the_owner() {
    assert_needed_with(Without::TheReadRequest, true, &[daemon]);
}
