//! What checkout keeps of a person with an order: an address, an invoice. Neither ledger nor log
//! nor Redis ever sees it.

use async_trait::async_trait;
use domain::{Buyer, OrderId};

use super::Shards;
use super::declare::port;
use crate::error::StoreResult;

port! { $
    /// What is kept of a person with an order.
    trait DetailRead, handed on by each_detail_read {
        /// A JSON object as it was given; `None` when there is none.
        reads fn details(order: OrderId) -> Option<String>, on order;
    }
}

port! { $
    /// Keeps it, and erases it.
    trait DetailWrite, handed on by each_detail_write {
        /// Keeps a JSON object with an order of this buyer, in place of the one before.
        writes fn put_details(order: OrderId, buyer: &Buyer, data: &str) -> (), on order;
        /// Erases what is kept with all orders of a buyer, some at a time, and says of how many.
        /// Asked again after an error it goes on.
        writes fn erase_details(buyer: &Buyer) -> u64, on buyer;
    }
}
