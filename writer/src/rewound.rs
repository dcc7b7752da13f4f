//! What a rewind did, for the operator who began it.

use domain::OrderId;

/// Orders that are named in the summary.
const NAMED: usize = 20;

/// The sums.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rewound {
    /// Frames that were read.
    pub frames: u64,
    /// Orders of them, and of rows, that concern the database; one counts each time it is met.
    pub orders: u64,
    /// Claims that were appended.
    pub claimed: u64,
    /// Rejects that were appended.
    pub rejected: u64,
    /// Orders that had no row when they were met, and have one now.
    pub rows: u64,
    /// Rows that were compared with the ledger at the end.
    pub compared: u64,
    /// Pending rows that became rejected: their units were sold again.
    pub refused: u64,
    /// Paid rows whose units were sold again: a person has their refunds. One counts each time.
    pub owed: u64,
    /// Frames that nobody can read; they are parked since they came.
    pub unreadable: u64,
    /// Orders that could not be finished.
    pub left: u64,
    /// The first of them, with why.
    pub named: Vec<(OrderId, String)>,
}

impl Rewound {
    /// An order stays as it is.
    pub(crate) fn leave(&mut self, order: OrderId, why: &str) {
        self.left += 1;
        if self.named.len() < NAMED {
            self.named.push((order, why.to_owned()));
        }
    }
}
