//! Orders of a supervisor to its worker: messages of one line on the channel.
//!
//! | line | with | means |
//! |---|---|---|
//! | `STOP=signal` | | stop, because of this signal |
//! | `SIGNAL=signal` | | do what the program has mapped this signal to |
//! | `LOG=1 2` | an open file | put the file under these numbers |
//! | `SOCKET=address` | a listening socket | answer to the worker's `BIND=…` |
//! | `REFUSED=errno path` | | answer to the worker's `BIND=…` |

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use nix::errno::Errno;

use crate::error::{During, Failure, Result, Step};
use crate::sys::{fd, passing};

/// Time that the answer to `BIND=…` may take. A supervisor answers at once, unless it was suspended.
const BIND_TIMEOUT: Duration = Duration::from_secs(20);

/// Order that the program itself has to carry out.
#[derive(Debug, PartialEq, Eq)]
pub enum Order {
    /// Stop, because of this signal; 0: without a signal.
    Stop(i32),
    /// Do what the program has mapped this signal to: the supervisor got it.
    Signal(i32),
    /// Exit: the supervisor has died.
    Exit,
}

/// Answer to `BIND=…`: a socket with its address, or why there is none.
type Bound = std::result::Result<(OwnedFd, String), (Errno, PathBuf)>;

/// Passes the answer to `BIND=…` from the thread that reads the orders to the thread that waits for it.
#[derive(Debug, Default)]
pub struct Answers {
    bound: Mutex<Option<Bound>>,
    changed: Condvar,
}

impl Answers {
    fn put(&self, bound: Bound) {
        *self.bound.lock().unwrap_or_else(PoisonError::into_inner) = Some(bound);
        self.changed.notify_all();
    }

    /// Blocks until the answer to `BIND=…` is there.
    pub fn wait_for_socket(&self) -> Result<(OwnedFd, String)> {
        let bound = self.bound.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.changed.wait_timeout_while(bound, BIND_TIMEOUT, |bound| bound.is_none());
        let (mut bound, _) = waited.unwrap_or_else(PoisonError::into_inner);
        match bound.take() {
            Some(Ok(bound)) => Ok(bound),
            Some(Err((errno, path))) => Err(Failure::new(Step::Listen, "bind", errno).at(path).into()),
            None => Err(Failure::new(Step::Listen, "recvmsg", Errno::ETIMEDOUT).into()),
        }
    }
}

/// Reads a supervisor's orders in its worker.
#[derive(Debug)]
pub struct Orders {
    channel: OwnedFd,
    answers: Arc<Answers>,
    pending: Vec<u8>,
    file: Option<OwnedFd>,
}

impl Orders {
    pub(crate) fn new(channel: OwnedFd, answers: Arc<Answers>) -> Self {
        Self { channel, answers, pending: Vec::new(), file: None }
    }

    /// Blocks until there is an order for the program. Orders about logs are carried out here, whatever the event loop
    /// does.
    #[allow(clippy::should_implement_trait)] // the orders never end
    pub fn next(&mut self) -> Order {
        loop {
            while let Some(end) = self.pending.iter().position(|&byte| byte == b'\n') {
                let line: Vec<u8> = self.pending.drain(..=end).collect();
                if let Some(order) = self.carry_out(&String::from_utf8_lossy(&line[..end])) {
                    return order;
                }
            }
            let mut buffer = [0; 256];
            match passing::receive(self.channel.as_fd(), &mut buffer) {
                Ok((0, _)) | Err(_) => return Order::Exit,
                Ok((length, file)) => {
                    self.pending.extend_from_slice(&buffer[..length]);
                    self.file = file.or(self.file.take());
                }
            }
        }
    }

    /// Carries out an order that needs no JavaScript, and returns any other.
    fn carry_out(&mut self, line: &str) -> Option<Order> {
        match line.split_once('=')? {
            ("STOP", signal) => Some(Order::Stop(signal.parse().unwrap_or(0))),
            ("SIGNAL", signal) => signal.parse().ok().map(Order::Signal),
            ("LOG", numbers) => {
                let file = self.file.take()?;
                for number in numbers.split(' ').filter_map(|number| number.parse::<RawFd>().ok()) {
                    if (1..=2).contains(&number) {
                        let _ = fd::place(file.as_raw_fd(), number);
                    }
                }
                None
            }
            ("SOCKET", address) => {
                self.answers.put(Ok((self.file.take()?, address.to_owned())));
                None
            }
            ("REFUSED", why) => {
                let (errno, path) = why.split_once(' ')?;
                self.answers.put(Err((Errno::from_raw(errno.parse().ok()?), path.into())));
                None
            }
            _ => None,
        }
    }
}

/// Orders the worker at the other end of `channel` to stop.
pub fn tell_to_stop(channel: BorrowedFd<'_>, signal: i32) -> Result<()> {
    let line = format!("STOP={signal}\n");
    Ok(fd::send_all(channel.as_raw_fd(), line.as_bytes()).during(Step::Channel, "send")?)
}

/// Passes a signal on to the worker at the other end of `channel`, whose program has mapped it.
pub fn pass_signal_on(channel: BorrowedFd<'_>, signal: i32) -> Result<()> {
    let line = format!("SIGNAL={signal}\n");
    Ok(fd::send_all(channel.as_raw_fd(), line.as_bytes()).during(Step::Channel, "send")?)
}

/// Sends the worker at the other end of `channel` an open file, which replaces these of its descriptors.
pub fn hand_log(channel: BorrowedFd<'_>, file: BorrowedFd<'_>, numbers: &[RawFd]) -> Result<()> {
    let numbers: Vec<String> = numbers.iter().map(ToString::to_string).collect();
    let line = format!("LOG={}\n", numbers.join(" "));
    Ok(passing::send(channel, line.as_bytes(), file).during(Step::Channel, "sendmsg")?)
}

/// Sends the worker at the other end of `channel` a listening socket.
pub fn hand_socket(channel: BorrowedFd<'_>, socket: BorrowedFd<'_>, address: &str) -> Result<()> {
    let line = format!("SOCKET={address}\n");
    Ok(passing::send(channel, line.as_bytes(), socket).during(Step::Channel, "sendmsg")?)
}

/// Reports to the worker at the other end of `channel` why its socket could not be bound.
pub fn refuse_socket(channel: BorrowedFd<'_>, errno: Errno, path: &str) -> Result<()> {
    let line = format!("REFUSED={} {}\n", errno as i32, path.replace('\n', "?"));
    Ok(fd::send_all(channel.as_raw_fd(), line.as_bytes()).during(Step::Channel, "send")?)
}
