//! What crosses exec into a process of ours: descriptors under their numbers, variables, and the marker that tells which
//! is which.

use std::ffi::CString;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::path::Path;

use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, SockType, socketpair};

use crate::arrival::{self, LISTEN_FDNAMES, LISTEN_FDS, LISTEN_PID, Marker, Role};
use crate::descriptors::{Arrangement, FIRST_PASSED};
use crate::error::{During, Failure, Result, Step};
use crate::pidfile::c_path;
use crate::stdio::{Later, Streams};
use crate::sys::fd;
use crate::sys::process::{Image, Variable};

/// Room for the descriptors of ours that follow the sockets: channel, pid file, config, later stdout and stderr.
const OWN_DESCRIPTORS: RawFd = 5;

/// All sources lie at or above [`Handover::lowest`].
pub struct Handover {
    pub streams: Streams,
    pub sockets: Vec<OwnedFd>,
    /// With the numbers that they keep.
    pub preserve: Vec<(OwnedFd, RawFd)>,
    /// The far end of the channel.
    pub channel: OwnedFd,
    pub pid_file: Option<OwnedFd>,
    pub config: Option<OwnedFd>,
}

impl Handover {
    /// Above every number that will be taken, however many of the low ones are to be preserved.
    pub fn lowest(sockets: usize, preserve: &[RawFd]) -> RawFd {
        let count = sockets + preserve.iter().filter(|&&number| number > 2).count();
        FIRST_PASSED + OWN_DESCRIPTORS + RawFd::try_from(count).unwrap_or(0)
    }

    /// Standard streams, sockets and preserved numbers where they belong, ours in what is free.
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

/// A stream socket pair whose ends lie above the numbers that the new process will use.
pub fn pair(lowest: RawFd) -> Result<(OwnedFd, OwnedFd)> {
    let (one, other) = socketpair(AddressFamily::Unix, SockType::Stream, None, fd::SOCKET_FLAGS)
        .during(Step::Channel, "socketpair")?;
    let above = |end: &OwnedFd| fd::duplicate_above(end, lowest).during(Step::Channel, "fcntl");
    Ok((above(&one)?, above(&other)?))
}

/// The program with its arguments, and the environment: `base`, with the changes, and with our variables for `sockets`
/// (sd_listen_fds(3)) and the marker.
pub fn image(
    program: &Path,
    arguments: &[String],
    base: impl Iterator<Item = (Vec<u8>, Vec<u8>)>,
    changes: &[(String, Option<String>)],
    sockets: &[&str],
    marker: Option<String>,
) -> Result<Image> {
    let text = |text: &str| {
        CString::new(text)
            .map_err(|_| Failure::new(Step::Exec, "execve", Errno::EINVAL).because("a NUL in an argument"))
    };
    let arguments = arguments.iter().map(|each| text(each)).collect::<std::result::Result<Vec<_>, _>>()?;
    let ours = [arrival::MARKER, LISTEN_PID, LISTEN_FDS, LISTEN_FDNAMES];
    let changed = |name: &[u8]| {
        ours.iter().any(|each| each.as_bytes() == name) || changes.iter().any(|(each, _)| each.as_bytes() == name)
    };
    let mut variables: Vec<Variable> =
        base.filter(|(name, _)| !changed(name)).map(|(name, value)| plain([name, value].join(&b'='))).collect();
    for (name, value) in changes {
        // Ours win: a second marker would make the daemon take itself for a launcher.
        if let Some(value) = value.as_ref().filter(|_| !ours.contains(&name.as_str())) {
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
        variables.push(Variable { text: format!("{}={marker}", arrival::MARKER).into_bytes(), ends_in_pid: true });
    }
    Ok(Image::new(c_path(program)?, arguments, variables))
}

fn plain(text: Vec<u8>) -> Variable {
    Variable { text, ends_in_pid: false }
}
