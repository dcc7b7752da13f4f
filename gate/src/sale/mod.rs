//! The sale: what is asked for, the two combiners in front of Redis and the log, and what a
//! purchase does next.

pub(crate) mod body;
pub(crate) mod buy;
pub(crate) mod emit;
pub(crate) mod metadata;
pub(crate) mod place;
pub(crate) mod purchase;
pub(crate) mod reserve;
pub(crate) mod soldout;
