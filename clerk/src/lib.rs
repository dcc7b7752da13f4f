//! The clerk moves orders through their lives: it joins what providers and warehouses tell, lets
//! orders expire, closes payments, sends refunds, gives units back to their ledgers, and buys an
//! expired order again for its late payment.
//!
//! Whatever it does follows from rows, each step is one transaction, and each may be repeated: any
//! number of clerks may run, and any of them may be killed anywhere. Leases only spread work. What
//! is decided is `domain::life`'s.

mod due;
mod expire;
mod goods;
mod late;
mod metrics;
mod news;
mod rewind;
mod rounds;
mod settings;

use std::sync::Arc;

use cells::port::Wait;
use life::calls::ProviderCalls;
use orderlog::port::Partition;
use runtime::Tasks;
use runtime::probe::Ready;
use view::{
    CatalogCache, ClerkPorts, DatabasePatience, Horizons, Intake, IntakeCount, IntakeSettings,
    Marking, PublishTimes,
};

pub use rewind::{RewindLives, RewoundLives};
pub use settings::{ClerkConfig, ClerkSettings};

use due::DoDue;
use expire::ExpireOrders;
use goods::GiveUnits;
use late::BuyAgain;
use news::JoinNews;
use rounds::DatabaseRounds;

/// What the clerk counts, for the recorder and for `docs/metrics.md`.
pub const METRICS: &[runtime::meter::Described] = metrics::ClerkMetrics::DESCRIBED;

/// Frames of one batch, and news in them, about.
const BATCH: (usize, usize) = (64, 1024);

/// What a process of a clerk has besides its ports.
pub struct ClerkWith {
    /// What it knows of offers and providers; somebody keeps it fresh.
    pub catalog: Arc<CatalogCache>,
    /// How providers are called.
    pub calls: Arc<dyn ProviderCalls>,
    /// How long a gate may take to publish a hold; so may a clerk.
    pub publish: PublishTimes,
    /// What a hold waits for before it is taken for one; `None`: nothing.
    pub wait: Option<Wait>,
    /// Its settings.
    pub settings: ClerkSettings,
}

/// Starts a clerk: it ends with `FlushLog`. The answer says whether all partitions of lives make
/// progress.
pub fn spawn(tasks: &Tasks, ports: &ClerkPorts, with: &ClerkWith) -> Ready {
    let settings = &with.settings;
    let patience = DatabasePatience::new(settings.patience);
    let work = JoinNews {
        lives: ports.store.clone(),
        parked: ports.store.clone(),
        catalog: with.catalog.clone(),
        patience: patience.clone(),
    };
    let intake = Intake {
        log: ports.log.clone(),
        marking: Marking { store: ports.store.clone(), patience },
        clock: ports.clock.clone(),
        settings: IntakeSettings {
            batch_frames: BATCH.0,
            batch_entries: BATCH.1,
            give_up_after: settings.give_up_after,
        },
        work: Arc::new(work),
        count,
    };
    let databases = ports.store.databases();
    let horizons = Arc::new(Horizons {
        marks: ports.store.clone(),
        log: ports.log.clone(),
        clock: ports.clock.clone(),
    });
    for db in 0..databases {
        rounds(db, ports, with, &horizons).spawn(tasks);
    }
    intake.spawn(tasks, "clerk partition", Partition::of_lives(databases))
}

/// All that is done for one database.
fn rounds(
    db: u16,
    ports: &ClerkPorts,
    with: &ClerkWith,
    horizons: &Arc<Horizons>,
) -> DatabaseRounds {
    let settings = &with.settings;
    let again = BuyAgain {
        cells: ports.cells.clone(),
        log: ports.log.clone(),
        rows: ports.store.clone(),
        ledger: ports.store.clone(),
        reads: ports.store.clone(),
        catalog: with.catalog.clone(),
        follow: ports.follow(),
        identity: ports.identity.clone(),
        unique: ports.unique.clone(),
        times: with.publish,
        wait: with.wait,
        settings: settings.clone(),
    };
    let due = DoDue {
        db,
        reads: ports.store.clone(),
        lives: ports.store.clone(),
        parked: ports.store.clone(),
        catalog: with.catalog.clone(),
        calls: with.calls.clone(),
        horizons: horizons.clone(),
        identity: ports.identity.clone(),
        unique: ports.unique.clone(),
        again,
        settings: settings.clone(),
    };
    let goods = GiveUnits {
        ledger: ports.store.clone(),
        lives: ports.store.clone(),
        follow: ports.follow(),
        lease_ms: settings.lease_ms,
    };
    let expire = ExpireOrders {
        db,
        reads: ports.store.clone(),
        lives: ports.store.clone(),
        catalog: with.catalog.clone(),
        grace_ms: settings.grace_ms,
        place: Default::default(),
    };
    DatabaseRounds {
        db,
        due: Arc::new(due),
        goods: Arc::new(goods),
        expire: Arc::new(expire),
        lives: ports.store.clone(),
        horizons: horizons.clone(),
        settings: settings.clone(),
    }
}

fn count(what: IntakeCount) {
    let of = &metrics::METRICS;
    match what {
        IntakeCount::Lag(seconds) => of.lag.record(seconds),
        IntakeCount::GaveUp => of.gave_up.increment(1),
        IntakeCount::Newer(partitions) => of.partitions_newer.set(partitions as f64),
    }
}
