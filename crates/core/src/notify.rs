//! Notifications of sd_notify(3) that a supervisor reads from its programs.

/// What a datagram may say. Any process that a worker has started can send one: nothing here asks for a socket, a
/// process or a file.
#[derive(Debug, PartialEq, Eq)]
pub enum Notification {
    /// `READY=1`: the worker can serve.
    Ready,
    /// `STATUS=text`: a status text for people.
    Status(String),
    /// `WATCHDOG=1`: the worker lives.
    Beat,
    /// `STOPPING=1`: the worker exits by its own decision.
    Stopping,
}

impl Notification {
    /// Reads the lines of a datagram, `most` at most; those that a supervisor has no use for are left out.
    pub fn all(datagram: &[u8], most: usize) -> Vec<Self> {
        let lines = datagram.split(|&byte| byte == b'\n').take(most);
        lines.filter_map(|line| Self::parse(&String::from_utf8_lossy(line))).collect()
    }

    fn parse(line: &str) -> Option<Self> {
        Some(match line.split_once('=')? {
            ("READY", "1") => Self::Ready,
            ("STATUS", text) => Self::Status(text.to_owned()),
            ("WATCHDOG", "1") => Self::Beat,
            ("STOPPING", "1") => Self::Stopping,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_datagram_says_nothing_that_a_channel_may_say() {
        let words = b"BIND=1 {}\nSUPERVISION={}\nWISHES={}\nIDLE=1\nFAILURE=1 2\nMAINPID=1\nLOST=1";
        assert_eq!(Notification::all(words, 64), []);
        assert_eq!(
            Notification::all(b"STATUS=a=b\nREADY=1", 64),
            [Notification::Status("a=b".to_owned()), Notification::Ready]
        );
        assert_eq!(Notification::all(b"READY=1\nREADY=1\nREADY=1", 2).len(), 2);
    }
}
