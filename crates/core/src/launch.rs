//! The launcher's half of a start. Everything that can fail with a good message is done before the first fork.

use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::{Mutex, PoisonError};

use crate::arrival::Role;
use crate::child::{Child, Parent};
use crate::error::{During, Result, Step};
use crate::handover::{Handover, image, pair};
use crate::middle::{self, Leftovers, Middle};
use crate::pending_start::{PendingStart, fork_failure};
use crate::pidfile::{Claim, Sweep, claim};
use crate::plan::{PidFile, Plan, Supervisor};
use crate::resources::Resources;
use crate::sockets::{self, Bound};
use crate::state_file::StateWriter;
use crate::stdio::{Streams, Tail};
use crate::sys::path::c_path;
use crate::sys::signal::{AllBlocked, Captured};
use crate::sys::{fd, fork, memory_file, process};

/// Excludes two starts at once up to their daemons' pids. The middle process of one would hold copies of the other's
/// lock and sockets until it has closed them.
static FORKING: Mutex<()> = Mutex::new(());

/// Starts the daemon of `plan`, up to the moment when its pid is known.
pub fn begin(plan: &Plan) -> Result<PendingStart> {
    let _exclusive = FORKING.lock().unwrap_or_else(PoisonError::into_inner);
    plan.resources.check()?;
    let claimed = plan.pid_file.as_ref().map(|file| claim(&file.path, file.mode, file.overwrite)).transpose()?;
    let sockets = match sockets::bind_all(&plan.listen) {
        Ok(sockets) => sockets,
        Err(error) => {
            if let Some(claim) = claimed {
                claim.abandon();
            }
            return Err(error);
        }
    };
    let leftovers = leftovers(plan, claimed.as_ref(), &sockets);
    fork_middle(plan, claimed, sockets, leftovers.clone()).inspect_err(|_| leftovers.remove())
}

fn fork_middle(plan: &Plan, claimed: Option<Claim>, sockets: Vec<Bound>, leftovers: Leftovers) -> Result<PendingStart> {
    let passed = sockets.len();
    let lowest = Handover::lowest(passed, &plan.preserve);
    let mut streams = Streams::open(plan, lowest)?;
    let tail = streams.tail.take();
    let (channel, to_launcher) = pair(lowest)?;
    let (from_daemon, to_middle) = pair(lowest)?;

    let addresses: Vec<String> = sockets.iter().map(|bound| bound.address.clone()).collect();
    let names = plan.listen.iter().map(|each| each.name.as_str());
    let bound = names.zip(addresses.iter().map(String::as_str));
    let state = plan.state_file.as_ref().map(|state| {
        let known = state.addresses.iter().map(|(name, address)| (name.as_str(), address.as_str()));
        StateWriter::new(state, bound.chain(known))
    });
    let channel_source = to_middle.as_raw_fd();
    let above = |file: OwnedFd, step| fd::duplicate_above(&file, lowest).during(step, "fcntl");
    let handover = Handover {
        streams,
        sockets: sockets
            .into_iter()
            .map(|bound| above(bound.socket, Step::Listen))
            .collect::<std::result::Result<_, _>>()?,
        preserve: preserved(&plan.preserve, lowest)?,
        channel: to_middle,
        config: plan.supervisor.as_ref().map(|supervisor| config_file(supervisor, lowest)).transpose()?,
        pid_file: claimed.map(|claim| above(claim.file, Step::PidFileLock)).transpose()?,
    };
    let (arrangement, marker) = handover.arrange(Role::Daemon)?;

    let stderr_memory = tail.as_ref().filter(|tail| tail.in_memory).map(Tail::descriptor);
    let mut kept = vec![to_launcher.as_raw_fd(), from_daemon.as_raw_fd()];
    kept.extend(stderr_memory);
    kept.sort_unstable();
    let names: Vec<_> = plan.listen.iter().map(|each| each.name.as_str()).collect();
    let marker_text = Some(marker.text(&plan.note));
    let base = process::environment();
    let image = match &plan.supervisor {
        None => image(&plan.program, &plan.arguments, base, &plan.environment, &names, marker_text)?,
        Some(Supervisor { executable, .. }) => {
            let arguments = [executable.to_string_lossy().into_owned()];
            image(executable, &arguments, base, &plan.environment, &names, marker_text)?
        }
    };
    // A supervisor gives the program's directory and resources to its workers, and has the defaults itself.
    let direct = plan.supervisor.is_none();
    let prepared = Middle {
        child: Child {
            image,
            parent: Parent::Middle,
            leads_group: true,
            directory: if direct { c_path(&plan.directory, Step::Chdir)? } else { c"/".to_owned() },
            moves: arrangement.moves().to_vec(),
            kept: arrangement.kept(),
            channel: marker.channel.unwrap_or(channel_source),
            channel_source,
            channel_ends_at_exec: false,
            pid_file: marker.pid_file.zip(plan.pid_file.as_ref().map(|file| file.mode)),
            resources: if direct { plan.resources.clone() } else { Resources::default() },
            context: None,
        },
        child_stack: fork::Stack::allocate(),
        launcher: to_launcher,
        daemon: from_daemon,
        stderr_memory,
        kept,
        leftovers: leftovers.clone(),
        state: state.transpose()?,
        outlives_launcher: plan.outlives_launcher,
    };

    let captured = (!plan.outlives_launcher).then(Captured::new);
    let signals = captured.transpose().during(Step::Signal, "sigaction")?;
    let middle = {
        let _blocked = AllBlocked::new().during(Step::Sigprocmask, "pthread_sigmask")?;
        fork::fork(middle::run, &prepared).map_err(|errno| fork_failure(Step::FirstFork, errno))?
    };
    // Close the launcher's copies of the lock, the sockets and the daemon's channel ends: then only the daemon has
    // them, and they close when it exits.
    drop((prepared, arrangement));
    PendingStart::new(plan, channel, middle, signals, tail, leftovers, addresses)
}

/// Collects the files that are to be removed if the start fails.
fn leftovers(plan: &Plan, claimed: Option<&Claim>, sockets: &[Bound]) -> Leftovers {
    let sweep = |(file, claim): (&PidFile, &Claim)| {
        let sweep = Sweep::of(&file.path, Some(claim.identity), &file.companions)?;
        Some(Sweep { previous: claim.previous.clone(), ..sweep })
    };
    Leftovers {
        pid_file: plan.pid_file.as_ref().zip(claimed).and_then(sweep),
        sockets: sockets.iter().filter_map(|bound| bound.file.clone()).collect(),
    }
}

/// Copies the descriptors of the `preserve` option, each with the number that it keeps.
fn preserved(numbers: &[RawFd], lowest: RawFd) -> Result<Vec<(OwnedFd, RawFd)>> {
    let copy = |&number: &RawFd| Ok((fd::duplicate_raw(number, lowest).during(Step::Dup2, "fcntl")?, number));
    numbers.iter().filter(|&&number| number > 2).map(copy).collect()
}

/// Puts the supervisor's configuration into a memory file.
fn config_file(supervisor: &Supervisor, lowest: RawFd) -> Result<OwnedFd> {
    let file = memory_file::with_text(&supervisor.config).during(Step::Channel, "memfd_create")?;
    Ok(fd::duplicate_above(&file, lowest).during(Step::Channel, "fcntl")?)
}
