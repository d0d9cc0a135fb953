//! The launcher's half of a start: everything that can fail with a good message is done before the first fork.

use std::ffi::CString;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::{Mutex, PoisonError};

use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, SockType, socketpair};

use crate::arrival::{self, LISTEN_FDNAMES, LISTEN_FDS, LISTEN_PID, Marker};
use crate::child::Child;
use crate::descriptors::{Arrangement, FIRST_PASSED};
use crate::error::{During, Failure, Result, Step};
use crate::middle::{self, Leftovers, Middle};
use crate::pidfile::{Claim, Sweep, c_path, claim};
use crate::plan::{PidFile, Plan};
use crate::sockets::{self, Bound};
use crate::starting::Starting;
use crate::state::StateFile;
use crate::stdio::{Later, Streams, Tail};
use crate::sys::fd;
use crate::sys::process::{self, Image, Variable};
use crate::sys::signal::{AllBlocked, Captured};

/// Room for the descriptors of ours that follow the sockets: channel, pid file, later stdout and stderr.
const OWN_DESCRIPTORS: RawFd = 4;

/// One start at a time up to its pid: another one's middle would hold copies of this one's lock and sockets until it has
/// closed them.
static FORKING: Mutex<()> = Mutex::new(());

/// Starts the daemon of `plan`, up to the moment when its pid is known.
pub fn begin(plan: &Plan) -> Result<Starting> {
    let _alone = FORKING.lock().unwrap_or_else(PoisonError::into_inner);
    for limit in &plan.limits {
        limit.check()?;
    }
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

fn fork_middle(plan: &Plan, claimed: Option<Claim>, sockets: Vec<Bound>, leftovers: Leftovers) -> Result<Starting> {
    let passed = RawFd::try_from(sockets.len()).unwrap_or(0);
    // Above every number that will be taken, however many of the low ones are to be preserved.
    let preserved = plan.preserve.iter().filter(|&&number| number > 2);
    let lowest = FIRST_PASSED + passed + OWN_DESCRIPTORS + RawFd::try_from(preserved.clone().count()).unwrap_or(0);
    let streams = Streams::open(plan, lowest)?;
    let (channel, to_launcher) = pair(lowest)?;
    let (from_daemon, to_middle) = pair(lowest)?;

    let addresses: Vec<String> = sockets.iter().map(|bound| bound.address.clone()).collect();
    let names = plan.listen.iter().map(|each| each.name.as_str());
    let state = plan.state.as_ref().map(|state| StateFile::new(state, names.zip(addresses.iter().map(String::as_str))));
    let mut arrangement = Arrangement::default();
    for (stream, number) in [streams.stdin, streams.stdout, streams.stderr].into_iter().zip(0..) {
        arrangement.place(stream, number);
    }
    for (bound, number) in sockets.into_iter().zip(FIRST_PASSED..) {
        arrangement.place(fd::duplicate_above(&bound.socket, lowest).during(Step::Listen, "fcntl")?, number);
    }
    for &number in preserved {
        let copy = fd::duplicate_raw(number, lowest).during(Step::Dup2, "fcntl")?;
        arrangement.place(copy, number);
    }
    let channel_source = to_middle.as_raw_fd();
    let mut marker = Marker::new(channel_source)?;
    marker.channel = arrangement.place_next(to_middle);
    if let Some(claim) = claimed {
        let file = fd::duplicate_above(&claim.file, lowest).during(Step::PidFileLock, "fcntl")?;
        marker.pid_file = Some(arrangement.place_next(file));
    }
    marker.stdout_at_call = streams.later_stdout.map(|file| arrangement.place_next(file));
    match streams.later_stderr {
        Later::Never => {}
        Later::AtCall(file) => marker.stderr_at_call = Some(arrangement.place_next(file)),
        Later::AtReady(file) => marker.stderr_at_ready = Some(arrangement.place_next(file)),
    }

    let stderr_memory = streams.tail.as_ref().filter(|tail| tail.in_memory).map(Tail::descriptor);
    let mut kept = vec![to_launcher.as_raw_fd(), from_daemon.as_raw_fd()];
    kept.extend(stderr_memory);
    kept.sort_unstable();
    let prepared = Middle {
        child: Child {
            image: image(plan, &marker, passed)?,
            directory: c_path(&plan.directory)?,
            moves: arrangement.moves().to_vec(),
            kept: arrangement.kept(),
            channel: marker.channel,
            channel_source,
            pid_file: marker.pid_file,
            limits: plan.limits.clone(),
            nice: plan.nice,
            oom_score_adjust: plan.oom_score_adjust.map(|adjust| adjust.to_string().into_bytes()),
            no_new_privileges: plan.no_new_privileges,
        },
        child_stack: process::Stack::allocate(),
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
        process::fork(middle::run, &prepared).map_err(|errno| fork_failure(Step::FirstFork, errno))?
    };
    // Our copies of the lock, the sockets and the far ends of the channels are closed here: the daemon's are the only
    // ones then, and go when it goes.
    drop((prepared, arrangement));
    Starting::new(plan, channel, middle, signals, streams.tail, leftovers, addresses)
}

/// The program with its arguments, and the environment with our variables: LISTEN_* (sd_listen_fds(3)) and the marker.
fn image(plan: &Plan, marker: &Marker, passed: RawFd) -> Result<Image> {
    let text = |text: &str| {
        CString::new(text)
            .map_err(|_| Failure::new(Step::Exec, "execve", Errno::EINVAL).because("a NUL in an argument"))
    };
    let arguments = plan.arguments.iter().map(|each| text(each)).collect::<std::result::Result<Vec<_>, _>>()?;
    let ours = [arrival::MARKER, LISTEN_PID, LISTEN_FDS, LISTEN_FDNAMES];
    let changed = |name: &[u8]| {
        ours.iter().any(|each| each.as_bytes() == name)
            || plan.environment.iter().any(|(each, _)| each.as_bytes() == name)
    };
    let inherited = plan.inherited.iter().filter(|(name, _)| !changed(name));
    let mut variables: Vec<Variable> =
        inherited.map(|(name, value)| plain([name.as_slice(), value].join(&b'='))).collect();
    for (name, value) in &plan.environment {
        // Ours win: a second marker would make the daemon take itself for a launcher.
        if let Some(value) = value.as_ref().filter(|_| !ours.contains(&name.as_str())) {
            let _ = (text(name)?, text(value)?);
            variables.push(plain(format!("{name}={value}").into_bytes()));
        }
    }
    if passed > 0 {
        let names: Vec<_> = plan.listen.iter().map(|each| each.name.as_str()).collect();
        variables.push(plain(format!("{LISTEN_FDS}={passed}").into_bytes()));
        variables.push(plain(format!("{LISTEN_FDNAMES}={}", names.join(":")).into_bytes()));
        variables.push(Variable { text: format!("{LISTEN_PID}=").into_bytes(), ends_in_pid: true });
    }
    let marker = format!("{}={}", arrival::MARKER, marker.text(&plan.note));
    variables.push(Variable { text: marker.into_bytes(), ends_in_pid: true });
    Ok(Image::new(c_path(&plan.program)?, arguments, variables))
}

fn plain(text: Vec<u8>) -> Variable {
    Variable { text, ends_in_pid: false }
}

fn leftovers(plan: &Plan, claimed: Option<&Claim>, sockets: &[Bound]) -> Leftovers {
    let sweep = |(file, claim): (&PidFile, &Claim)| {
        let companions = file.companions.iter().filter_map(|each| c_path(each).ok()).collect();
        Some(Sweep { name: c_path(&file.path).ok()?, identity: Some(claim.identity), companions })
    };
    Leftovers {
        pid_file: plan.pid_file.as_ref().zip(claimed).and_then(sweep),
        sockets: sockets.iter().filter_map(|bound| bound.file.clone()).collect(),
    }
}

/// A stream socket pair whose ends lie above the numbers that the daemon will use.
fn pair(lowest: RawFd) -> Result<(OwnedFd, OwnedFd)> {
    let (one, other) = socketpair(AddressFamily::Unix, SockType::Stream, None, fd::SOCKET_FLAGS)
        .during(Step::Channel, "socketpair")?;
    let above = |end: &OwnedFd| fd::duplicate_above(end, lowest).during(Step::Channel, "fcntl");
    Ok((above(&one)?, above(&other)?))
}

pub fn fork_failure(step: Step, errno: Errno) -> Failure {
    let failure = Failure::new(step, "fork", errno);
    match errno {
        Errno::EAGAIN | Errno::ENOMEM => failure.because(format!("tried {} times", process::fork_tries())),
        _ => failure,
    }
}
