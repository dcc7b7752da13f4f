//! Frames: one log entry with N orders, or with N news of orders' lives.
//!
//! Wire form: magic `SGF`, version byte, CRC-32C of the body (big endian), body length, protobuf
//! body. Magic, version, checksum and length stay where they are in every version, so that a frame
//! of a newer one is told from garbage. A reader takes its own version and the one before. Entries
//! are an order (mode `full` publishes a held order, `abort` asks for its rejection), a barrier, a
//! tick, or news of a life, which have partitions of their own. Golden bytes in the tests hold the
//! form still. INV-14 speaks about `full` entries.

use bytes::Bytes;
use prost::Message;

use crate::life::{LifeNews, NewsError, UNREADABLE};

/// First bytes of every frame.
pub const MAGIC: [u8; 3] = *b"SGF";
/// The version that is written; this and the one before are read.
pub const VERSION: u8 = 1;
/// The most orders of one frame.
pub const MAX_ORDERS: usize = 256;
/// The largest frame in bytes.
pub const MAX_BYTES: usize = 256 * 1024;
const HEADER: usize = 12;
/// The highest kind of entry of this version.
const LAST_KIND: u32 = UNREADABLE;
/// A frame of one tick is not longer.
const TICK_BYTES: usize = HEADER + 32;

/// What the writer is asked to do with an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mode {
    /// Every line is held: claim them.
    Full,
    /// Reject the anchor unless it is claimed already.
    Abort,
}

/// An order's immutable bytes and the Redis time of its first reserve: what holds, frames and
/// the ledger carry from place to place unchanged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    /// Redis time of the first reserve, ms.
    pub t_ms: u64,
    /// [`crate::Payload::encode`].
    pub payload: Bytes,
}

/// One entry of a frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// An order.
    Order(Mode, Sealed),
    /// Everything before it in the partition is finished once the writer marks it seen.
    Barrier(String),
    /// Lets progress move: what was published before this time, UTC ms of database 0, stands
    /// before it in the partition.
    Tick(u64),
    /// What a provider or a warehouse told of an order.
    News(LifeNews),
}

/// Why bytes are not a frame.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// No magic, or shorter than a header.
    #[error("not a frame")]
    Magic,
    /// A version this program does not read.
    #[error("frame version {0}")]
    Version(u8),
    /// The checksum does not match.
    #[error("checksum")]
    Checksum,
    /// The body does not parse or breaks a bound.
    #[error("body: {0}")]
    Body(String),
    /// An entry of a kind that this program does not know.
    #[error("entry kind {0}")]
    Kind(u32),
}

impl FrameError {
    /// True for a whole frame that a newer program wrote: that one can read it, so it must wait.
    /// Anything else is garbage to every version.
    pub fn is_newer(&self) -> bool {
        match self {
            Self::Version(v) => *v > VERSION,
            Self::Kind(kind) => *kind > LAST_KIND,
            Self::Magic | Self::Checksum | Self::Body(_) => false,
        }
    }
}

/// Encodes entries; the caller keeps [`MAX_ORDERS`] and [`MAX_BYTES`].
pub fn encode(items: &[Item]) -> Bytes {
    let body = FrameWire { items: items.iter().map(to_wire).collect() };
    let len = body.encoded_len();
    let mut out = Vec::with_capacity(HEADER + len);
    out.extend_from_slice(&MAGIC);
    out.push(VERSION);
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&(len as u32).to_be_bytes());
    body.encode(&mut out).expect("a Vec grows");
    let crc = crc32c::crc32c(&out[HEADER..]);
    out[4..8].copy_from_slice(&crc.to_be_bytes());
    out.into()
}

/// Decodes a frame and checks magic, version, length and checksum.
pub fn decode(bytes: &[u8]) -> Result<Vec<Item>, FrameError> {
    let Some((header, body)) = bytes.split_at_checked(HEADER) else {
        return Err(FrameError::Magic);
    };
    if header[..3] != MAGIC {
        return Err(FrameError::Magic);
    }
    let len = u32::from_be_bytes([header[8], header[9], header[10], header[11]]) as usize;
    let crc = u32::from_be_bytes([header[4], header[5], header[6], header[7]]);
    if len != body.len() || crc32c::crc32c(body) != crc {
        return Err(FrameError::Checksum);
    }
    let version = header[3];
    if version == 0 || version > VERSION || version + 1 < VERSION {
        return Err(FrameError::Version(version));
    }
    let wire = FrameWire::decode(body).map_err(|e| FrameError::Body(e.to_string()))?;
    if wire.items.len() > MAX_ORDERS {
        return Err(FrameError::Body(format!("{} entries", wire.items.len())));
    }
    wire.items.into_iter().map(from_wire).collect()
}

/// The time of a frame that is nothing but a tick.
pub fn tick(bytes: &[u8]) -> Option<u64> {
    if bytes.len() > TICK_BYTES {
        return None;
    }
    match decode(bytes).ok()?.as_slice() {
        [Item::Tick(at)] => Some(*at),
        _ => None,
    }
}

/// What an order adds to a frame's size, at most.
pub fn order_size(payload_len: usize) -> usize {
    payload_len + 24
}

/// Packs entries into as few frames as the bounds allow; order is kept.
pub fn pack(items: &[Item]) -> Vec<Bytes> {
    let mut out = Vec::new();
    let (mut from, mut bytes) = (0, 0);
    for (i, item) in items.iter().enumerate() {
        let size = match item {
            Item::Order(_, sealed) => order_size(sealed.payload.len()),
            Item::News(news) => order_size(news.encode().len()),
            Item::Barrier(_) | Item::Tick(_) => 128,
        };
        if i > from && (i - from >= MAX_ORDERS || bytes + size > MAX_BYTES - 64) {
            out.push(encode(&items[from..i]));
            (from, bytes) = (i, 0);
        }
        bytes += size;
    }
    if from < items.len() {
        out.push(encode(&items[from..]));
    }
    out
}

fn to_wire(item: &Item) -> ItemWire {
    let mut w = ItemWire::default();
    match item {
        Item::Order(mode, sealed) => {
            w.kind = if *mode == Mode::Full { 1 } else { 2 };
            w.payload = sealed.payload.clone();
            w.time_ms = sealed.t_ms;
        }
        Item::Barrier(id) => (w.kind, w.barrier) = (3, id.clone()),
        Item::Tick(at) => (w.kind, w.time_ms) = (4, *at),
        Item::News(news) => (w.kind, w.payload) = (news.kind(), news.encode()),
    }
    w
}

fn from_wire(w: ItemWire) -> Result<Item, FrameError> {
    let sealed = |w: ItemWire| Sealed { t_ms: w.time_ms, payload: w.payload };
    match w.kind {
        1 => Ok(Item::Order(Mode::Full, sealed(w))),
        2 => Ok(Item::Order(Mode::Abort, sealed(w))),
        3 => Ok(Item::Barrier(w.barrier)),
        4 => Ok(Item::Tick(w.time_ms)),
        n if n == 0 || n > LAST_KIND => Err(FrameError::Kind(n)),
        n => LifeNews::decode(n, &w.payload).map(Item::News).map_err(|e| match e {
            NewsError::Newer(what) => FrameError::Kind(what.saturating_add(LAST_KIND + 1)),
            NewsError::Garbage(what) => FrameError::Body(what),
        }),
    }
}

#[derive(Clone, PartialEq, Message)]
struct FrameWire {
    #[prost(message, repeated, tag = "1")]
    items: Vec<ItemWire>,
}

#[derive(Clone, PartialEq, Message)]
struct ItemWire {
    #[prost(uint32, tag = "1")]
    kind: u32,
    #[prost(bytes = "bytes", tag = "2")]
    payload: Bytes,
    #[prost(uint64, tag = "3")]
    time_ms: u64,
    #[prost(string, tag = "4")]
    barrier: String,
}
