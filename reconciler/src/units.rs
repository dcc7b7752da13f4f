//! What the cells of a pass hold together, from their views.

use crate::check::Compared;
use crate::metrics::{METRICS, UnitsPart};

/// The sums.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Units {
    supply: i64,
    net: i64,
    held: i64,
    available: i64,
    /// Entries between the watermark and the ledger's end, at most.
    lag: u64,
}

impl Units {
    /// One more cell; a missing one has no units to show.
    pub(crate) fn add(&mut self, compared: &Compared) {
        let Some(view) = &compared.view else { return };
        self.supply += view.totals.supply;
        self.net += view.totals.net;
        self.held += view.held;
        self.available += view.available();
        self.lag = self.lag.max(compared.head.seq.saturating_sub(view.totals.seq));
    }

    /// Shows them.
    pub(crate) fn show(&self) {
        let Self { supply, net, held, available, lag } = *self;
        let parts = [
            (UnitsPart::Supply, supply),
            (UnitsPart::Net, net),
            (UnitsPart::Held, held),
            (UnitsPart::Available, available),
        ];
        for (part, units) in parts {
            METRICS.units.of(part).set(units as f64);
        }
        METRICS.watermark_lag.set(lag as f64);
    }
}
