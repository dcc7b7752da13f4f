//! What an HTTP/2 connection owes its client, read off its frames.
//!
//! An answer of which the client takes no more (a window of 0) lies in the library, out of sight of
//! its caller, while the connection looks alive: pings are answered. So frames are followed in both
//! directions, their heads only: a stream whose answer has begun is owed from then until its end
//! was sent or the client gave it up. Answers here are whole when they begin, so how long one is
//! owed is up to the client alone.

use std::collections::{BTreeSet, VecDeque};

use tokio::time::Instant;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RESET: u8 = 3;
const END_STREAM: u8 = 1;

/// The preface of a client, before its frames.
const PREFACE: usize = 24;

/// One connection's frames.
pub(crate) struct Wire {
    incoming: Frames,
    outgoing: Frames,
    /// Streams whose answer has begun, and when; the library bounds how many there are.
    owed: VecDeque<(u32, Instant)>,
    /// Streams that the client gave up before their answer began: a head may be on its way still,
    /// and nothing follows it. The latest ones.
    given_up: BTreeSet<u32>,
}

/// More are not on their way at once: the library ends connections that give up so many.
const GIVEN_UP: usize = 1024;

impl Wire {
    pub(crate) fn new() -> Self {
        let incoming = Frames { skip: PREFACE, ..Frames::default() };
        let (outgoing, owed) = (Frames::default(), VecDeque::new());
        Self { incoming, outgoing, owed, given_up: BTreeSet::new() }
    }

    /// Bytes came.
    pub(crate) fn came(&mut self, bytes: &[u8]) {
        let (owed, given_up) = (&mut self.owed, &mut self.given_up);
        self.incoming.feed(bytes, |kind, _, stream| {
            if kind == RESET {
                owed.retain(|(id, _)| *id != stream);
                given_up.insert(stream);
                if given_up.len() > GIVEN_UP {
                    given_up.pop_first();
                }
            }
        });
    }

    /// Bytes went.
    pub(crate) fn went(&mut self, bytes: &[u8], now: Instant) {
        let (owed, given_up) = (&mut self.owed, &self.given_up);
        self.outgoing.feed(bytes, |kind, flags, stream| {
            let ends =
                kind == RESET || ((kind == DATA || kind == HEADERS) && flags & END_STREAM != 0);
            if ends || kind == HEADERS {
                owed.retain(|(id, _)| *id != stream);
            }
            if kind == HEADERS && !ends && !given_up.contains(&stream) {
                owed.push_back((stream, now));
            }
        });
    }

    /// Since when the oldest answer is owed.
    pub(crate) fn owed_since(&self) -> Option<Instant> {
        self.owed.front().map(|(_, since)| *since)
    }
}

/// Finds the heads of frames in a stream of bytes.
#[derive(Default)]
struct Frames {
    head: [u8; 9],
    have: usize,
    skip: usize,
}

impl Frames {
    /// Tells kind, flags and stream of every head that becomes whole.
    fn feed(&mut self, mut bytes: &[u8], mut seen: impl FnMut(u8, u8, u32)) {
        while !bytes.is_empty() {
            let n = if self.skip > 0 {
                let n = self.skip.min(bytes.len());
                self.skip -= n;
                n
            } else {
                let n = (self.head.len() - self.have).min(bytes.len());
                self.head[self.have..self.have + n].copy_from_slice(&bytes[..n]);
                self.have += n;
                n
            };
            bytes = &bytes[n..];
            if self.have == self.head.len() {
                let [a, b, c, kind, flags, s @ ..] = self.head;
                self.have = 0;
                self.skip = u32::from_be_bytes([0, a, b, c]) as usize;
                seen(kind, flags, u32::from_be_bytes(s) & 0x7fff_ffff);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, stream: u32, payload: usize) -> Vec<u8> {
        let mut out = (payload as u32).to_be_bytes()[1..].to_vec();
        out.extend([kind, flags]);
        out.extend(stream.to_be_bytes());
        out.resize(9 + payload, 3);
        out
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_is_owed_from_its_head_to_its_end() {
        let step = std::time::Duration::from_secs(1);
        for cut in [1, 2, 9, 10, 1000] {
            let mut wire = Wire::new();
            let went = |wire: &mut Wire, bytes: Vec<u8>| {
                bytes.chunks(cut).for_each(|b| wire.went(b, Instant::now()));
                wire.owed_since()
            };
            let came = |wire: &mut Wire, bytes: Vec<u8>| {
                bytes.chunks(cut).for_each(|b| wire.came(b));
                wire.owed_since()
            };
            let begins = [vec![0; PREFACE], frame(4, 0, 0, 12), frame(HEADERS, 5, 1, 30)].concat();
            assert_eq!(came(&mut wire, begins), None);
            assert_eq!(went(&mut wire, frame(4, 0, 0, 6)), None);
            let first = Some(Instant::now());
            assert_eq!(went(&mut wire, frame(HEADERS, 4, 1, 20)), first);
            tokio::time::advance(step).await;
            let second = Some(Instant::now());
            assert_eq!(went(&mut wire, frame(HEADERS, 4, 3, 20)), first);
            assert_eq!(went(&mut wire, frame(DATA, 0, 1, 300)), first);
            assert_eq!(went(&mut wire, frame(6, 1, 0, 8)), first);
            assert_eq!(went(&mut wire, frame(DATA, END_STREAM, 1, 300)), second);
            // A head that ends its stream owes nothing; a client may give up.
            assert_eq!(went(&mut wire, frame(HEADERS, 5, 5, 20)), second);
            assert_eq!(came(&mut wire, frame(8, 0, 3, 4)), second);
            assert_eq!(came(&mut wire, frame(RESET, 0, 3, 4)), None);
            assert_eq!(went(&mut wire, frame(HEADERS, 4, 7, 20)), Some(Instant::now()));
            assert_eq!(went(&mut wire, frame(RESET, 0, 7, 4)), None);
            // Given up before its answer's head, which was on its way already.
            assert_eq!(came(&mut wire, frame(RESET, 0, 9, 4)), None);
            assert_eq!(went(&mut wire, frame(HEADERS, 4, 9, 20)), None);
            assert_eq!(went(&mut wire, frame(HEADERS, 4, 11, 20)), Some(Instant::now()));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_given_up_is_bounded() {
        let mut wire = Wire::new();
        wire.came(&[0; PREFACE]);
        for stream in 0..5000 {
            wire.came(&frame(RESET, 0, stream * 2 + 1, 4));
        }
        assert_eq!(wire.given_up.len(), GIVEN_UP);
        assert!(wire.given_up.contains(&9999));
    }
}
