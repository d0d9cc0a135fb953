//! The daemon's side of a start, and its sockets.

use std::os::fd::IntoRawFd;

use daemonic_core::arrival::{self, Arrival as CoreArrival, Role};
use daemonic_core::descriptors::FIRST_PASSED;
use daemonic_core::error::{During, Step};
use daemonic_core::orders::Order;
use daemonic_core::pidfile::Held;
use daemonic_core::sockets::{SocketKind, address_of, kind_of};
use daemonic_core::sys::fd::duplicate_raw;
use napi::bindgen_prelude::{Either, Function};
use napi::threadsafe_function::ThreadsafeFunctionCallMode;
use napi_derive::napi;

use crate::pid_file::PidFile;
use crate::refusal::{Answer, Refusal, answer, refusal};

/// Everything that a launcher or a supervisor passed to this process.
#[napi]
pub struct Arrival {
    arrival: CoreArrival,
}

/// Listening socket with its name and its address.
#[napi(object)]
pub struct Socket {
    pub name: String,
    pub fd: i32,
    pub address: String,
}

/// Takes everything that the launcher passed to this process; null if the marker was not made for it. Call it once.
#[napi(catch_unwind)]
pub fn arrive(marker: String) -> Option<Arrival> {
    CoreArrival::take(&marker).map(|arrival| Arrival { arrival })
}

#[napi]
impl Arrival {
    /// JSON from the launcher's side of the call.
    #[napi(getter, catch_unwind)]
    pub fn note(&self) -> String {
        self.arrival.note.clone()
    }

    /// Pid of the process that forked this one.
    #[napi(getter, catch_unwind)]
    pub fn parent(&self) -> u32 {
        self.arrival.parent
    }

    /// Whether a supervisor started this process.
    #[napi(getter, catch_unwind)]
    pub fn is_worker(&self) -> bool {
        self.arrival.role == Role::Worker
    }

    /// Writes a line to the supervisor.
    #[napi(catch_unwind)]
    pub fn say(&self, line: String) {
        self.arrival.say(&line);
    }

    /// Writes to the launcher or supervisor what a start that takes long waits for.
    #[napi(catch_unwind)]
    pub fn waits_for(&self, what: String) {
        self.arrival.waits_for(&what);
    }

    /// Has the supervisor bind a socket. `listen` is its plan, as JSON.
    #[napi(catch_unwind)]
    pub fn bind(&self, name: String, listen: String) -> Answer<Socket> {
        answer(self.arrival.bind(&listen).map(|(socket, address)| Socket { name, fd: socket.into_raw_fd(), address }))
    }

    /// Tells the supervisor how the program wants to be supervised, as JSON, and waits until it was heard.
    #[napi(catch_unwind)]
    pub fn wish(&self, wishes: String) -> Option<Refusal> {
        refusal(self.arrival.wish(&wishes))
    }

    /// Reads the supervisor's orders in a thread of its own. `stop` gets the number of the signal, 0 for none; `signal` that
    /// of a signal that the program maps. If the supervisor dies, this process exits at once.
    #[napi(catch_unwind)]
    pub fn listen(&self, stop: Function<'_, i32, ()>, signal: Function<'_, i32, ()>) -> napi::Result<()> {
        let Ok(Some(mut orders)) = self.arrival.orders() else { return Ok(()) };
        let stop = stop.build_threadsafe_function().weak::<true>().build()?;
        let signal = signal.build_threadsafe_function().weak::<true>().build()?;
        std::thread::spawn(move || {
            loop {
                match orders.next() {
                    Order::Stop(number) => {
                        stop.call(number, ThreadsafeFunctionCallMode::NonBlocking);
                    }
                    Order::Signal(number) => {
                        signal.call(number, ThreadsafeFunctionCallMode::NonBlocking);
                    }
                    Order::Exit => daemonic_core::sys::process::exit_now(1),
                }
            }
        });
        Ok(())
    }

    /// Takes over the pid file that the launcher has locked for this process; null if there is none.
    #[napi(catch_unwind)]
    pub fn pid_file(&mut self, path: String) -> Option<Answer<PidFile>> {
        let file = self.arrival.pid_file.take()?;
        Some(answer(Held::register(file, path.as_ref())))
    }

    /// Redirects the outputs that had to wait for the call of daemonize().
    #[napi(catch_unwind)]
    pub fn take_streams(&mut self) -> Option<Refusal> {
        refusal(self.arrival.take_streams())
    }

    /// Completes the start: the daemon is ready. `by_program`: the program said so itself.
    #[napi(catch_unwind)]
    pub fn ready(&mut self, pid_file: Option<&PidFile>, by_program: bool) -> Option<Refusal> {
        refusal(self.arrival.ready(pid_file.map(PidFile::held_file), by_program))
    }

    /// Reports to the launcher what failed here, so that it throws the same error.
    #[napi(catch_unwind)]
    pub fn fail(&self, step: String, errno: i32, path: Option<String>) {
        let failure = arrival::failure(&step, errno);
        self.arrival.fail(failure.step, failure.errno, path.as_deref());
    }
}

/// Lists the sockets that were passed to this process by $LISTEN_FDS.
#[napi(catch_unwind)]
pub fn passed_sockets() -> Vec<Socket> {
    arrival::passed_sockets(FIRST_PASSED)
        .into_iter()
        .map(|(name, fd)| Socket { name, fd, address: address_of(fd) })
        .collect()
}

/// Tells what kind of socket descriptor `fd` is; null for another file.
#[napi(catch_unwind, ts_return_type = "'listening' | 'connection' | 'datagram' | null")]
pub fn socket_kind(fd: i32) -> Option<&'static str> {
    Some(match kind_of(fd)? {
        SocketKind::Listening => "listening",
        SocketKind::Connection => "connection",
        SocketKind::Datagram => "datagram",
    })
}

/// Returns the address of a socket: HOST:PORT, or a path.
#[napi(catch_unwind)]
pub fn socket_address(fd: i32) -> String {
    address_of(fd)
}

/// Duplicates a descriptor, closed at exec.
#[napi(catch_unwind)]
pub fn duplicate_descriptor(fd: i32) -> Answer<i32> {
    let copy = duplicate_raw(fd, FIRST_PASSED).during(Step::Listen, "fcntl");
    answer(copy.map(IntoRawFd::into_raw_fd).map_err(Into::into))
}

/// Binds sockets in this very process, where nothing detaches.
#[napi(catch_unwind)]
pub fn bind_sockets(listen: Vec<crate::plan::ListenPlan>) -> Answer<Vec<Socket>> {
    let bound = crate::plan::sockets_of(listen).and_then(|listen| {
        let names: Vec<_> = listen.iter().map(|each| each.name.clone()).collect();
        Ok(names.into_iter().zip(daemonic_core::sockets::bind_all(&listen)?).collect::<Vec<_>>())
    });
    match bound {
        Ok(bound) => Either::A(
            bound
                .into_iter()
                .map(|(name, bound)| Socket { name, fd: bound.socket.into_raw_fd(), address: bound.address })
                .collect(),
        ),
        Err(error) => Either::B(error.into()),
    }
}
