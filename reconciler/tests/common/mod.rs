//! A reconciler with short times over a site, and the wait for quiescence.
#![allow(dead_code, reason = "each test file uses its part")]

use std::sync::Arc;
use std::time::Duration;

use domain::frame::{self, Item, Mode, Sealed};
use domain::{CellId, Payload};
use orderlog::port::{OrderLog, Partition};
use sluicegate_reconciler::{Reconciler, ReconcilerSettings};
use store::port::{Ask, CellAsks};
use store::{LedgerRead, Marks, Shards, Verdicts};
use testkit::ports::{START_MS, Site};
use view::{Ports, PublishTimes};

/// X in ms.
pub(crate) const X: u64 = 500;

pub(crate) fn reconciler(site: &Site) -> Arc<Reconciler> {
    reconciler_with(site.ports.clone(), |_| {})
}

/// Over other ports, with other settings.
pub(crate) fn reconciler_with(
    ports: Ports,
    change: impl FnOnce(&mut ReconcilerSettings),
) -> Arc<Reconciler> {
    let mut settings = ReconcilerSettings {
        interval: Duration::from_millis(50),
        money_interval: Duration::from_secs(60),
        relay_after: Duration::from_millis(X),
        sweep_after: Duration::from_millis(2 * X),
        parallel: 4,
        lease: Duration::from_millis(1),
        give_up_after: 3,
        compare_most: 1_000_000,
        relay_most: 200_000,
        publish: PublishTimes {
            max_age: Duration::from_millis(250),
            timeout: Duration::from_millis(150),
        },
    };
    change(&mut settings);
    Reconciler::new(&ports.reconciler(), &settings)
}

pub(crate) fn start_writer(site: &Site) {
    let settings = writer::WriterSettings {
        batch_frames: 64,
        batch_orders: 512,
        patience: Duration::from_millis(20),
        give_up_after: 50,
    };
    writer::spawn(&site.tasks, &site.ports.writer(), &settings);
}

/// Rounds of a reconciler and a running writer until everything is quiet (INV-11).
pub(crate) async fn settle(site: &Site, r: &Reconciler, cells: &[CellId]) {
    for _ in 0..60 {
        site.clock.advance(X + 1500);
        r.scheduled(0).await;
        tokio::time::sleep(Duration::from_millis(60)).await;
        if is_quiet(site, cells).await {
            break;
        }
    }
    site.quiet(cells).await;
    assert!(no_range_left(site).await, "unrowed ranges are left");
}

async fn is_quiet(site: &Site, cells: &[CellId]) -> bool {
    for cell in cells {
        let Ok(Some(v)) = site.ports.cells.snapshot(cell).await else { return false };
        if v.holds > 0 || v.totals.seq != site.head(cell).await.seq {
            return false;
        }
    }
    no_range_left(site).await
}

async fn no_range_left(site: &Site) -> bool {
    for db in 0..site.store.databases() {
        if !site.store.unrowed(db, u64::MAX >> 1, 9).await.expect("ranges").is_empty() {
            return false;
        }
    }
    true
}

/// Says that all partitions are finished up to here.
pub(crate) async fn finished_until(site: &Site, ms: u64) {
    for p in Partition::all(site.log.partitions(), site.store.databases()) {
        site.store.set_progress(&p.to_string(), ms).await.expect("progress");
    }
}

/// The orders in all main partitions, acked.
pub(crate) async fn published(site: &Site) -> Vec<(Mode, Sealed)> {
    let mut out = Vec::new();
    for n in 0..site.log.partitions() {
        for f in site.take(Partition::Main(n)).await {
            for item in frame::decode(&f).expect("a frame") {
                if let Item::Order(mode, sealed) = item {
                    out.push((mode, sealed));
                }
            }
        }
    }
    out
}

/// A verdict whose frame is lost before the row.
pub(crate) async fn decided(site: &Site, p: &Payload, mode: Mode) {
    let ask = Ask {
        order: p.order,
        buyer: p.buyer.clone(),
        qty: p.anchor_line().qty,
        mode,
        anchor: true,
        sealed: Sealed { t_ms: START_MS, payload: p.encode().into() },
    };
    let cell = p.anchor_line().cell.clone();
    site.store.verdicts(&[CellAsks { cell, asks: vec![ask] }]).await.expect("verdicts");
}
