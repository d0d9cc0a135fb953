//! The launcher's half of a start. Everything that can fail with a good message is done before the first process is
//! started.

use std::ffi::CString;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::time::Duration;

use crate::arrival::Role;
use crate::error::{During, Result, Step};
use crate::handover::{Handover, OWN_DESCRIPTORS, command, joined, pair};
use crate::log_file::MadeLog;
use crate::middle::{self, Leftovers};
use crate::middle_order::{MiddleOrder, Numbering};
use crate::own_executable;
use crate::pending_start::PendingStart;
use crate::pidfile::{Claim, Sweep, claim};
use crate::plan::{PidFile, Plan, Supervisor};
use crate::remnants;
use crate::resources::Resources;
use crate::sockets::{self, Bound};
use crate::state_file::StateWriter;
use crate::stdio::{Streams, Tail};
use crate::sys::path::c_path;
use crate::sys::signal::Captured;
use crate::sys::{fd, memory_file};

/// Number of descriptors that only the middle process has: two channels, the memory file of stderr, and the order.
const MIDDLE_DESCRIPTORS: RawFd = 4;

/// Starts the daemon of `plan`, up to the moment when its pid is known, or until `timeout` has passed.
pub fn begin(plan: &Plan, timeout: Duration) -> Result<PendingStart> {
    plan.resources.check()?;
    own_executable::open(&plan.executable)?;
    // Before the pid file: a signal that killed this process would leave its files.
    let captured = (!plan.outlives_launcher).then(Captured::new);
    let signals = captured.transpose().during(Step::Signal, "sigaction")?;
    let claimed = plan.pid_file.as_ref().map(|file| claim(&file.path, file.mode, file.overwrite)).transpose()?;
    let remnants = remnants::clear_away(plan);
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
    let mut made = Vec::new();
    let started = start_middle(plan, claimed, sockets, leftovers.clone(), signals, &mut made).inspect_err(|_| {
        leftovers.remove();
        made.iter().for_each(MadeLog::remove_if_empty);
    })?;
    let mut start = started.with_pid(made, timeout)?;
    start.in_the_way = remnants.left;
    Ok(start)
}

fn start_middle(
    plan: &Plan,
    claimed: Option<Claim>,
    sockets: Vec<Bound>,
    leftovers: Leftovers,
    signals: Option<Captured>,
    made: &mut Vec<MadeLog>,
) -> Result<PendingStart> {
    // The numbers of the daemon come first, those of the middle follow, those of the launcher lie above both.
    let first = Handover::lowest(sockets.len(), &plan.preserve);
    let inherited = sockets.len() + 2 * plan.preserve.len();
    let lowest = first + 3 + OWN_DESCRIPTORS + MIDDLE_DESCRIPTORS + RawFd::try_from(inherited).unwrap_or(0);
    let above = |file: OwnedFd, step| fd::duplicate_above(&file, lowest).during(step, "fcntl");

    let mut streams = Streams::open(plan, lowest, made)?;
    let tail = streams.tail.take();
    let (channel, to_launcher) = pair(lowest)?;
    let (from_daemon, to_middle) = pair(lowest)?;
    let stderr_memory = tail.as_ref().filter(|tail| tail.in_memory).map(Tail::descriptor);
    let stderr_memory =
        stderr_memory.map(|file| fd::duplicate_raw(file, lowest)).transpose().during(Step::Log, "fcntl")?;

    let addresses: Vec<String> = sockets.iter().map(|bound| bound.address.clone()).collect();
    let names = plan.listen.iter().map(|each| each.name.as_str());
    let bound = names.zip(addresses.iter().map(String::as_str));
    let state = plan.state_file.as_ref().map(|state| {
        let known = state.addresses.iter().map(|(name, address)| (name.as_str(), address.as_str()));
        StateWriter::new(state, bound.chain(known))
    });
    let channel_source = to_middle.as_raw_fd();
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

    let mut numbering = Numbering::from(first, &plan.preserve);
    let mut give = |file: &OwnedFd| numbering.give(file.as_raw_fd());
    let (launcher, daemon) = (give(&to_launcher), give(&from_daemon));
    let stderr_memory_number = stderr_memory.as_ref().map(&mut give);
    let moves = arrangement.moves().iter().map(|&(source, target)| (numbering.give(source), target)).collect();

    let names: Vec<_> = plan.listen.iter().map(|each| each.name.as_str()).collect();
    let marker_text = Some(marker.text(&plan.note));
    let own_arguments;
    let (program, arguments) = match &plan.supervisor {
        None => (&plan.program, &plan.arguments),
        Some(Supervisor { executable, .. }) => {
            own_arguments = vec![executable.to_string_lossy().into_owned()];
            (executable, &own_arguments)
        }
    };
    // A supervisor gives the program's directory and resources to its workers, and has the defaults itself.
    let direct = plan.supervisor.is_none();
    let order = MiddleOrder {
        command: command(program, arguments, &plan.inherited, &plan.environment, &names, marker_text)?,
        directory: if direct { c_path(&plan.directory, Step::Chdir)? } else { c"/".to_owned() },
        moves,
        channel: marker.channel.unwrap_or(channel_source),
        pid_file: marker.pid_file.zip(plan.pid_file.as_ref().map(|file| file.mode)),
        resources: if direct { plan.resources.clone() } else { Resources::default() },
        executes_supervisor: !direct,
        launcher,
        daemon,
        stderr_memory: stderr_memory_number,
        leftovers: leftovers.clone(),
        state: state.transpose()?,
        outlives_launcher: plan.outlives_launcher,
    };
    let order = above(order.write()?, Step::Channel)?;
    let order_number = numbering.give(order.as_raw_fd());

    // The launcher's own environment: programs that look after processes know them by it.
    let environment: Vec<_> = plan.inherited.iter().filter_map(|each| CString::new(joined(each)).ok()).collect();
    let name = c_path(&plan.executable, Step::Executable)?;
    let arguments = middle::arguments(name, order_number, launcher);
    let middle = own_executable::start(&plan.executable, &arguments, &environment, numbering.pairs(), lowest)?;
    // Close the launcher's copies of the lock, the sockets and the daemon's channel ends: then only the daemon has
    // them, and they close when it exits.
    drop((arrangement, to_launcher, from_daemon, stderr_memory, order));
    Ok(PendingStart::new(plan, channel, middle, signals, tail, leftovers, addresses))
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
