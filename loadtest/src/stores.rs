//! Reads ledger, rows and (with Redis) cells directly, beside the running services.
//!
//! The embedded default's SQLite file may be read by a second process (WAL). Nothing is written.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::Context;
use cells::CellsConfig;
use cells::port::Cells;
use domain::{CellId, Entry, Hold, Identity, Kind, OfferId, OrderId, Payload, Totals};
use store::port::{CatalogRead, LedgerRead, OrdersRead, Shards};
use store::{SqlStore, StoreConfig};

use contract::operators::CellStock;

use crate::admin::OfferView;
use crate::crowd::Crowd;
use crate::deployment::Deployment;
use crate::evidence::{CellFacts, CellLedger, Facts, RowFact, View, claims};

const PAGE: u64 = 2000;

/// The open stores.
pub(crate) struct Stores {
    store: SqlStore,
    /// Redis; `None` with embedded cells, which live in another process.
    pub cells: Option<Box<dyn Cells>>,
    offer: OfferId,
    /// b is kept for ever only under a limit.
    limited: bool,
}

/// Opens the databases; `Err` says why not.
pub(crate) fn databases(to: &Deployment) -> Result<SqlStore, String> {
    if to.identity_secret.is_empty() {
        return Err("identity.secret is not known".to_owned());
    }
    let mut cfg = StoreConfig::of(&to.store, Duration::from_secs(20));
    cfg.connections = cfg.connections.min(4);
    if cfg.databases.is_empty() {
        let file = to.data_dir.join("db-0.sqlite");
        if !file.is_file() {
            return Err(format!("{} is not here", file.display()));
        }
        cfg.databases.push(format!("sqlite://{}", file.display()));
    }
    let identity = Identity::new(to.identity_secret.as_bytes());
    let clock = runtime::clock::system_clock();
    SqlStore::new(&cfg, identity, clock).map_err(|e| e.to_string())
}

/// Opens them; `Err` says why not.
pub(crate) async fn open(to: &Deployment, crowd: &Crowd) -> Result<Stores, String> {
    let store = databases(to)?;
    let offer: OfferId = crowd.ground.offer.parse().map_err(|e| format!("offer: {e}"))?;
    let known = store.offer(&offer).await.map_err(|e| e.to_string())?;
    let Some((known, _)) = known else {
        return Err("the configured database does not have this offer".to_owned());
    };
    let cells = match &to.cells {
        Some(cells) => Some(cluster(cells).await?),
        None => None,
    };
    Ok(Stores { store, cells, offer, limited: known.limit_per_buyer.is_some() })
}

#[cfg(feature = "cluster")]
async fn cluster(config: &CellsConfig) -> Result<Box<dyn Cells>, String> {
    let engine = cells::redisrs::connect(config).await;
    Ok(Box::new(engine.map_err(|e| e.to_string())?))
}

#[cfg(not(feature = "cluster"))]
async fn cluster(_: &CellsConfig) -> Result<Box<dyn Cells>, String> {
    Err("this build has no Redis; build with `--features pulsar`".to_owned())
}

impl Stores {
    /// Reads until the view and the ledger are of one moment (an order may expire in between).
    pub(crate) async fn read_still(
        &self,
        crowd: &Crowd,
        mut view: OfferView,
        facts: &mut Facts,
    ) -> anyhow::Result<()> {
        for left in (0..5).rev() {
            facts.cells.clear();
            facts.rows.clear();
            facts.double_rows.clear();
            self.read(&view, facts).await?;
            let still = |c: &CellFacts| c.view.as_ref().is_none_or(|v| v.watermark == c.head.seq);
            if left == 0 || !facts.quiet || facts.cells.iter().all(still) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
            view = crowd.ground.to.admin.view(&crowd.ground.offer).await?;
        }
        Ok(())
    }

    async fn read(&self, view: &OfferView, facts: &mut Facts) -> anyhow::Result<()> {
        for row in &view.cells {
            let cell: CellId = row.cell.parse().context("GET /admin/offers names a cell")?;
            let seen = match &self.cells {
                Some(cells) => self.view(&**cells, &cell).await?,
                None => shown(row),
            };
            let watermark = seen.as_ref().map_or(0, |v| v.watermark);
            let (entries, head) = self.ledger(&cell).await?;
            let at_w = self.store.at(&cell, watermark).await?;
            let ledger = Some(CellLedger { at_w, claims: Vec::new(), entries });
            facts.cells.push(CellFacts { cell: row.cell.clone(), head, ledger, view: seen });
        }
        for db in 0..self.store.databases() {
            self.rows(db, facts).await?;
        }
        let kept = self.without_row(facts).await?;
        let rows = &facts.rows;
        for ledger in facts.cells.iter_mut().filter_map(|c| c.ledger.as_mut()) {
            let of_row = |o: &OrderId| rows.get(o).map(|r| r.key.clone());
            let key = |o: &OrderId| of_row(o).or_else(|| kept.get(o).cloned()).unwrap_or_default();
            ledger.claims = claims(&ledger.entries, key);
        }
        facts.complete = true;
        Ok(())
    }

    async fn ledger(&self, cell: &CellId) -> anyhow::Result<(Vec<Entry>, Totals)> {
        let mut entries: Vec<Entry> = Vec::new();
        loop {
            let after = entries.last().map_or(0, |e| e.seq);
            let page = self.store.after(cell, after, PAGE).await?;
            let page = page.with_context(|| format!("the database has no cell {cell}"))?;
            let empty = page.entries.is_empty();
            // What was appended after the cell row was read belongs to the next page.
            entries.extend(page.entries.into_iter().filter(|e| e.seq <= page.head.seq));
            let end = entries.last().map_or(0, |e| e.seq);
            if empty || end >= page.head.seq {
                return Ok((entries, page.head));
            }
        }
    }

    async fn rows(&self, db: u16, facts: &mut Facts) -> anyhow::Result<()> {
        let mut after: Option<OrderId> = None;
        loop {
            let page = self.store.scan_rows(db, &self.offer, after, PAGE).await?;
            for (r, key) in page.rows {
                let key = key.map(|k| k.as_str().to_owned()).unwrap_or_default();
                let row = RowFact { status: r.status, reason: r.reason, key };
                if facts.rows.insert(r.order, row).is_some() {
                    facts.double_rows.push(r.order);
                }
            }
            after = page.next;
            if after.is_none() {
                return Ok(());
            }
        }
    }

    /// Claims without a row of this offer: it may be filed under the anchor of a cart, which is in
    /// another one, or be missing; then the key is in what is kept beside the verdict.
    async fn without_row(&self, facts: &mut Facts) -> anyhow::Result<HashMap<OrderId, String>> {
        let mut missing = Vec::new();
        for c in &facts.cells {
            let cell: CellId = c.cell.parse()?;
            let entries = c.ledger.iter().flat_map(|l| &l.entries);
            let claims = entries.filter(|e| e.kind == Kind::Claim);
            let claims = claims.filter_map(|e| Some((e.order()?, e.seq)));
            let without = claims.filter(|(order, _)| !facts.rows.contains_key(order));
            missing.extend(without.map(|(order, seq)| (cell.clone(), order, seq)));
        }
        let mut keys = HashMap::new();
        for (cell, order, seq) in missing {
            if let Some(row) = self.store.order(order).await? {
                let key = row.key.map(|k| k.as_str().to_owned()).unwrap_or_default();
                facts.rows.insert(order, RowFact { status: row.status, reason: row.reason, key });
                continue;
            }
            let kept = self.store.kept(&cell, seq).await?;
            let kept = kept.iter().find(|k| k.seq == seq);
            let payload = kept.and_then(|k| Payload::decode(&k.sealed.payload).ok());
            let key = |p: Payload| p.key.map(|k| k.as_str().to_owned()).unwrap_or_default();
            keys.extend(payload.map(|p| (order, key(p))));
        }
        Ok(keys)
    }

    async fn view(&self, cells: &dyn Cells, cell: &CellId) -> anyhow::Result<Option<View>> {
        let Some(v) = cells.snapshot(cell).await? else {
            return Ok(None);
        };
        let buyers = if self.limited { Some(all_buyers(cells, cell).await?) } else { None };
        Ok(Some(View {
            supply: v.totals.supply,
            net: v.totals.net,
            held: v.held,
            available: v.available(),
            watermark: v.totals.seq,
            holds: v.holds,
            deep: Some((v.totals.tok, v.totals.open)),
            all_holds: Some(all_holds(cells, cell).await?),
            buyers,
        }))
    }
}

async fn all_holds(cells: &dyn Cells, cell: &CellId) -> anyhow::Result<Vec<Hold>> {
    let mut holds = HashMap::new();
    let mut cursor = 0;
    loop {
        let page = cells.scan_holds(cell, cursor, 500).await?;
        // A scan may show an element twice.
        holds.extend(page.items.into_iter().map(|h| (h.id, h)));
        cursor = page.cursor;
        if cursor == 0 {
            return Ok(holds.into_values().collect());
        }
    }
}

async fn all_buyers(cells: &dyn Cells, cell: &CellId) -> anyhow::Result<HashMap<String, i64>> {
    let mut buyers = HashMap::new();
    let mut cursor = 0;
    loop {
        let page = cells.scan_buyers(cell, cursor, 500).await?;
        buyers.extend(page.items);
        cursor = page.cursor;
        if cursor == 0 {
            return Ok(buyers);
        }
    }
}

/// The view as the admin listener showed it.
pub(crate) fn shown(row: &CellStock) -> Option<View> {
    (!row.missing).then(|| View {
        supply: row.supply,
        net: row.net,
        held: row.held,
        available: row.available,
        watermark: row.watermark,
        holds: row.holds,
        ..View::default()
    })
}
