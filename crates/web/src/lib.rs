//! HTTP, without a word of the sale: one bounded listener for buyers, operators and probes over
//! anything that reads and writes; strict reading of messages, bodies, queries and tokens; answers.

pub mod alarm;
pub mod answer;
pub mod body;
mod bounds;
pub mod client;
mod config;
mod listener;
pub mod message;
mod network;
mod outbound;
mod probes;
mod proxied;
mod remembered;
mod stream;
mod tokens;
mod verified;
mod wire;

pub use bounds::Bounds;
pub use config::AuthConfig;
pub use listener::{Bound, Listener, Service, bind};
pub use network::Network;
pub use outbound::{Client, Received, SendError};
pub use probes::Probes;
pub use stream::{Conn, Io};
pub use tokens::{ADMIN_AUDIENCE, Audience, Claims, Operator, Role, TokenRefused, Tokens};
pub use verified::Verified;

/// Text as one segment of a path.
pub fn segment(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect()
}
