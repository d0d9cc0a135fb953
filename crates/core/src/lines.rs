//! Lines out of a stream that comes in pieces, from a writer that is not trusted: they take no more memory than
//! [`LONGEST_LINE`] and the piece that was read last, whatever is written.

/// Bytes of the longest line that is read: nothing that daemonic writes is longer. What goes beyond is skipped.
pub const LONGEST_LINE: usize = 16 * 1024;

/// Splits a stream that comes in pieces into lines.
#[derive(Debug, Default)]
pub struct Lines {
    pending: Vec<u8>,
    /// Bytes of `pending` that are known to hold no newline.
    searched: usize,
    /// The line that is being read was too long: the rest of it belongs to no line.
    is_skipping: bool,
}

impl Lines {
    /// Takes the next bytes of the stream.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.pending.extend_from_slice(bytes);
    }

    /// Takes the next complete line, without its newline. More may come after None.
    #[allow(clippy::should_implement_trait)]
    pub fn next(&mut self) -> Option<String> {
        while let Some(end) = self.end_of_line() {
            let line: Vec<u8> = self.pending.drain(..=end).collect();
            self.searched = 0;
            if !std::mem::take(&mut self.is_skipping) {
                return Some(String::from_utf8_lossy(&line[..end]).into_owned());
            }
        }
        if self.pending.len() > LONGEST_LINE {
            self.pending.clear();
            self.searched = 0;
            self.is_skipping = true;
        }
        None
    }

    /// Whether [`next`](Self::next) has a line to give.
    #[must_use]
    pub fn has_next(&self) -> bool {
        self.pending[self.searched..].contains(&b'\n')
    }

    /// The bytes of which no line was taken yet.
    #[must_use]
    pub fn rest(&self) -> &[u8] {
        &self.pending
    }

    fn end_of_line(&mut self) -> Option<usize> {
        let found = self.pending[self.searched..].iter().position(|&byte| byte == b'\n');
        let end = found.map(|after| self.searched + after);
        if end.is_none() {
            self.searched = self.pending.len();
        }
        end
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(lines: &mut Lines) -> Vec<String> {
        std::iter::from_fn(|| lines.next()).collect()
    }

    #[test]
    fn lines_are_found_in_pieces() {
        let mut lines = Lines::default();
        for byte in b"one\ntwo\n\nrest" {
            lines.feed(&[*byte]);
        }
        assert!(lines.has_next());
        assert_eq!(all(&mut lines), ["one", "two", ""]);
        assert!(!lines.has_next());
        assert_eq!(lines.rest(), b"rest");
    }

    #[test]
    fn a_line_that_is_too_long_is_skipped_to_its_end_and_takes_no_memory() {
        let mut lines = Lines::default();
        for _ in 0..1_000 {
            lines.feed(&[b'x'; 4096]);
            assert_eq!(lines.next(), None);
            assert!(lines.pending.capacity() <= 2 * (LONGEST_LINE + 4096));
        }
        lines.feed(b"READY=1\nnext\n");
        assert_eq!(all(&mut lines), ["next"]);
    }
}
