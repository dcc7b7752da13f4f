//! Writers that lag for many times a lease, on a paused clock and with the product's own times: a
//! rebuild outlasts its lease, and two reconcilers that pass meanwhile void none of its tickets.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    missing_docs,
    reason = "a step that fails fails the test"
)]

use std::sync::Arc;
use std::time::Duration;

use cells::port::{LoadCall, ReserveCall, ReserveItem, Reserved};
use domain::frame::{self, Item, Mode, Sealed};
use domain::{Campaign, CampaignNo, CellId, HoldState, Identity, Line, Nonce, Offer, OfferId};
use domain::{Payload, Price};
use orderlog::port::{OrderLog, Partition};
use runtime::Tasks;
use sluicegate_reconciler::{Reconciler, ReconcilerConfig, ReconcilerSettings};
use store::{CatalogWrite, Init};
use testkit::memory::{MemoryLog, MemoryStore, PausedClock};
use tokio::time::sleep;
use view::{Ports, PublishTimes, Reconcile};
use writer::WriterConfig;

const MAINS: u16 = 2;
/// Three leases of the product's defaults.
const LAG: Duration = Duration::from_secs(30);

/// The defaults of `publish`.
const PUBLISH: PublishTimes =
    PublishTimes { max_age: Duration::from_millis(3000), timeout: Duration::from_millis(2500) };

struct Shop {
    ports: Ports,
    log: MemoryLog,
    cells: Arc<::cells::Engine<::cells::embedded::Embedded>>,
}

impl Shop {
    async fn new() -> Self {
        let clock = PausedClock::starting_at(1_700_000_000_000);
        let identity = Identity::new(b"a secret of the tests");
        let store = Arc::new(MemoryStore::new(2, identity.clone(), clock.clone()));
        let log = MemoryLog::new(MAINS, clock.clone());
        store.init(&identity.fingerprint_hex()).await.unwrap();
        log.init(2).await.unwrap();
        let campaign = Campaign {
            id: "c".parse().expect("a name"),
            number: CampaignNo(0),
            opens_at_ms: None,
            closes_at_ms: None,
            payment_window_s: 900,
        };
        store.put_campaign(&campaign).await.unwrap();
        let cells = Arc::new(::cells::embedded::new(clock.clone()));
        let ports: Ports = Ports {
            cells: cells.clone(),
            store,
            log: Arc::new(log.clone()),
            identity,
            clock,
            unique: runtime::unique::random(),
        };
        Self { ports, log, cells }
    }

    /// An offer with three units, loaded.
    async fn offer(&self, name: &str) -> CellId {
        let id: OfferId = name.parse().unwrap();
        let offer = Offer {
            id: id.clone(),
            campaign: "c".parse().expect("a name"),
            sku: name.into(),
            price: Price { currency: "EUR".into(), minor: 250 },
            allotment: 3,
            limit_per_buyer: None,
            buckets: 1,
            policy: Default::default(),
        };
        self.ports.store.put_offer(&offer).await.unwrap();
        let ids = self.ports.identity.opening(&id);
        let cell = id.cell(0);
        self.ports.store.create_cells(&[(cell.clone(), 3)], ids).await.unwrap();
        let call = LoadCall {
            totals: self.ports.store.head(&cell).await.unwrap().unwrap(),
            inc: 1,
            adds: 0,
            ticket: None,
            staged: None,
            staged_len: 0,
            limited: false,
        };
        self.ports.cells.load(&cell, call).await.unwrap();
        cell
    }

    /// Holds and publishes one unit.
    async fn buy(&self, buyer: &str, cell: &CellId) {
        let (buyer, key) = (buyer.parse().unwrap(), "k".parse().unwrap());
        let identity = &self.ports.identity;
        let payload = Payload {
            order: identity.order_id(CampaignNo(1), &buyer, &key, b"one"),
            buyer: buyer.clone(),
            key: Some(key),
            anchor: 0,
            lines: vec![Line { cell: cell.clone(), qty: 1, unit_minor: 250 }],
            metadata: String::new(),
            currency: "EUR".into(),
            campaign: CampaignNo(1),
            window_ms: 900_000,
            supersedes: None,
        };
        let item = ReserveItem {
            id: payload.order.into(),
            buyer_hash: identity.buyer_hash(&buyer),
            buyer: Some(buyer),
            qty: 1,
            nonce: Nonce(self.ports.unique.next()),
            state: HoldState::Sealed,
            payload: payload.encode().into(),
            checked: true,
            relay: false,
        };
        let (limit, deadline_ms, opens_at_ms, closes_at_ms) = (0, 0, 0, 0);
        let items = vec![item];
        let call = ReserveCall { limit, deadline_ms, opens_at_ms, closes_at_ms, wait: None, items };
        let reply = self.ports.cells.reserve(cell, &call).await.unwrap();
        let Some(Reserved::New { t_ms }) = reply.results.into_iter().next() else {
            panic!("no hold");
        };
        let sealed = Sealed { t_ms, payload: payload.encode().into() };
        let home = Partition::Main(domain::home(&payload, identity, MAINS));
        let frame = frame::encode(&[Item::Order(Mode::Full, sealed)]);
        self.log.publish(home, frame).await.unwrap();
    }

    /// Barriers that wait in the main partitions.
    fn barriers(&self) -> usize {
        let frames = (0..MAINS).flat_map(|n| self.log.unacked(Partition::Main(n)));
        let items = frames.flat_map(|f| frame::decode(&f.frame).unwrap());
        items.filter(|i| matches!(i, Item::Barrier(_))).count()
    }

    async fn is_built(&self, cells: &[CellId]) -> bool {
        for cell in cells {
            if self.ports.cells.snapshot(cell).await.unwrap().is_none() {
                return false;
            }
        }
        true
    }
}

#[tokio::test(start_paused = true)]
async fn writers_that_lag_for_thirty_seconds_cost_no_second_barrier() {
    let shop = Shop::new().await;
    let cells = [shop.offer("shoe").await, shop.offer("hat").await];
    for n in 0..6 {
        shop.buy(&format!("b{n}"), &cells[n % 2]).await;
    }
    shop.cells.runner().wipe_all();
    let (config, tasks) = (ReconcilerConfig::default(), Tasks::new());
    assert!(LAG >= 3 * Duration::from_millis(config.lease_ms));
    let reconciler = || {
        let settings = ReconcilerSettings::new(&config, PUBLISH);
        Reconciler::new(&shop.ports.reconciler(), &settings)
    };
    // Two on schedule, and an operator's, which no lease keeps away.
    (0..2).for_each(|_| reconciler().spawn(&tasks));
    let desk = reconciler();
    let operator = async {
        sleep(LAG / 2).await;
        desk.reconcile(None, false).await.unwrap()
    };
    let writers = async {
        sleep(LAG).await;
        assert!(!shop.is_built(&cells).await, "nobody has passed the barrier");
        assert_eq!(shop.barriers(), usize::from(MAINS), "one build, whoever came by meanwhile");
        writer::spawn(&tasks, &shop.ports.writer(), &(&WriterConfig::default()).into());
    };
    let (report, ()) = tokio::join!(operator, writers);
    assert!(!report.is_bad(), "{report:?}");
    let mut waited = 0;
    while !shop.is_built(&cells).await {
        sleep(Duration::from_millis(100)).await;
        waited += 1;
        assert!(waited < 300, "not built half a minute after the writer came");
    }
    sleep(Duration::from_secs(1)).await;
    for cell in &cells {
        let view = shop.ports.cells.snapshot(cell).await.unwrap().unwrap();
        assert_eq!((view.totals.net, view.totals.supply, view.held), (3, 3, 0), "all are sold");
    }
    assert_eq!(shop.barriers(), 0);
    tasks.enter(runtime::Phase::Done);
}
