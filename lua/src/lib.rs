//! The cells in Redis: one Lua script per operation, and three backends that run the scripts.
//!
//! [`Cells`] is the port. [`Engine`] implements it once, over any [`Runner`]: `fred` (the gate's
//! hot path) and `redisrs` (reconciler and tools), both with the feature `cluster`, and `embedded`
//! (the same Lua in process). So the backends differ only in how a script travels. Only the
//! scripts change a cell (INV-3, INV-4).
//! Absent: retries with meaning. A caller that gets no answer repeats with the same nonce.

#[cfg(feature = "cluster")]
pub mod access;
mod config;
pub mod embedded;
pub mod engine;
#[cfg(feature = "cluster")]
pub mod fred;
pub mod port;
#[cfg(feature = "cluster")]
pub mod redisrs;
pub mod script;
pub mod value;

mod apply;
mod cancel;
mod drop;
mod fence;
mod hold;
mod keyspace;
mod load;
pub mod look;
mod lookup;
mod mend;
#[cfg(feature = "cluster")]
mod refusal;
mod reserve;
mod resolve;
mod scan;
mod snapshot;
mod stage;
mod ticket;
#[cfg(feature = "cluster")]
mod tuning;
mod unseal;
#[cfg(feature = "cluster")]
mod waiting;

pub use config::{CellsBackend, CellsConfig};
pub use engine::{Engine, Runner};
pub use port::{
    Applied, ApplyCall, ApplyEntry, CellError, CellResult, CellView, Cells, Changed, FenceReply,
    LoadCall, MAX_BATCH, Mark, MendCall, Page, Refusal, ReserveCall, ReserveItem, ReserveReply,
    Reserved, Wait,
};
