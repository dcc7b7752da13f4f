//! What buyers are shown: offers, orders, and the wait for an order's row.

pub(crate) mod offers;
pub(crate) mod orders;
pub(crate) mod stock;
pub(crate) mod wait;
