//! SIGUSR2: the supervisor executes itself again, the same or a newer build, under its running workers. Pid, locks,
//! sockets and channels stay; what only the supervisor knows goes to the new image through a memory file.

use std::collections::BTreeSet;
use std::ffi::CString;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use daemonic_core::pidfile::Held;
use daemonic_core::place;
use daemonic_core::service_manager::ServiceManager;
use daemonic_core::stdio::Tail;
use daemonic_core::sys::exec::{Command as Program, Image, Variable};
use daemonic_core::sys::signal::{AllBlocked, Watch};
use daemonic_core::sys::title::Title;
use daemonic_core::sys::{fd, memory_file};
use nix::errno::Errno;
use serde::{Deserialize, Serialize};

use crate::clock::{Millis, now};
use crate::config::{Config, Environment};
use crate::fleet::{Fleet, Level, World};
use crate::listeners::Listener;
use crate::notify_directory::NotifyDirectory;
use crate::notify_socket::NotifySocket;
use crate::readiness_probe::ReadinessProbe;
use crate::real_world::RealWorld;
use crate::worker_processes::WorkerProcess;

/// Argument of the new image: go on from the saved state in the descriptor that the next argument names.
pub const RESUME: &str = "--resume";
/// Argument of a trial run: exit with 0 if the saved state on standard input can be read.
pub const CHECK: &str = "--check-state";

/// How long the trial run of the new executable may take, in milliseconds: ample for a loaded machine, and short enough
/// that workers, who are not served meanwhile, stay unharmed.
const STATE_CHECK_TIMEOUT: Millis = 5_000;
/// How often the supervisor looks whether the trial run has exited.
const STATE_CHECK_POLL: Duration = Duration::from_millis(2);

/// What the new image has to know, with descriptors by number.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct SavedState {
    config: Config,
    fleet: Fleet,
    pid_file: Option<RawFd>,
    listeners: Vec<SavedListener>,
    workers: Vec<SavedWorker>,
    late: [Option<RawFd>; 3],
    manager: Option<ServiceManager>,
    notify_socket: Option<SavedNotifySocket>,
    known_children: BTreeSet<i32>,
}

/// What the supervisor holds of a worker. Its readiness is known: there is no re-execution while a worker boots.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SavedWorker {
    pid: i32,
    channel: Option<RawFd>,
    /// The part of a line that has arrived.
    unread: String,
    /// The memory file that its stderr is, which goes on being cut to its end.
    stderr: Option<RawFd>,
}

/// The socket where programs that speak sd_notify(3) go on writing to: its address, and where its file lies.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SavedNotifySocket {
    socket: RawFd,
    address: String,
    directory: Option<(RawFd, PathBuf, String)>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SavedListener {
    name: String,
    shared: RawFd,
    by_slot: Vec<(usize, RawFd)>,
}

/// The next image of this process, tried and ready to be executed.
pub struct NextImage {
    pub executable: PathBuf,
    image: Image,
    /// Kept open until the exec: the image is to read it.
    _state: OwnedFd,
    inherited: Vec<RawFd>,
}

impl NextImage {
    /// Saves the state, and has the configured executable try to read it.
    pub fn prepare(fleet: &Fleet, world: &RealWorld, notify_socket: Option<&NotifySocket>) -> Result<Self, String> {
        let executable = world.config.executable.clone();
        // What the workers' user put there would run as root.
        let strange = place::first_that_others_can_write(std::slice::from_ref(&executable));
        if let Some(path) = strange.filter(|_| world.config.gives_up_root()) {
            return Err(format!("others than root can write {}", path.display()));
        }
        let text = saved_state(fleet, world, notify_socket)?;
        let state = memory_file::with_text(&text).map_err(|errno| errno.desc().to_owned())?;
        check(&executable, &state)?;
        let image = image(&world.plan.environment, &executable, state.as_raw_fd())?;
        let mut inherited = descriptors(world, notify_socket);
        inherited.push(state.as_raw_fd());
        Ok(Self { executable, image, _state: state, inherited })
    }

    /// Executes the image. Returns only if that fails, with the reason; this process can then go on.
    pub fn execute(&self, watch: &Watch) -> String {
        let errno = self.inherit_and_execute(watch);
        for &number in &self.inherited {
            let _ = fd::close_at_exec(number);
        }
        format!("{}: {}", self.executable.display(), errno.desc())
    }

    fn inherit_and_execute(&self, watch: &Watch) -> Errno {
        for &number in &self.inherited {
            if let Err(errno) = fd::keep_at_exec(number) {
                return errno;
            }
        }
        // Signals wait until the next image watches them. Those that have arrived unread are sent again, to wait too.
        let blocked = match AllBlocked::new() {
            Ok(blocked) => blocked,
            Err(errno) => return errno,
        };
        watch.raise_unread(&[libc::SIGUSR2, libc::SIGCHLD]);
        let errno = self.image.execute();
        drop(blocked);
        errno
    }
}

/// Runs the new executable once, which must be able to read the saved state.
fn check(executable: &Path, state: &OwnedFd) -> Result<(), String> {
    let copy = state.try_clone().map_err(|error| error.to_string())?;
    let mut child = Command::new(executable)
        .arg(CHECK)
        .stdin(Stdio::from(copy))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| format!("{}: {error}", executable.display()))?;
    let deadline = now() + STATE_CHECK_TIMEOUT;
    let mut status = child.try_wait();
    while matches!(status, Ok(None)) && now() < deadline {
        std::thread::sleep(STATE_CHECK_POLL);
        status = child.try_wait();
    }
    match status {
        Ok(Some(status)) if status.success() => Ok(()),
        Ok(None) => {
            let _ = child.kill();
            let _ = child.wait();
            Err(format!("{} did not check the state within {STATE_CHECK_TIMEOUT} ms", executable.display()))
        }
        _ => Err(format!("{} does not understand the state of this one", executable.display())),
    }
}

fn saved_state(fleet: &Fleet, world: &RealWorld, notify_socket: Option<&NotifySocket>) -> Result<String, String> {
    let number = |file: &Option<OwnedFd>| file.as_ref().map(AsRawFd::as_raw_fd);
    let fleet = serde_json::to_value(fleet).and_then(serde_json::from_value).map_err(|error| error.to_string())?;
    let state = SavedState {
        config: world.config.clone(),
        fleet,
        pid_file: world.pid_file.as_ref().and_then(Held::descriptor),
        listeners: world.listeners.iter().map(SavedListener::of).collect(),
        workers: world.workers.iter().map(|(pid, process)| SavedWorker::of(pid, process)).collect(),
        late: [&world.late.stdout_at_call, &world.late.stderr_at_call, &world.late.stderr_at_ready].map(number),
        manager: world.manager.clone(),
        notify_socket: notify_socket.map(SavedNotifySocket::of),
        known_children: world.known_children.clone(),
    };
    serde_json::to_string(&state).map_err(|error| error.to_string())
}

/// Every descriptor that the new image inherits, but the saved state.
fn descriptors(world: &RealWorld, notify_socket: Option<&NotifySocket>) -> Vec<RawFd> {
    let late = [&world.late.stdout_at_call, &world.late.stderr_at_call, &world.late.stderr_at_ready];
    let late = late.into_iter().flatten().map(AsRawFd::as_raw_fd);
    let sockets = world.listeners.iter().flat_map(Listener::descriptors).map(AsRawFd::as_raw_fd);
    let of_workers = world.workers.iter().map(|(pid, process)| SavedWorker::of(pid, process));
    let of_workers = of_workers.flat_map(|saved| [saved.channel, saved.stderr]).flatten();
    let pid_file = world.pid_file.as_ref().and_then(Held::descriptor);
    let notify_socket = notify_socket.map(SavedNotifySocket::of);
    let of_notify =
        notify_socket.iter().flat_map(|saved| [Some(saved.socket), saved.directory.as_ref().map(|each| each.0)]);
    late.chain(sockets).chain(of_workers).chain(pid_file).chain(of_notify.flatten()).collect()
}

fn image(environment: &Environment, executable: &Path, state: RawFd) -> Result<Image, String> {
    let text = |bytes: &[u8]| CString::new(bytes).map_err(|_| "a NUL in a path".to_owned());
    let path = text(executable.as_os_str().as_bytes())?;
    let arguments = vec![path.clone(), text(RESUME.as_bytes())?, text(state.to_string().as_bytes())?];
    let variables = environment
        .iter()
        .map(|(name, value)| Variable { text: [name.as_slice(), value].join(&b'='), ends_in_pid: false })
        .collect();
    Ok(Image::new(Program { path, arguments, variables }))
}

/// Answers [`CHECK`]: whether this executable can go on from the saved state on standard input.
pub fn understands_state_on_stdin() -> bool {
    fd::duplicate_raw(0, 3).is_ok_and(|file| read(&file).is_some())
}

/// Answers [`RESUME`]: restores fleet, world and notify socket from the saved state in a descriptor.
pub fn resume(state: RawFd, environment: Environment) -> nix::Result<(Fleet, RealWorld, Option<NotifySocket>)> {
    let state = read(&fd::adopt(state)).ok_or(Errno::EINVAL)?;
    let own = |number: RawFd| {
        let _ = fd::close_at_exec(number);
        fd::adopt(number)
    };
    let mut world = RealWorld::new(state.config, environment, state.manager, Title::take_over());
    world.pid_file = state.pid_file.zip(world.config.pid_file.as_ref()).and_then(|(number, file)| {
        let held = Held::register(own(number), &file.path).ok()?;
        held.assert_ownership();
        let _ = held.mark_started();
        Some(held)
    });
    world.listeners = state
        .listeners
        .into_iter()
        .map(|saved| {
            let mut listener = Listener::new(saved.name, own(saved.shared), &world.config.sockets);
            listener.by_slot = saved.by_slot.into_iter().map(|(slot, number)| (slot, own(number))).collect();
            listener
        })
        .collect();
    for saved in state.workers {
        let stderr = match saved.stderr {
            Some(number) => Some(Tail::of_memory(own(number))),
            None => world.plan.stderr_log.as_ref().and_then(|log| Tail::of_log(log, world.plan.owner.as_ref())),
        };
        let mut process = WorkerProcess::new(saved.channel.map(own), stderr, ReadinessProbe::Finished);
        process.resume_reading(&saved.unread);
        process.has_exited = state.fleet.is_left(saved.pid);
        world.workers.insert(saved.pid, process);
    }
    world.has_started = true;
    world.known_children = state.known_children;
    let [stdout_at_call, stderr_at_call, stderr_at_ready] = state.late.map(|number| number.map(own));
    world.late.stdout_at_call = stdout_at_call;
    world.late.stderr_at_call = stderr_at_call;
    world.late.stderr_at_ready = stderr_at_ready;
    world.log(Level::Info, "executed anew");
    let notify_socket = state.notify_socket.map(|saved| {
        let directory = saved.directory.map(|(outer, path, inner)| NotifyDirectory::inherited(own(outer), path, inner));
        NotifySocket::inherited(own(saved.socket), saved.address, directory)
    });
    Ok((state.fleet, world, notify_socket))
}

fn read(file: &OwnedFd) -> Option<SavedState> {
    let text = memory_file::text_of(file).ok()?;
    serde_json::from_str(&text).ok()
}

impl SavedListener {
    fn of(listener: &Listener) -> Self {
        Self {
            name: listener.name.clone(),
            shared: listener.shared.as_raw_fd(),
            by_slot: listener.by_slot.iter().map(|(&slot, socket)| (slot, socket.as_raw_fd())).collect(),
        }
    }
}

impl SavedWorker {
    fn of(pid: i32, process: &WorkerProcess) -> Self {
        Self {
            pid,
            channel: process.channel.as_ref().map(AsRawFd::as_raw_fd),
            unread: process.unread(),
            stderr: process.tail.as_ref().filter(|tail| tail.in_memory).map(Tail::descriptor),
        }
    }
}

impl SavedNotifySocket {
    fn of(socket: &NotifySocket) -> Self {
        let directory = socket.directory.as_ref().map(NotifyDirectory::parts);
        Self {
            socket: socket.descriptor().as_raw_fd(),
            address: socket.address.clone(),
            directory: directory.map(|(outer, path, inner)| (outer.as_raw_fd(), path.to_owned(), inner.to_owned())),
        }
    }
}
