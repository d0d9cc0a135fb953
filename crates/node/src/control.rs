//! Acting on other processes, each wait in a thread of its own: libuv's pool has four.

use daemonic_core::control::{self, Stopping};
use napi::Env;
use napi::bindgen_prelude::{Either, Either3, Null, Object};
use napi_derive::napi;
use nix::errno::Errno;
use nix::sys::signal::Signal;

use crate::refusal::{Refusal, milliseconds, refusal};

#[napi(object)]
pub struct StopResult {
    /// Absent: nothing was running.
    pub pid: Option<i32>,
    pub forced: bool,
    /// False: it outlived the timeout.
    pub ended: bool,
}

#[napi(object)]
pub struct StopRequest {
    pub path: String,
    pub companions: Vec<String>,
    /// Its number.
    pub signal: i32,
    /// Milliseconds.
    pub timeout: f64,
    pub force: bool,
    /// Stops nobody but this one.
    pub only: Option<i32>,
}

#[napi(catch_unwind, ts_return_type = "Promise<StopResult | Refusal>")]
pub fn stop_owner(env: &Env, request: StopRequest) -> napi::Result<Object<'_>> {
    let (deferred, promise) = env.create_deferred()?;
    let signal = parse(request.signal)?;
    std::thread::spawn(move || {
        let how = Stopping { signal, timeout: milliseconds(request.timeout), force: request.force, only: request.only };
        let companions: Vec<_> = request.companions.iter().map(Into::into).collect();
        let stopped = control::stop(request.path.as_ref(), &companions, how);
        deferred.resolve(move |_| {
            Ok(match stopped {
                Ok(stopped) => Either::A(StopResult { pid: stopped.pid, forced: stopped.forced, ended: stopped.ended }),
                Err(error) => Either::B(Refusal::from(error)),
            })
        });
    });
    Ok(promise)
}

/// Sends one signal to the owner, after its start if it wouldn't survive it before.
#[napi(catch_unwind, ts_return_type = "Promise<Refusal | null>")]
pub fn signal_owner(env: &Env, path: String, signal: i32) -> napi::Result<Object<'_>> {
    let (deferred, promise) = env.create_deferred()?;
    let signal = parse(signal)?;
    std::thread::spawn(move || {
        let sent = control::signal(path.as_ref(), signal);
        deferred.resolve(move |_| {
            Ok(match refusal(sent) {
                Some(refusal) => Either::A(refusal),
                None => Either::B(Null),
            })
        });
    });
    Ok(promise)
}

/// Asks the supervisor `pid` behind a control socket: its answer, a line of JSON; null: nobody listens. Milliseconds.
#[napi(catch_unwind, ts_return_type = "Promise<string | Refusal | null>")]
pub fn ask_supervisor(env: &Env, path: String, pid: i32, question: String, timeout: f64) -> napi::Result<Object<'_>> {
    let (deferred, promise) = env.create_deferred()?;
    std::thread::spawn(move || {
        let answer = daemonic_core::asking::ask(path.as_ref(), pid, &question, milliseconds(timeout));
        deferred.resolve(move |_| {
            Ok(match answer {
                Ok(Some(text)) => Either3::A(text),
                Ok(None) => Either3::C(Null),
                Err(error) => Either3::B(Refusal::from(error)),
            })
        });
    });
    Ok(promise)
}

/// Ignores a signal, or lets it do what it does by default.
#[napi(catch_unwind)]
pub fn set_disposition(signal: i32, ignore: bool) -> napi::Result<()> {
    let signal = parse(signal)?;
    let set = if ignore { daemonic_core::sys::signal::ignore } else { daemonic_core::sys::signal::set_default };
    set(signal).map_err(|errno| napi::Error::from_reason(errno.desc()))
}

/// Ends the process without anything that runs at exit.
#[napi]
pub fn exit_now(code: i32) {
    daemonic_core::sys::process::exit_now(code)
}

fn parse(signal: i32) -> napi::Result<Signal> {
    signal.try_into().map_err(|_: Errno| napi::Error::from_reason(format!("no such signal: {signal}")))
}
