//! How long a gate may take to publish a hold: who publishes holds again, or waits until nobody
//! does, goes by the same times.

use std::time::Duration;

/// From the hold to the receipt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PublishTimes {
    /// What was seen longer ago is not published for the first time.
    pub max_age: Duration,
    /// A receipt that takes longer counts as unknown.
    pub timeout: Duration,
}

impl PublishTimes {
    /// A hold that is older is not published by a gate any more (PROTOCOL 6.9's wait).
    pub fn settled_after(self) -> Duration {
        self.max_age + self.timeout
    }
}
