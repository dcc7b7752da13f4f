//! The scripts, their names, and the call that one of them gets.
//!
//! Every key of a call carries the cell's hash tag, so a call never leaves its slot. Sources are
//! compiled in: two processes of one build run the same Lua.

use bytes::Bytes;
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
#[derive(Debug)]
pub struct Call {
    /// Which script.
    pub script: &'static Script,
    /// KEYS, all in one slot; at least one.
    pub keys: Vec<Bytes>,
    /// ARGV.
    pub args: Vec<Bytes>,
}

impl Call {
    /// A call with keys named by their short suffixes.
    pub(crate) fn new(script: &'static Script, cell: &CellId, keys: &[&str]) -> Self {
        let keys = keys.iter().map(|k| Bytes::from(format!("{{{cell}}}:{k}"))).collect();
        Self { script, keys, args: Vec::new() }
    }

    /// With room for `n` arguments.
    pub(crate) fn room(mut self, n: usize) -> Self {
        self.args.reserve(n);
        self
    }

    /// Adds raw bytes.
    pub(crate) fn bytes(&mut self, b: &[u8]) {
        self.args.push(Bytes::copy_from_slice(b));
    }

    /// Adds a text form.
    pub(crate) fn text(&mut self, x: impl std::fmt::Display) {
        self.args.push(Bytes::from(x.to_string()));
    }

    /// Adds a constant.
    pub(crate) fn word(&mut self, x: &'static str) {
        self.args.push(Bytes::from_static(x.as_bytes()));
    }
}

/// `adds` and what goes into it are kept modulo 2^46: exact in a Lua number.
pub const ADDS_MASK: u64 = (1 << 46) - 1;
