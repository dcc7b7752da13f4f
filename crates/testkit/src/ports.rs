//! A whole deployment in a temporary folder: embedded cells, SQLite, the embedded log, and a
//! clock that the test moves. Real backends throughout; store and log can be made to fail.
//!
//! A [`Site`] plays the gate (hold, publish), so that tests of writer and reconciler need none,
//! and audits itself with `domain::invariant`.

mod audit;
mod copies;
mod faulty;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cells::embedded::Embedded;
use cells::port::{Cells, LoadCall, ReserveCall, ReserveItem, Reserved};
use cells::{Changed, Engine};
use domain::frame::{Item, Mode, Sealed};
use domain::{Campaign, CampaignNo, CellId, HoldState, Identity, Line, Nonce};
use domain::{Offer, OfferId, Payload, Price, frame};
use orderlog::EmbeddedLog;
use orderlog::port::{OrderLog, Partition};
use runtime::{Phase, Secret, Tasks};
use sea_orm::ConnectionTrait;
use store::{CatalogRead, CatalogWrite, Init, LedgerWrite, Shards, SqlStore, StoreConfig};
use view::Ports;

pub use crate::cells::HandClock;
pub use copies::Copies;
pub use faulty::{Fail, FaultyLog, FaultyStore, Rules, Seen};

/// The site's clock starts here.
pub const START_MS: u64 = 1_700_000_000_000;

/// A deployment of one test.
pub struct Site {
    /// What a service takes.
    pub ports: Ports,
    /// The cells, to disturb them.
    pub cells: Arc<Engine<Embedded>>,
    /// The store's faults.
    pub store: Arc<FaultyStore>,
    /// The log's faults.
    pub log: Arc<FaultyLog>,
    /// Moves wall time for everything.
    pub clock: Arc<HandClock>,
    /// Ends with the site.
    pub tasks: Tasks,
    dir: tempfile::TempDir,
}

impl Drop for Site {
    fn drop(&mut self) {
        self.tasks.enter(Phase::Done);
    }
}

impl Site {
    /// With this many databases and main partitions, and campaign `c`.
    pub async fn new(databases: u16, partitions: u16) -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let url = |n| format!("sqlite://{}/db-{n}.sqlite", dir.path().display());
        let urls = (0..databases).map(url).collect();
        Self::made(dir, urls, partitions, Duration::from_secs(5)).await
    }

    /// Over databases of real servers, with the product's own deadline.
    pub async fn over(databases: &[String], partitions: u16) -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        Self::made(dir, databases.to_vec(), partitions, Duration::from_secs(2)).await
    }

    async fn made(
        dir: tempfile::TempDir,
        urls: Vec<String>,
        partitions: u16,
        timeout: Duration,
    ) -> Self {
        let clock = HandClock::at(START_MS);
        let identity = Identity::new(b"a secret of the tests");
        let databases = urls.len() as u16;
        let cfg = StoreConfig { databases: urls, password: Secret::None, connections: 4, timeout };
        let sql = SqlStore::new(&cfg, identity.clone(), clock.clone()).expect("SQLite");
        let store = FaultyStore::new(Arc::new(sql));
        store.init(&identity.fingerprint_hex()).await.expect("migrations");
        let tasks = Tasks::new();
        let log = EmbeddedLog::open(dir.path(), partitions, &tasks, clock.clone()).await;
        let log = FaultyLog::new(log.expect("a log in the folder"));
        log.init(databases).await.expect("retry partitions");
        let cells = Arc::new(cells::embedded::new(clock.clone()));
        let campaign = Campaign {
            id: "c".parse().expect("a name"),
            number: CampaignNo(0),
            opens_at_ms: None,
            closes_at_ms: None,
            payment_window_s: 900,
        };
        store.put_campaign(&campaign).await.expect("a campaign");
        let ports: Ports = Ports {
            cells: cells.clone(),
            store: store.clone(),
            log: log.clone(),
            identity,
            clock: clock.clone(),
            unique: runtime::unique::random(),
        };
        Self { ports, cells, store, log, clock, tasks, dir }
    }

    /// The offer `name`: bucket n has `units[n]` units and is loaded; `limit` 0 = none.
    pub async fn offer(&self, name: &str, units: &[i64], limit: u32) -> Vec<CellId> {
        let cells = self.unloaded(name, units, limit).await;
        for cell in &cells {
            let totals = self.head(cell).await;
            let call = LoadCall {
                totals,
                inc: self.ports.unique.next() % (1 << 46) + 1,
                adds: 0,
                ticket: None,
                staged: None,
                staged_len: 0,
                limited: limit > 0,
            };
            assert_eq!(self.cells.load(cell, call).await.expect("load"), Changed::Ok);
        }
        cells
    }

    /// As [`Site::offer`], but Redis has never heard of its cells.
    pub async fn unloaded(&self, name: &str, units: &[i64], limit: u32) -> Vec<CellId> {
        let id: OfferId = name.parse().expect("an offer id");
        let offer = Offer {
            id: id.clone(),
            campaign: "c".parse().expect("a name"),
            sku: name.into(),
            price: Price { currency: "EUR".into(), minor: 250 },
            allotment: units.iter().sum(),
            limit_per_buyer: (limit > 0).then_some(limit),
            buckets: units.len() as u8,
            policy: Default::default(),
        };
        self.store.put_offer(&offer).await.expect("an offer");
        let cells: Vec<(CellId, i64)> = (0u8..).zip(units).map(|(n, u)| (id.cell(n), *u)).collect();
        let ids = self.ports.identity.opening(&id);
        self.store.create_cells(&cells, ids).await.expect("cells");
        cells.into_iter().map(|c| c.0).collect()
    }

    /// Changes a database behind the product's back.
    pub async fn sql(&self, db: u16, statement: &str) {
        let file = self.dir.path().join(format!("db-{db}.sqlite"));
        let url = format!("sqlite://{}", file.display());
        let connection = sea_orm::Database::connect(url).await.expect("the file of a database");
        connection.execute_unprepared(statement).await.expect("a statement");
    }

    /// A name whose offers live on this database.
    pub fn offer_on(&self, db: u16, name: &str) -> String {
        let on = |n: &String| self.store.cell_db(&n.parse().expect("an offer id")) == db;
        (0..).map(|i| format!("{name}-{i}")).find(on).expect("some name fits")
    }

    /// A buyer whose orders live on this database.
    pub fn buyer_on(&self, db: u16, name: &str) -> String {
        let on = |n: &String| self.store.buyer_db(&n.parse().expect("a buyer")) == db;
        (0..).map(|i| format!("{name}-{i}")).find(on).expect("some name fits")
    }

    /// An order; the last line (by cell) is the anchor.
    pub fn order(&self, buyer: &str, key: &str, lines: &[(&CellId, u32)]) -> Payload {
        let line = |(cell, qty): &(&CellId, u32)| Line {
            cell: (*cell).clone(),
            qty: *qty,
            unit_minor: 250,
        };
        let mut lines: Vec<Line> = lines.iter().map(line).collect();
        lines.sort_by(|a, b| a.cell.cmp(&b.cell));
        let (buyer, key) = (buyer.parse().expect("a buyer"), key.parse().expect("a key"));
        let content = format!("{lines:?}");
        let campaign = CampaignNo(1);
        Payload {
            order: self.ports.identity.order_id(campaign, &buyer, &key, content.as_bytes()),
            buyer,
            key: Some(key),
            anchor: lines.len() - 1,
            lines,
            metadata: String::new(),
            currency: "EUR".into(),
            campaign,
            window_ms: 900_000,
            supersedes: None,
        }
    }

    /// The reserve of one line as a gate sends it.
    pub async fn reserve(&self, p: &Payload, line: usize) -> Reserved {
        let l = &p.lines[line];
        let anchor = line == p.anchor;
        let item = ReserveItem {
            id: p.order.into(),
            buyer: Some(p.buyer.clone()),
            buyer_hash: self.ports.identity.buyer_hash(&p.buyer),
            qty: l.qty,
            nonce: Nonce(self.ports.unique.next()),
            state: if anchor { HoldState::Sealed } else { HoldState::Line },
            payload: p.encode().into(),
            checked: true,
            relay: false,
        };
        let offer = self.store.offer(&l.cell.offer).await.expect("catalog").expect("the offer");
        let call = ReserveCall {
            limit: offer.0.limit_per_buyer.unwrap_or(0),
            deadline_ms: 0,
            opens_at_ms: 0,
            closes_at_ms: 0,
            wait: None,
            items: vec![item],
        };
        let reply = self.ports.cells.reserve(&l.cell, &call).await.expect("reserve");
        reply.results.into_iter().next().expect("one result per item")
    }

    /// Holds every line, the anchor last; the bytes to publish.
    pub async fn hold(&self, p: &Payload) -> Sealed {
        for line in (0..p.lines.len()).filter(|l| *l != p.anchor) {
            let got = self.reserve(p, line).await;
            assert!(matches!(got, Reserved::New { .. }), "{}: {got:?}", p.order);
        }
        match self.reserve(p, p.anchor).await {
            Reserved::New { t_ms } => Sealed { t_ms, payload: p.encode().into() },
            Reserved::Held { t_ms, payload } => Sealed { t_ms, payload },
            other @ (Reserved::Verdict(_)
            | Reserved::Fenced
            | Reserved::Conflict(_)
            | Reserved::Missing
            | Reserved::Late
            | Reserved::Returning
            | Reserved::NotOpen
            | Reserved::Refused { .. }) => panic!("{}: {other:?}", p.order),
        }
    }

    /// Holds and frames an order that one buyer wants of one cell.
    pub async fn held(&self, buyer: &str, key: &str, cell: &CellId) -> (Payload, Bytes) {
        let p = self.order(buyer, key, &[(cell, 1)]);
        let sealed = self.hold(&p).await;
        (p, full(&[sealed]))
    }

    /// The main partition of an offer's frames.
    pub fn home(&self, cell: &CellId) -> Partition {
        Partition::Main(self.ports.identity.offer_home(&cell.offer, self.log.partitions()))
    }

    /// Puts a frame into the home partition of a cell.
    pub async fn publish(&self, cell: &CellId, frame: Bytes) {
        self.log.publish(self.home(cell), frame).await.expect("a receipt");
    }

    /// Holds and publishes.
    pub async fn buy(&self, buyer: &str, key: &str, cell: &CellId) -> Payload {
        let (p, frame) = self.held(buyer, key, cell).await;
        self.publish(cell, frame).await;
        p
    }
}

/// A frame that publishes held orders.
pub fn full(orders: &[Sealed]) -> Bytes {
    let items: Vec<Item> = orders.iter().map(|s| Item::Order(Mode::Full, s.clone())).collect();
    frame::encode(&items)
}

/// A frame that asks for a rejection.
pub fn abort(order: &Payload) -> Bytes {
    let sealed = Sealed { t_ms: START_MS, payload: order.encode().into() };
    frame::encode(&[Item::Order(Mode::Abort, sealed)])
}

/// Asks until it is so; at most 20 s.
pub async fn until<F, Fut>(what: &str, is_so: F)
where
    F: Fn() -> Fut,
    Fut: Future<Output = bool>,
{
    let end = tokio::time::Instant::now() + Duration::from_secs(20);
    while !is_so().await {
        assert!(tokio::time::Instant::now() < end, "it never came true: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
