//! Signals to the owners of pid files, and signal dispositions of this process. Each call that waits does so in a
//! thread of its own: libuv's pool has four.

use daemonic_core::signalling::{self, StopRequest as CoreStopRequest};
use napi::Env;
use napi::bindgen_prelude::{Either, Null, Object};
use napi_derive::napi;
use nix::errno::Errno;
use nix::sys::signal::Signal;

use crate::refusal::{Refusal, milliseconds, refusal};

/// Result of a stop.
#[napi(object)]
pub struct StopResult {
    /// Pid of the owner; absent if nothing was running.
    pub pid: Option<i32>,
    /// Whether SIGKILL was sent.
    pub forced: bool,
    /// Whether the owner has exited: false if it outlived the timeout.
    pub ended: bool,
}

/// Terms of a stop.
#[napi(object)]
pub struct StopRequest {
    pub path: String,
    pub companions: Vec<String>,
    /// Number of the signal.
    pub signal: i32,
    /// Time from the signal to SIGKILL, or to giving up, in milliseconds.
    pub timeout: f64,
    /// Whether to send SIGKILL after the timeout.
    pub force: bool,
    /// Pid of the only owner to stop: any other is left alone.
    pub only: Option<i32>,
}

/// Stops the owner of a pid file: signals it, waits until it has exited, and removes stale files.
#[napi(catch_unwind, ts_return_type = "Promise<StopResult | Refusal>")]
pub fn stop_owner(env: &Env, request: StopRequest) -> napi::Result<Object<'_>> {
    let (deferred, promise) = env.create_deferred()?;
    let signal = parse(request.signal)?;
    std::thread::spawn(move || {
        let how = CoreStopRequest {
            signal,
            timeout: milliseconds(request.timeout),
            force: request.force,
            only: request.only,
        };
        let companions: Vec<_> = request.companions.iter().map(Into::into).collect();
        let stopped = signalling::stop(request.path.as_ref(), &companions, how);
        deferred.resolve(move |_| {
            Ok(match stopped {
                Ok(stopped) => {
                    Either::A(StopResult { pid: stopped.pid, forced: stopped.forced, ended: stopped.exited })
                }
                Err(error) => Either::B(Refusal::from(error)),
            })
        });
    });
    Ok(promise)
}

/// Sends one signal to the owner of a pid file; one that isn't meant to end the daemon only once it is ready.
#[napi(catch_unwind, ts_return_type = "Promise<Refusal | null>")]
pub fn signal_owner(env: &Env, path: String, signal: i32) -> napi::Result<Object<'_>> {
    let (deferred, promise) = env.create_deferred()?;
    let signal = parse(signal)?;
    std::thread::spawn(move || {
        let sent = signalling::signal(path.as_ref(), signal);
        deferred.resolve(move |_| {
            Ok(match refusal(sent) {
                Some(refusal) => Either::A(refusal),
                None => Either::B(Null),
            })
        });
    });
    Ok(promise)
}

/// Ignores a signal, or lets it have its default effect.
#[napi(catch_unwind)]
pub fn set_disposition(signal: i32, ignore: bool) -> napi::Result<()> {
    let signal = parse(signal)?;
    let set = if ignore { daemonic_core::sys::signal::ignore } else { daemonic_core::sys::signal::set_default };
    set(signal).map_err(|errno| napi::Error::from_reason(errno.desc()))
}

/// Checks a signal number.
fn parse(signal: i32) -> napi::Result<Signal> {
    signal.try_into().map_err(|_: Errno| napi::Error::from_reason(format!("{signal} is no signal of this system")))
}
