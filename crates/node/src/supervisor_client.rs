//! Questions to a supervisor, over its control socket.

use std::os::fd::AsFd;

use daemonic_core::descriptors::FIRST_PASSED;
use daemonic_core::supervisor_client;
use daemonic_core::sys::fd::duplicate_raw;
use napi::Env;
use napi::bindgen_prelude::{Either3, Null, Object};
use napi_derive::napi;

use crate::refusal::{Refusal, milliseconds};

/// The user who listens at the other end of a connected Unix socket; null for another kind of socket.
#[napi(catch_unwind)]
pub fn user_of_listener(fd: i32) -> Option<u32> {
    let copy = duplicate_raw(fd, FIRST_PASSED).ok()?;
    supervisor_client::user_of_listener(copy.as_fd()).ok()
}

/// Asks the supervisor `pid` behind a control socket, with a timeout in milliseconds. Resolves with the answer, a line
/// of JSON; null if that process doesn't listen there.
#[napi(catch_unwind, ts_return_type = "Promise<string | Refusal | null>")]
pub fn ask_supervisor(env: &Env, path: String, pid: i32, question: String, timeout: f64) -> napi::Result<Object<'_>> {
    let (deferred, promise) = env.create_deferred()?;
    // A thread of its own: libuv's pool has four.
    std::thread::spawn(move || {
        let answer = supervisor_client::ask(path.as_ref(), pid, &question, milliseconds(timeout));
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
