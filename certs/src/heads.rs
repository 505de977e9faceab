//! Looks at the headers of HTTP/1.1 requests before hyper does.
//!
//! hyper reads generously: a line may end with LF alone, and where a length is announced in two ways, it forgets one of them
//! (RFC 9112, 2.2 and 6.3, let it). It writes messages of its own on the other side, so nothing can hide in them. But who
//! passes requests on had better not guess what was meant, and here is the only place that sees what was written.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What is wrong with one of a connection's requests, if anything. From then on nothing on the connection is believed.
#[derive(Clone, Default)]
pub(crate) struct Suspicion(Arc<Seen>);

#[derive(Default)]
struct Seen {
    fault: AtomicU8,
    /// Part of a header has come.
    begun: AtomicBool,
}

const REASONS: [&str; 3] = [
    "end each line of the header with CR LF",
    "write a content-length or a transfer-encoding, once, and not both",
    "a header that cannot be read",
];

impl Suspicion {
    pub fn reason(&self) -> Option<&'static str> {
        let number = usize::from(self.0.fault.load(Ordering::Acquire));
        number.checked_sub(1).and_then(|at| REASONS.get(at).copied())
    }

    /// Is a header under way, and not whole? One that does not come is slow; without one, the connection is idle.
    pub fn has_begun(&self) -> bool {
        self.0.begun.load(Ordering::Acquire)
    }

    fn raise(&self, fault: Fault) {
        self.0.fault.store(fault as u8 + 1, Ordering::Release);
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    BareLineFeed = 0,
    TwoLengths = 1,
    Unreadable = 2,
}

/// Where the reader is.
#[derive(Debug, PartialEq, Eq)]
enum At {
    Head,
    /// So many bytes of a body are left.
    Body(u64),
    /// Nothing more is looked at: a body of unknown length, which is the last one of its connection, another protocol, or a
    /// fault.
    End,
}

/// Follows the requests of a connection.
#[derive(Debug)]
struct Heads {
    at: At,
    head: Vec<u8>,
    most: usize,
}

impl Heads {
    fn new(most: usize) -> Self {
        Self {
            at: At::Head,
            head: Vec::new(),
            most,
        }
    }

    fn see(&mut self, mut bytes: &[u8]) -> Result<(), Fault> {
        while !bytes.is_empty() {
            match self.at {
                At::End => return Ok(()),
                At::Body(left) => {
                    let now = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
                    bytes = &bytes[now..];
                    self.at = match left - now as u64 {
                        0 => At::Head,
                        left => At::Body(left),
                    };
                }
                At::Head => bytes = self.see_head(bytes)?,
            }
        }
        Ok(())
    }

    /// Gives what is behind the header, if all of it has come.
    fn see_head<'a>(&mut self, bytes: &'a [u8]) -> Result<&'a [u8], Fault> {
        // Empty lines in front of a request are nobody's (RFC 9112, 2.2).
        let bytes = match self.head.is_empty() {
            true => bytes.trim_ascii_start(),
            false => bytes,
        };
        let before = self.head.len();
        self.head.extend_from_slice(bytes);
        let from = before.saturating_sub(3);
        let end = self.head[from..].windows(4).position(|four| four == b"\r\n\r\n");
        let end = end.map(|at| from + at + 4);
        let seen = &self.head[..end.unwrap_or(self.head.len())];
        let lone = |(at, byte): (usize, &u8)| *byte == b'\n' && (at == 0 || seen[at - 1] != b'\r');
        if seen.iter().enumerate().skip(before).any(lone) {
            return Err(Fault::BareLineFeed);
        }
        let Some(end) = end else {
            if self.head.len() > self.most {
                // hyper answers 431.
                self.stop();
            }
            return Ok(&[]);
        };
        self.at = after(&self.head[..end])?;
        let rest = &bytes[end - before..];
        match self.at {
            At::End => self.stop(),
            _ => self.head.clear(),
        }
        Ok(rest)
    }

    fn stop(&mut self) {
        self.at = At::End;
        self.head = Vec::new();
    }
}

/// What comes behind this header.
fn after(head: &[u8]) -> Result<At, Fault> {
    let (mut lengths, mut chunked, mut upgrade) = (Vec::new(), 0, false);
    for line in head.split(|byte| *byte == b'\n').skip(1) {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else {
            continue;
        };
        let (name, value) = (line[..colon].trim_ascii(), line[colon + 1..].trim_ascii());
        if name.eq_ignore_ascii_case(b"content-length") {
            lengths.push(value);
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            chunked += 1;
        } else if name.eq_ignore_ascii_case(b"upgrade") {
            upgrade = true;
        }
    }
    match (lengths.as_slice(), chunked) {
        ([], 0) if upgrade => Ok(At::End),
        ([], 0) => Ok(At::Head),
        ([], 1) => Ok(At::End),
        ([length], 0) => {
            let digits = !length.is_empty() && length.iter().all(u8::is_ascii_digit);
            let length = std::str::from_utf8(length).ok().filter(|_| digits);
            match length.and_then(|length| length.parse().ok()).ok_or(Fault::Unreadable)? {
                _ if upgrade => Ok(At::End),
                0 => Ok(At::Head),
                length => Ok(At::Body(length)),
            }
        }
        _ => Err(Fault::TwoLengths),
    }
}

/// A stream whose reader is watched.
pub(crate) struct Watched<S> {
    stream: S,
    heads: Heads,
    suspicion: Suspicion,
}

impl<S> Watched<S> {
    /// `most`: longest header that is looked at, in bytes.
    pub fn new(stream: S, most: usize) -> (Self, Suspicion) {
        let suspicion = Suspicion::default();
        let watched = Self {
            stream,
            heads: Heads::new(most),
            suspicion: suspicion.clone(),
        };
        (watched, suspicion)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        let read = Pin::new(&mut this.stream).poll_read(cx, buf);
        if this.heads.at != At::End {
            if let Err(fault) = this.heads.see(&buf.filled()[before..]) {
                this.heads.stop();
                this.suspicion.raise(fault);
            }
            let begun = !this.heads.head.is_empty();
            this.suspicion.0.begun.store(begun, Ordering::Release);
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// In pieces of every size, so that no boundary matters.
    fn see(text: &str) -> Result<(), Fault> {
        let whole = Heads::new(1000).see(text.as_bytes());
        for size in 1..text.len() {
            let mut heads = Heads::new(1000);
            let pieces = text.as_bytes().chunks(size).try_for_each(|piece| heads.see(piece));
            assert_eq!(pieces, whole, "{text:?} in pieces of {size}");
        }
        whole
    }

    #[test]
    fn plain_requests_are_nothing_to_look_at() {
        for good in [
            "GET / HTTP/1.1\r\nhost: a\r\n\r\n",
            "GET / HTTP/1.1\r\nhost: a\r\n\r\n\r\nGET / HTTP/1.1\r\nhost: a\r\n\r\n",
            // A body may hold anything.
            "PUT / HTTP/1.1\r\ncontent-length: 6\r\n\r\na\nb\nc\nGET / HTTP/1.1\r\nhost: a\r\n\r\n",
            "PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\na\n\r\n0\r\n\r\n",
            "GET / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\r\nany\nthing",
        ] {
            assert_eq!(see(good), Ok(()), "{good:?}");
        }
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_refused() {
        for (bad, fault) in [
            ("GET / HTTP/1.1\nhost: a\n\n", Fault::BareLineFeed),
            ("GET / HTTP/1.1\r\nhost: a\nx: y\r\n\r\n", Fault::BareLineFeed),
            (
                "PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n",
                Fault::TwoLengths,
            ),
            (
                "PUT / HTTP/1.1\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
                Fault::TwoLengths,
            ),
            (
                "PUT / HTTP/1.1\r\nContent-Length: 4\r\ncontent-length: 4\r\n\r\nabcd",
                Fault::TwoLengths,
            ),
            (
                "PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n",
                Fault::TwoLengths,
            ),
            ("PUT / HTTP/1.1\r\nContent-Length: +4\r\n\r\nabcd", Fault::Unreadable),
            ("PUT / HTTP/1.1\r\nContent-Length: 4, 4\r\n\r\nabcd", Fault::Unreadable),
            // The second of two requests.
            (
                "PUT / HTTP/1.1\r\nContent-Length: 2\r\n\r\nabGET / HTTP/1.1\nhost: a\r\n\r\n",
                Fault::BareLineFeed,
            ),
        ] {
            assert_eq!(see(bad), Err(fault), "{bad:?}");
        }
    }

    #[test]
    fn a_header_without_end_is_not_kept() {
        let mut heads = Heads::new(1000);
        assert_eq!(heads.see(&[b'x'; 2000]), Ok(()));
        assert!(heads.at == At::End && heads.head.capacity() == 0);
    }
}
