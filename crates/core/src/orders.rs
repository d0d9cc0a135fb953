//! Orders of a supervisor to its worker, and answers to what it asked for: messages of one line on the channel.
//!
//! | line | with | means |
//! |---|---|---|
//! | `STOP=signal` | | stop, because of this signal |
//! | `SIGNAL=signal` | | do what the program has mapped this signal to |
//! | `LOG=1 2` | an open file | put the file under these numbers |
//! | `SOCKET=number address` | a listening socket | answer to the worker's `BIND=number …` |
//! | `GRANTED=number` | | answer to the worker's `WISHES=number …`: it was heard |
//! | `REFUSED=number errno path` | | answer to the worker's `BIND=number …` |

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nix::errno::Errno;

use crate::error::{During, Failure, Result, Step};
use crate::lines::Lines;
use crate::sys::{fd, passing};

/// Time that an answer may take. A supervisor answers at once, unless it was suspended.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);
/// Pause before the channel is read again where the system had no room for what came.
const PAUSE: Duration = Duration::from_millis(100);

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

/// What a supervisor answers to a request.
#[derive(Debug)]
enum Answer {
    /// A socket with its address.
    Socket(OwnedFd, String),
    /// The wishes were heard.
    Granted,
    Refused(Errno, PathBuf),
}

/// Passes an answer from the thread that reads the orders to the thread that waits for it.
#[derive(Debug, Default)]
pub struct Answers {
    asked: Mutex<Asked>,
    changed: Condvar,
}

/// What was asked for last. An answer to an earlier request, which was waited for in vain, is dropped.
#[derive(Debug, Default)]
struct Asked {
    request: u64,
    answer: Option<Answer>,
}

impl Answers {
    /// Returns the number of a new request.
    pub fn expect(&self) -> u64 {
        let mut asked = self.lock();
        asked.request += 1;
        asked.answer = None;
        asked.request
    }

    fn put(&self, request: u64, answer: Answer) {
        let mut asked = self.lock();
        if asked.request == request {
            asked.answer = Some(answer);
            self.changed.notify_all();
        }
    }

    /// Blocks until the socket is there that was asked for last.
    pub fn wait_for_socket(&self) -> Result<(OwnedFd, String)> {
        match self.wait() {
            Some(Answer::Socket(socket, address)) => Ok((socket, address)),
            Some(Answer::Refused(errno, path)) => Err(Failure::new(Step::Listen, "bind", errno).at(path).into()),
            Some(Answer::Granted) | None => Err(Failure::new(Step::Listen, "recvmsg", Errno::ETIMEDOUT).into()),
        }
    }

    /// Blocks until the supervisor has heard the wishes that were sent last.
    pub fn wait_for_grant(&self) -> Result<()> {
        match self.wait() {
            Some(Answer::Granted) => Ok(()),
            _ => Err(Failure::new(Step::Channel, "recvmsg", Errno::ETIMEDOUT).into()),
        }
    }

    fn wait(&self) -> Option<Answer> {
        let waited = self.changed.wait_timeout_while(self.lock(), ANSWER_TIMEOUT, |asked| asked.answer.is_none());
        let (mut asked, _) = waited.unwrap_or_else(PoisonError::into_inner);
        asked.request += 1; // the answer may still come, and is too late then
        asked.answer.take()
    }

    fn lock(&self) -> MutexGuard<'_, Asked> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads a supervisor's orders in its worker.
#[derive(Debug)]
pub struct Orders {
    channel: OwnedFd,
    answers: Arc<Answers>,
    lines: Lines,
    file: Option<OwnedFd>,
}

impl Orders {
    pub(crate) fn new(channel: OwnedFd, answers: Arc<Answers>) -> Self {
        Self { channel, answers, lines: Lines::default(), file: None }
    }

    /// Blocks until there is an order for the program. Orders about logs are carried out here, whatever the event loop
    /// does.
    #[allow(clippy::should_implement_trait)] // the orders never end
    pub fn next(&mut self) -> Order {
        loop {
            while let Some(line) = self.lines.next() {
                if let Some(order) = self.carry_out(&line) {
                    return order;
                }
            }
            let mut buffer = [0; 256];
            match passing::receive(self.channel.as_fd(), &mut buffer) {
                Ok(received) if received.length == 0 => return Order::Exit,
                Ok(received) => {
                    self.lines.feed(&buffer[..received.length]);
                    self.file = if received.lost_file { None } else { received.file.or(self.file.take()) };
                }
                // The program has closed the descriptor: no order can come.
                Err(Errno::EBADF | Errno::ENOTSOCK) => return Order::Exit,
                // No room, for a descriptor or in memory, is not the end of the supervisor: only a read of 0 is.
                Err(_) => std::thread::sleep(PAUSE),
            }
        }
    }

    /// Carries out an order that needs no JavaScript, and returns any other.
    fn carry_out(&mut self, line: &str) -> Option<Order> {
        match line.split_once('=')? {
            ("STOP", signal) => Some(Order::Stop(signal.parse().unwrap_or(0))),
            ("SIGNAL", signal) => signal.parse().ok().map(Order::Signal),
            ("LOG", numbers) => {
                match self.file.take() {
                    Some(file) => replace(numbers, &file),
                    // The supervisor hands it over again later.
                    None => self.report_lost(numbers),
                }
                None
            }
            ("SOCKET", answer) => {
                let (request, address) = answer.split_once(' ')?;
                let answer = match self.file.take() {
                    Some(file) => Answer::Socket(file, address.to_owned()),
                    None => Answer::Refused(Errno::EMFILE, address.into()),
                };
                self.answers.put(request.parse().ok()?, answer);
                None
            }
            ("GRANTED", request) => {
                self.answers.put(request.parse().ok()?, Answer::Granted);
                None
            }
            ("REFUSED", answer) => {
                let mut words = answer.splitn(3, ' ');
                let request = words.next()?.parse().ok()?;
                let errno = Errno::from_raw(words.next()?.parse().ok()?);
                self.answers.put(request, Answer::Refused(errno, words.next()?.into()));
                None
            }
            _ => None,
        }
    }

    fn report_lost(&self, numbers: &str) {
        let _ = fd::send_now(self.channel.as_raw_fd(), format!("LOST={numbers}\n").as_bytes());
    }
}

/// Puts a log file under these numbers, if they are those of outputs.
fn replace(numbers: &str, file: &OwnedFd) {
    for number in numbers.split(' ').filter_map(|number| number.parse::<RawFd>().ok()) {
        if (1..=2).contains(&number) {
            let _ = fd::place(file.as_raw_fd(), number);
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

/// Answers a worker's request by a listening socket.
pub fn hand_socket(channel: BorrowedFd<'_>, request: u64, socket: BorrowedFd<'_>, address: &str) -> Result<()> {
    let line = format!("SOCKET={request} {address}\n");
    Ok(passing::send(channel, line.as_bytes(), socket).during(Step::Channel, "sendmsg")?)
}

/// Tells a worker that its wishes were heard.
pub fn grant(channel: BorrowedFd<'_>, request: u64) -> Result<()> {
    let line = format!("GRANTED={request}\n");
    Ok(fd::send_all(channel.as_raw_fd(), line.as_bytes()).during(Step::Channel, "send")?)
}

/// Answers a worker's request by the reason why its socket could not be bound.
pub fn refuse_socket(channel: BorrowedFd<'_>, request: u64, errno: Errno, path: &str) -> Result<()> {
    let line = format!("REFUSED={request} {} {}\n", errno as i32, path.replace('\n', "?"));
    Ok(fd::send_all(channel.as_raw_fd(), line.as_bytes()).during(Step::Channel, "send")?)
}

#[cfg(test)]
mod tests {
    use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};

    use super::*;

    fn connected() -> (OwnedFd, Orders) {
        let kind = (AddressFamily::Unix, SockType::Stream);
        let (near, far) = socketpair(kind.0, kind.1, None, SockFlag::SOCK_CLOEXEC).unwrap();
        (near, Orders::new(far, Arc::default()))
    }

    #[test]
    fn a_late_answer_does_not_satisfy_the_next_request() {
        let (supervisor, mut orders) = connected();
        let answers = Arc::clone(&orders.answers);
        let first = answers.expect();
        let second = answers.expect();
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        for (request, address) in [(first, "/first"), (second, "/second")] {
            hand_socket(supervisor.as_fd(), request, socket.as_fd(), address).unwrap();
        }
        refuse_socket(supervisor.as_fd(), first, Errno::EADDRINUSE, "/first").unwrap();
        drop(supervisor);
        assert_eq!(orders.next(), Order::Exit);
        assert_eq!(answers.wait_for_socket().unwrap().1, "/second");
    }

    #[test]
    fn a_socket_that_could_not_be_received_is_an_answer_all_the_same() {
        let (supervisor, mut orders) = connected();
        let request = orders.answers.expect();
        fd::send_all(supervisor.as_raw_fd(), format!("SOCKET={request} /a b\n").as_bytes()).unwrap();
        drop(supervisor);
        assert_eq!(orders.next(), Order::Exit);
        let crate::error::Error::System(failure) = orders.answers.wait_for_socket().unwrap_err() else { panic!() };
        assert_eq!((failure.errno, failure.path), (Errno::EMFILE, Some(PathBuf::from("/a b"))));
    }
}
