//! What a supervisor tells its worker over the channel, in messages of one line: `STOP=signal`, and `LOG=1 2` with an
//! open file, which takes the place of the descriptors that it names.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use crate::error::{During, Result, Step};
use crate::sys::{fd, passing};

#[derive(Debug, PartialEq, Eq)]
pub enum Order {
    /// Because of this signal; 0: of none.
    Stop(i32),
    /// The supervisor is gone.
    End,
}

/// The worker's ear.
#[derive(Debug)]
pub struct Orders {
    channel: OwnedFd,
    pending: Vec<u8>,
    file: Option<OwnedFd>,
}

impl Orders {
    pub(crate) fn new(channel: OwnedFd) -> Self {
        Self { channel, pending: Vec::new(), file: None }
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
