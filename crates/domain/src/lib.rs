//! The vocabulary and the rules of Sluicegate, pure.
//!
//! Everything here is a value or a function of values: no tokio, no IO, no clock, no randomness.
//! Time and randomness arrive as arguments. Every other crate depends on this one, and this one
//! on none of them; `tests/tidy.rs` holds that arrow.

pub mod cell;
pub mod content;
pub mod decide;
pub mod drift;
pub mod frame;
pub mod giveback;
pub mod hold;
pub mod home;
pub mod identity;
pub mod ids;
pub mod invariant;
pub mod kept;
pub mod ledger;
pub mod life;
pub mod limit;
pub mod moves;
pub mod names;
pub mod offer;
pub mod order;
pub mod rows;
pub mod shard;
pub mod supply;

pub use cell::CellId;
pub use content::content;
pub use giveback::{Giveback, Gives};
pub use hold::{Hold, HoldState, Nonce};
pub use home::home;
pub use identity::Identity;
pub use ids::{CampaignNo, EntryId, IdempotencyKey, Key, OrderId};
pub use ledger::{Entry, Flag, Kind, Ordinal, Tok, Totals};
pub use names::{Buyer, CampaignId, IdError, OfferId, Tenant};
pub use offer::{Campaign, Offer, Price};
pub use order::{Line, Payload, RowStatus, Status};
pub use shard::{LogicalShard, ShardMap};
