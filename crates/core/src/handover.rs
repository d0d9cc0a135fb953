//! Inheritance of the daemon, a supervisor or a worker over exec: descriptors under fixed numbers, environment
//! variables, and the marker that says which descriptor is which.

use std::ffi::CString;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::path::Path;

use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, SockType, socketpair};

use crate::arrival::{self, LISTEN_FDNAMES, LISTEN_FDS, LISTEN_PID, Marker, Role};
use crate::descriptors::{Arrangement, FIRST_PASSED};
use crate::error::{During, Failure, Result, Step};
use crate::stdio::{Later, Streams};
use crate::sys::exec::{Command, Variable};
use crate::sys::fd;
use crate::sys::path::c_path;

/// Number of descriptors that may follow the sockets: channel, pid file, configuration, later stdout and later stderr.
pub const OWN_DESCRIPTORS: RawFd = 5;

/// Descriptors to be inherited, all numbered [`Handover::lowest`] or above.
pub struct Handover {
    pub streams: Streams,
    pub sockets: Vec<OwnedFd>,
    /// Descriptors from the `preserve` option, each with the number that it keeps.
    pub preserve: Vec<(OwnedFd, RawFd)>,
    /// The new process's end of the channel.
    pub channel: OwnedFd,
    pub pid_file: Option<OwnedFd>,
    pub config: Option<OwnedFd>,
}

impl Handover {
    /// Returns a number above all those that the new process will use, even if every preserved one is low.
    pub fn lowest(sockets: usize, preserve: &[RawFd]) -> RawFd {
        let count = sockets + preserve.iter().filter(|&&number| number > 2).count();
        FIRST_PASSED + OWN_DESCRIPTORS + RawFd::try_from(count).unwrap_or(0)
    }

    /// Gives each descriptor its number: fixed ones to standard streams, sockets and preserved descriptors, the lowest
    /// free ones to the rest.
    pub fn arrange(self, role: Role) -> Result<(Arrangement, Marker)> {
        let mut arrangement = Arrangement::default();
        let Streams { stdin, stdout, stderr, later_stdout, later_stderr, .. } = self.streams;
        for (stream, number) in [stdin, stdout, stderr].into_iter().zip(0..) {
            arrangement.place(stream, number);
        }
        for (socket, number) in self.sockets.into_iter().zip(FIRST_PASSED..) {
            arrangement.place(socket, number);
        }
        for (file, number) in self.preserve {
            arrangement.place(file, number);
        }
        let mut marker = Marker::new(role, self.channel.as_raw_fd())?;
        marker.channel = Some(arrangement.place_next(self.channel));
        marker.pid_file = self.pid_file.map(|file| arrangement.place_next(file));
        marker.config = self.config.map(|file| arrangement.place_next(file));
        marker.stdout_at_call = later_stdout.map(|file| arrangement.place_next(file));
        match later_stderr {
            Later::Never => {}
            Later::AtCall(file) => marker.stderr_at_call = Some(arrangement.place_next(file)),
            Later::AtReady(file) => marker.stderr_at_ready = Some(arrangement.place_next(file)),
        }
        Ok((arrangement, marker))
    }
}

/// Makes a pair of stream sockets, both numbered `lowest` or above.
pub fn pair(lowest: RawFd) -> Result<(OwnedFd, OwnedFd)> {
    let (one, other) = socketpair(AddressFamily::Unix, SockType::Stream, None, fd::SOCKET_FLAGS)
        .during(Step::Channel, "socketpair")?;
    let above = |end: &OwnedFd| fd::duplicate_above(end, lowest).during(Step::Channel, "fcntl");
    Ok((above(&one)?, above(&other)?))
}

/// Prepares a program for execve(2): its path, its arguments, and its environment, which is `base` with the changes, with the
/// variables of sd_listen_fds(3) for `sockets`, and with the marker.
pub fn command<'a>(
    program: &Path,
    arguments: &[String],
    base: impl IntoIterator<Item = &'a (Vec<u8>, Vec<u8>)>,
    changes: &[(String, Option<String>)],
    sockets: &[&str],
    marker: Option<String>,
) -> Result<Command> {
    let text = |text: &str| {
        CString::new(text).map_err(|_| {
            Failure::new(Step::Exec, "execve", Errno::EINVAL).because("an argument or a variable contains a NUL byte")
        })
    };
    let arguments = arguments.iter().map(|each| text(each)).collect::<std::result::Result<Vec<_>, _>>()?;
    let own_variables = [arrival::MARKER, LISTEN_PID, LISTEN_FDS, LISTEN_FDNAMES];
    let changed = |name: &[u8]| {
        own_variables.iter().any(|each| each.as_bytes() == name)
            || changes.iter().any(|(each, _)| each.as_bytes() == name)
    };
    let mut variables: Vec<Variable> =
        base.into_iter().filter(|(name, _)| !changed(name)).map(|variable| plain(joined(variable))).collect();
    for (name, value) in changes {
        // A change can't replace daemonic's own variables: with a wrong marker, the daemon would take itself for a
        // launcher.
        if let Some(value) = value.as_ref().filter(|_| !own_variables.contains(&name.as_str())) {
            let _ = (text(name)?, text(value)?);
            variables.push(plain(format!("{name}={value}").into_bytes()));
        }
    }
    if !sockets.is_empty() {
        variables.push(plain(format!("{LISTEN_FDS}={}", sockets.len()).into_bytes()));
        variables.push(plain(format!("{LISTEN_FDNAMES}={}", sockets.join(":")).into_bytes()));
        variables.push(Variable { text: format!("{LISTEN_PID}=").into_bytes(), ends_in_pid: true });
    }
    if let Some(marker) = marker {
        // First, right behind the arguments: there a title goes on that is longer than they are.
        variables.insert(0, Variable { text: format!("{}={marker}", arrival::MARKER).into_bytes(), ends_in_pid: true });
    }
    Ok(Command { path: c_path(program, Step::Exec)?, arguments, variables })
}

/// Writes a variable as `NAME=value`.
pub fn joined((name, value): &(Vec<u8>, Vec<u8>)) -> Vec<u8> {
    [name.as_slice(), value].join(&b'=')
}

fn plain(text: Vec<u8>) -> Variable {
    Variable { text, ends_in_pid: false }
}
