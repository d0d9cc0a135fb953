//! Node's event loop, run from inside a call of the binding.

use std::ffi::c_void;

const UV_RUN_ONCE: libc::c_int = 1;

/// Runs the calling thread's `uv_loop_t`, as Node gives it, until it has handled an event. False without libuv.
pub fn run_once(event_loop: *mut c_void) -> bool {
    // SAFETY: dlsym(3) takes a C string, and looks in what is loaded.
    let symbol = unsafe { libc::dlsym(libc::RTLD_DEFAULT, c"uv_run".as_ptr()) };
    if symbol.is_null() {
        return false;
    }
    // SAFETY: libuv's stable interface: int uv_run(uv_loop_t*, uv_run_mode).
    let run: extern "C" fn(*mut c_void, libc::c_int) -> libc::c_int = unsafe { std::mem::transmute(symbol) };
    run(event_loop, UV_RUN_ONCE);
    true
}
