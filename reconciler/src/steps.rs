//! The steps of a reconciler and what each of them gets: composed here and nowhere else.

use std::sync::Arc;

use cells::port::Cells;
use parking_lot::Mutex;
use store::LedgerRead;
use view::{Follow, Horizons, ReconcilerPorts};

use crate::cell::LookAt;
use crate::check::Compare;
use crate::lead::{Lead, LeaseStanding};
use crate::money::AddUp;
use crate::publish::Republish;
use crate::quiet::Quiet;
use crate::rebuild::Build;
use crate::relay::Relay;
use crate::relayed::Relayed;
use crate::repair::Mend;
use crate::rows::Rows;
use crate::scan::Scan;
use crate::settings::ReconcilerSettings;
use crate::sweep::Sweep;

/// Cells of one page.
pub(crate) const CELLS: u64 = 256;

/// All of them.
pub(crate) struct Steps {
    pub cells: Arc<dyn Cells>,
    pub ledger: Arc<dyn LedgerRead>,
    pub lead: Arc<Lead>,
    pub horizons: Horizons,
    pub look: LookAt,
    pub relay: Arc<Relay>,
    pub sweep: Sweep,
    pub rows: Rows,
    pub build: Build,
    pub money: AddUp,
}

impl Steps {
    /// Each gets the ports that it needs.
    pub(crate) fn over(ports: &ReconcilerPorts, settings: &ReconcilerSettings) -> Self {
        let make = Make {
            p: ports.clone(),
            s: settings,
            follow: ports.follow(),
            holder: format!("{:016x}", ports.unique.next()),
            large: Arc::default(),
        };
        let lead = Arc::new(make.lead());
        let publish = Arc::new(make.publish());
        let compare = Arc::new(make.compare());
        let quiet = Arc::new(make.quiet());
        let repair = Arc::new(make.repair(&compare));
        let relay = Arc::new(make.relay(&publish));
        Self {
            cells: ports.cells.clone(),
            ledger: ports.store.clone(),
            horizons: make.horizons(),
            look: make.look(&compare, &quiet, &repair),
            sweep: make.sweep(&publish),
            money: make.money(),
            rows: make.rows(publish),
            build: make.build(Below { compare, quiet, repair, relay: relay.clone() }, &lead),
            lead,
            relay,
        }
    }
}

/// What a build stands on.
struct Below {
    compare: Arc<Compare>,
    quiet: Arc<Quiet>,
    repair: Arc<Mend>,
    relay: Arc<Relay>,
}

/// Makes the steps.
struct Make<'a> {
    p: ReconcilerPorts,
    s: &'a ReconcilerSettings,
    follow: Follow,
    /// This process, for leases.
    holder: String,
    large: Arc<tokio::sync::Mutex<()>>,
}

impl Make<'_> {
    fn scan(&self) -> Scan {
        Scan { cells: self.p.cells.clone() }
    }

    fn lead(&self) -> Lead {
        Lead {
            marks: self.p.store.clone(),
            cells: self.p.cells.clone(),
            holder: self.holder.clone(),
            lease: self.s.lease,
            standing: Mutex::new(LeaseStanding::new(self.s.give_up_after)),
        }
    }

    fn horizons(&self) -> Horizons {
        Horizons {
            marks: self.p.store.clone(),
            log: self.p.log.clone(),
            clock: self.p.clock.clone(),
        }
    }

    fn publish(&self) -> Republish {
        Republish {
            log: self.p.log.clone(),
            identity: self.p.identity.clone(),
            times: self.s.publish,
        }
    }

    fn compare(&self) -> Compare {
        Compare {
            cells: self.p.cells.clone(),
            ledger: self.p.store.clone(),
            marks: self.p.store.clone(),
            late_after: self.s.relay_after,
        }
    }

    fn quiet(&self) -> Quiet {
        Quiet {
            cells: self.p.cells.clone(),
            scan: self.scan(),
            ledger: self.p.store.clone(),
            catalog: self.p.store.clone(),
            large: self.large.clone(),
            most: self.s.compare_most,
        }
    }

    fn repair(&self, compare: &Arc<Compare>) -> Mend {
        Mend {
            cells: self.p.cells.clone(),
            ledger: self.p.store.clone(),
            entries: self.p.store.clone(),
            marks: self.p.store.clone(),
            follow: self.follow.clone(),
            compare: compare.clone(),
            identity: self.p.identity.clone(),
            unique: self.p.unique.clone(),
            holder: self.holder.clone(),
        }
    }

    fn look(&self, compare: &Arc<Compare>, quiet: &Arc<Quiet>, repair: &Arc<Mend>) -> LookAt {
        LookAt {
            cells: self.p.cells.clone(),
            follow: self.follow.clone(),
            compare: compare.clone(),
            quiet: quiet.clone(),
            repair: repair.clone(),
            parallel: self.s.parallel,
        }
    }

    fn relay(&self, publish: &Arc<Republish>) -> Relay {
        Relay {
            cells: self.p.cells.clone(),
            scan: self.scan(),
            ledger: self.p.store.clone(),
            entries: self.p.store.clone(),
            parked: self.p.store.clone(),
            marks: self.p.store.clone(),
            follow: self.follow.clone(),
            publish: publish.clone(),
            after: self.s.relay_after,
            relayed: Mutex::new(Relayed::new(self.s.relay_most, self.p.store.databases())),
        }
    }

    fn sweep(&self, publish: &Arc<Republish>) -> Sweep {
        Sweep {
            ledger: self.p.store.clone(),
            entries: self.p.store.clone(),
            orders: self.p.store.clone(),
            parked: self.p.store.clone(),
            follow: self.follow.clone(),
            publish: publish.clone(),
            after: self.s.sweep_after,
            ahead: Mutex::default(),
        }
    }

    fn money(&self) -> AddUp {
        AddUp {
            payments: self.p.store.clone(),
            lives: self.p.store.clone(),
            totals: self.p.store.clone(),
            marks: self.p.store.clone(),
        }
    }

    fn rows(&self, publish: Arc<Republish>) -> Rows {
        Rows {
            orders: self.p.store.clone(),
            ledger: self.p.store.clone(),
            entries: self.p.store.clone(),
            marks: self.p.store.clone(),
            follow: self.follow.clone(),
            publish,
            settle: self.s.sweep_after,
            looked: Mutex::default(),
            claiming: Mutex::default(),
        }
    }

    fn build(&self, below: Below, lead: &Arc<Lead>) -> Build {
        let Below { compare, quiet, repair, relay } = below;
        Build {
            cells: self.p.cells.clone(),
            ledger: self.p.store.clone(),
            marks: self.p.store.clone(),
            log: self.p.log.clone(),
            follow: self.follow.clone(),
            compare,
            quiet,
            repair,
            relay,
            lead: lead.clone(),
            identity: self.p.identity.clone(),
            unique: self.p.unique.clone(),
            settle: self.s.publish.settled_after(),
            parallel: self.s.parallel,
            large: self.large.clone(),
        }
    }
}
