//! The gate's edge: connections and messages, from bytes to requests and back.

pub(crate) mod answer;
pub(crate) mod front;
pub(crate) mod http;
pub(crate) mod serve;
