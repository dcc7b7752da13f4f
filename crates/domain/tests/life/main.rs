//! The life of an order after its row: the table of what a payment comes to, repetition and order
//! of news, and the books (INV-15 to INV-18).
#![allow(clippy::unwrap_used, reason = "a step that fails fails the test")]

mod audits;
mod books;
mod lost;
mod payments;
mod refunds;
mod sets;
mod stand;

use sluicegate_domain as domain;
