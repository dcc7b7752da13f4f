//! Two processes at once on the same work: exactly one effect.

use std::collections::HashMap;
use std::sync::Arc;

use anyhow::{Result, ensure};
use domain::order::RowStatus;
use domain::{CellId, Kind, OrderId, Payload};
use store::port::{Change, RowState};
use store::{Store, StoreResult};
use tokio::task::JoinSet;

use super::make::{asks, row};
use super::subject::{Subject, same};

const TASKS: usize = 4;
const ORDERS: usize = 240;

impl Subject {
    fn process(&self, n: usize) -> Arc<dyn Store> {
        Arc::clone(if n.is_multiple_of(2) { &self.store } else { &self.other })
    }
}

/// Runs a call again while its outcome is unknown, as every service does.
async fn persist<T, F: Future<Output = StoreResult<T>>>(call: impl Fn() -> F) -> StoreResult<T> {
    let mut tries = 0;
    loop {
        tries += 1;
        match call().await {
            Err(e) if e.is_transient() && tries < 100 => {}
            done => return done,
        }
    }
}

type Seen = Vec<(CellId, OrderId, Kind, u64, bool)>;

/// What a writer does with its batches: runs each until it is answered.
async fn writer(store: Arc<dyn Store>, batches: Vec<Vec<(CellId, Vec<Payload>)>>) -> Result<Seen> {
    let mut seen = Seen::new();
    for batch in batches {
        let call: Vec<_> = batch.iter().map(|(cell, orders)| asks(cell, orders)).collect();
        let out = persist(|| store.verdicts(&call)).await?;
        for (c, (_, orders)) in out.iter().zip(&batch) {
            let rows = c.verdicts.iter().zip(orders);
            seen.extend(rows.map(|(v, o)| (c.cell.clone(), o.order, v.kind, v.seq, v.fresh)));
        }
    }
    Ok(seen)
}

/// Every writer gets all orders on two cells, each in another order of batches and cells.
pub(super) async fn verdicts(s: &Subject) -> Result<()> {
    let cells = s.offer("race", &[150, 90]).await?;
    let orders: Vec<Payload> =
        (0..ORDERS).map(|n| s.order(&format!("race-{n}"), "k", &cells)).collect();
    let mut set = JoinSet::new();
    for task in 0..TASKS {
        let mut batches: Vec<Vec<(CellId, Vec<Payload>)>> = orders
            .chunks(17 + task)
            .map(|c| cells.iter().map(|cell| (cell.clone(), c.to_vec())).collect())
            .collect();
        let turn = batches.len() * task / TASKS;
        batches.rotate_left(turn);
        if task % 2 == 1 {
            batches.iter_mut().for_each(|b| b.reverse());
        }
        set.spawn(writer(s.process(task), batches));
    }
    let mut verdicts: HashMap<(CellId, OrderId), (Kind, u64)> = HashMap::new();
    let mut fresh = 0;
    while let Some(seen) = set.join_next().await {
        for (cell, order, kind, seq, new) in seen?? {
            fresh += usize::from(new);
            let first = *verdicts.entry((cell, order)).or_insert((kind, seq));
            ensure!(first == (kind, seq), "two verdicts of {order}: {first:?}, {kind:?} {seq}");
        }
    }
    // A repeat after an unknown commit finds its own verdict and calls it old.
    ensure!(fresh <= 2 * ORDERS, "{fresh} fresh verdicts of {}", 2 * ORDERS);
    same(verdicts.len(), 2 * ORDERS)?;
    for (cell, supply) in cells.iter().zip([150, 90]) {
        let (entries, head) = s.audit(cell).await?;
        same((entries.len(), head.net), (ORDERS + 2, supply))?;
    }
    Ok(())
}

/// Every writer gets the same few orders at the same moment, again and again.
pub(super) async fn one_batch(s: &Subject) -> Result<()> {
    let cell = &s.offer("race-one", &[30]).await?[0];
    let mut total = 0;
    for round in 0..12 {
        let orders = s.orders(&format!("race-one-{round}"), 4, cell);
        let mut set = JoinSet::new();
        for task in 0..TASKS {
            set.spawn(writer(s.process(task), vec![vec![(cell.clone(), orders.clone())]]));
        }
        let mut verdicts: HashMap<OrderId, (Kind, u64)> = HashMap::new();
        while let Some(seen) = set.join_next().await {
            for (_, order, kind, seq, _) in seen?? {
                let first = *verdicts.entry(order).or_insert((kind, seq));
                ensure!(first == (kind, seq), "two verdicts of {order}: {first:?}, {kind:?} {seq}");
            }
        }
        total += orders.len();
    }
    let (entries, head) = s.audit(cell).await?;
    same((entries.len(), head.net), (total + 2, 30))
}

/// Two contents under each key, both tried by everybody: one row lives.
pub(super) async fn rows(s: &Subject) -> Result<()> {
    let cells = s.offer("race-rows", &[9, 9]).await?;
    let keys: Vec<String> = (0..40).map(|n| format!("k{n}")).collect();
    let content = |c: &CellId| -> Vec<Payload> {
        let one = |k: &String| s.order("race-rows", k, std::slice::from_ref(c));
        keys.iter().map(one).collect()
    };
    let both = [content(&cells[0]), content(&cells[1])];
    let mut set = JoinSet::new();
    for task in 0..TASKS {
        let (store, s) = (s.process(task), s.clone());
        let orders = [both[task % 2].clone(), both[(task + 1) % 2].clone()];
        set.spawn(async move {
            let db = s.store.buyer_db(&orders[0][0].buyer);
            let mut got: Vec<RowState> = Vec::new();
            for chunk in orders.iter().flat_map(|o| o.chunks(7)) {
                let call: Vec<_> = chunk.iter().map(row).collect();
                got.extend(persist(|| store.rows(db, &call)).await?);
            }
            anyhow::Ok(got)
        });
    }
    let mut states: HashMap<OrderId, RowStatus> = HashMap::new();
    while let Some(got) = set.join_next().await {
        for r in got?? {
            let first = *states.entry(r.order).or_insert(r.status);
            same(r.status, first)?;
        }
    }
    for (a, b) in both[0].iter().zip(&both[1]) {
        let alive = [a, b].map(|p| states.get(&p.order) == Some(&RowStatus::Pending));
        ensure!(alive[0] != alive[1], "{:?}: both or none live", a.key);
        let owner = s.by_key(a).await?.map(|o| o.order);
        same(owner, Some(if alive[0] { a.order } else { b.order }))?;
    }
    Ok(())
}

/// Everybody creates the same cells, adds the same supply and makes the same transfers.
pub(super) async fn cells_and_units(s: &Subject) -> Result<()> {
    let mut set = JoinSet::new();
    for task in 0..TASKS {
        let (store, s) = (s.process(task), s.clone());
        set.spawn(async move {
            let s = Subject { store: Arc::clone(&store), ..s };
            let cells = s.offer("race-units", &[10, 10]).await?;
            let (a, b) = (&cells[0], &cells[1]);
            for n in 0..10 {
                let id = s.request(&format!("race-s{n}"));
                store.supply(&[(a.clone(), 1), (b.clone(), 1)], id).await?;
                let id = s.request(&format!("race-t{n}"));
                // Both directions, so that the locks would cross if they were not ordered.
                let (from, to) = if (n + task) % 2 == 0 { (a, b) } else { (b, a) };
                let moved = store.transfer(id, from, Some(to), 1).await?;
                let fine = matches!(moved, Change::Done(_) | Change::OtherUnits);
                ensure!(fine, "{moved:?}");
            }
            Ok(cells)
        });
    }
    let mut cells = Vec::new();
    while let Some(done) = set.join_next().await {
        cells = done??;
    }
    let mut supply = 0;
    for cell in &cells {
        supply += s.audit(cell).await?.1.supply;
    }
    same(supply, 40)
}
