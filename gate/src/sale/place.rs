//! A place in the log's queue, and what a request hears of its line: between the two combiners and
//! who waits for them.

use cells::port::{Mark, Reserved};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

/// A place in a partition's queue; held until the receipt.
#[derive(Debug)]
pub(crate) struct Place {
    pub partition: u16,
    /// Gives the place back.
    pub _permit: OwnedSemaphorePermit,
}

/// What a request hears of its line, once.
#[derive(Debug)]
pub(crate) struct Told {
    /// True when an attempt of this call may have run without an answer.
    pub unknown: bool,
    pub what: What,
}

/// What became of a line.
#[derive(Debug)]
pub(crate) enum What {
    /// Its hold, from `t_ms`, went on to the log; whether there was a receipt.
    Published { t_ms: u64, receipt: bool },
    /// The script answered, and nothing was published.
    Answered(Answered),
    /// No answer.
    Silence,
}

/// An answer of the script to a request that has its place still.
#[derive(Debug)]
pub(crate) struct Answered {
    pub reserved: Reserved,
    /// False when the replicas that were waited for did not have the hold in time: a failover may
    /// lose it, so nobody says `accepted`, and nobody publishes it: it could take the unit from an
    /// order that was accepted after the loss.
    pub replicated: bool,
    /// Where the cell stood.
    pub mark: Mark,
    /// When the answered call was sent: what its answer tells may be as old as this.
    pub at: Instant,
    pub place: Place,
}
