//! What a supervisor tells its worker over the channel, in messages of one line: `STOP=signal`; `LOG=1 2` with an open
//! file, which takes the place of the descriptors that it names; and, as the answer to `BIND=…`, `SOCKET=address` with a
//! listening socket, or `REFUSED=errno path`.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use nix::errno::Errno;

use crate::error::{During, Failure, Result, Step};
use crate::sys::{fd, passing};

/// A supervisor binds at once; one that was stopped may take its time.
const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Debug, PartialEq, Eq)]
pub enum Order {
    /// Because of this signal; 0: of none.
    Stop(i32),
    /// The supervisor is gone.
    End,
}

/// A socket and its address, or why there is none.
type Bound = std::result::Result<(OwnedFd, String), (Errno, PathBuf)>;

/// Where the ear puts what another thread waits for.
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
    pub fn socket(&self) -> Result<(OwnedFd, String)> {
        let bound = self.bound.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.changed.wait_timeout_while(bound, PATIENCE, |bound| bound.is_none());
        let (mut bound, _) = waited.unwrap_or_else(PoisonError::into_inner);
        match bound.take() {
            Some(Ok(bound)) => Ok(bound),
            Some(Err((errno, path))) => Err(Failure::new(Step::Listen, "bind", errno).at(path).into()),
            None => Err(Failure::new(Step::Listen, "recvmsg", Errno::ETIMEDOUT).into()),
        }
    }
}

/// The worker's ear.
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

    /// Blocks until there is one for the program to carry out; logs are exchanged here, whatever the event loop does.
    #[allow(clippy::should_implement_trait)] // it never ends by itself
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
                Ok((0, _)) | Err(_) => return Order::End,
                Ok((length, file)) => {
                    self.pending.extend_from_slice(&buffer[..length]);
                    self.file = file.or(self.file.take());
                }
            }
        }
    }

    fn carry_out(&mut self, line: &str) -> Option<Order> {
        match line.split_once('=')? {
            ("STOP", signal) => Some(Order::Stop(signal.parse().unwrap_or(0))),
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

/// Tells the worker behind `channel` to stop.
pub fn tell_to_stop(channel: BorrowedFd<'_>, signal: i32) -> Result<()> {
    let line = format!("STOP={signal}\n");
    Ok(fd::send_all(channel.as_raw_fd(), line.as_bytes()).during(Step::Channel, "send")?)
}

/// Gives the worker behind `channel` another file for these of its descriptors.
pub fn hand_log(channel: BorrowedFd<'_>, file: BorrowedFd<'_>, numbers: &[RawFd]) -> Result<()> {
    let numbers: Vec<String> = numbers.iter().map(ToString::to_string).collect();
    let line = format!("LOG={}\n", numbers.join(" "));
    Ok(passing::send(channel, line.as_bytes(), file).during(Step::Channel, "sendmsg")?)
}

/// Gives the worker behind `channel` a listening socket.
pub fn hand_socket(channel: BorrowedFd<'_>, socket: BorrowedFd<'_>, address: &str) -> Result<()> {
    let line = format!("SOCKET={address}\n");
    Ok(passing::send(channel, line.as_bytes(), socket).during(Step::Channel, "sendmsg")?)
}

/// Tells the worker behind `channel` why it gets none.
pub fn refuse_socket(channel: BorrowedFd<'_>, errno: Errno, path: &str) -> Result<()> {
    let line = format!("REFUSED={} {}\n", errno as i32, path.replace('\n', "?"));
    Ok(fd::send_all(channel.as_raw_fd(), line.as_bytes()).during(Step::Channel, "send")?)
}
