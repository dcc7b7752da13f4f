//! The scripts, their names, and the call that one of them gets.
//!
//! Every key of a call carries the cell's hash tag, so a call never leaves its slot. Sources are
//! compiled in: two processes of one build run the same Lua.

use std::fmt::Write;
use std::ops::Range;

use bytes::{Bytes, BytesMut};
use domain::CellId;

/// One Lua script.
#[derive(Debug)]
pub struct Script {
    /// The stem of its file.
    pub name: &'static str,
    /// The Lua source.
    pub source: &'static str,
    /// Its place in [`ALL`].
    pub index: usize,
}

macro_rules! scripts {
    ($($konst:ident $stem:literal $index:literal;)*) => {
        $(
            #[doc = concat!("`", $stem, ".lua`.")]
            pub static $konst: Script = Script {
                name: $stem,
                source: include_str!(concat!("../lua/", $stem, ".lua")),
                index: $index,
            };
        )*
        /// Every script, by its index.
        pub static ALL: [&Script; 14] = [$(&$konst,)*];
    };
}

scripts! {
    RESERVE "reserve" 0;
    APPLY "apply" 1;
    RESOLVE "resolve" 2;
    CANCEL "cancel" 3;
    FENCE "fence" 4;
    UNSEAL "unseal" 5;
    TICKET "ticket" 6;
    STAGE "stage" 7;
    LOAD "load" 8;
    MEND "mend" 9;
    DROP "drop" 10;
    SNAPSHOT "snapshot" 11;
    SCAN "scan" 12;
    LOOKUP "lookup" 13;
}

/// A script with its keys and arguments.
#[derive(Debug, Clone)]
pub struct Call {
    /// Which script.
    pub script: &'static Script,
    /// KEYS, all in one slot; at least one.
    pub keys: Vec<Bytes>,
    /// ARGV, one behind the other: a call of 256 orders has 772 of them, too many to allocate each.
    packed: BytesMut,
    /// Where each argument ends in `packed`.
    ends: Vec<usize>,
}

impl Call {
    /// A call with keys named by their short suffixes.
    pub(crate) fn new(script: &'static Script, cell: &CellId, keys: &[&str]) -> Self {
        let keys = keys.iter().map(|k| Bytes::from(format!("{{{cell}}}:{k}"))).collect();
        Self { script, keys, packed: BytesMut::new(), ends: Vec::new() }
    }

    /// With room for `n` arguments, most of them short.
    pub(crate) fn room(mut self, n: usize) -> Self {
        self.ends.reserve(n);
        self.packed.reserve(96 * n);
        self
    }

    /// Adds raw bytes.
    pub(crate) fn bytes(&mut self, b: &[u8]) {
        self.packed.extend_from_slice(b);
        self.ends.push(self.packed.len());
    }

    /// Adds a text form.
    pub(crate) fn text(&mut self, x: impl std::fmt::Display) {
        self.open(x);
        self.ends.push(self.packed.len());
    }

    /// Begins an argument that the next one completes.
    pub(crate) fn open(&mut self, x: impl std::fmt::Display) {
        // A buffer that grows takes everything.
        let _ = write!(self.packed, "{x}");
    }

    /// Adds a constant.
    pub(crate) fn word(&mut self, x: &'static str) {
        self.bytes(x.as_bytes());
    }

    /// How many arguments ARGV has.
    pub fn argc(&self) -> usize {
        self.ends.len()
    }

    /// ARGV in order.
    pub fn args(&self) -> impl Iterator<Item = &[u8]> {
        self.ranges().map(|r| &self.packed[r])
    }

    /// ARGV in order, as slices of one copy.
    pub fn shared(&self) -> impl Iterator<Item = Bytes> {
        let all = Bytes::copy_from_slice(&self.packed);
        self.ranges().map(move |r| all.slice(r))
    }

    fn ranges(&self) -> impl Iterator<Item = Range<usize>> {
        let begins = std::iter::once(0).chain(self.ends.iter().copied());
        begins.zip(&self.ends).map(|(from, to)| from..*to)
    }
}

/// `adds` and what goes into it are kept modulo 2^46: exact in a Lua number.
pub const ADDS_MASK: u64 = (1 << 46) - 1;
