//! `sluicegate dev`: everything in one process on the embedded default.
//!
//! Start: take the data folder, bind, drain the log into the ledger, load all cells from the
//! ledger, make the demo offer, then listen. A second start goes on where the first stopped,
//! however that one ended.

use std::time::Duration;

use cells::CellsBackend;
use domain::{Buyer, CampaignId, CellId, Offer, OfferId, Price, Tenant};
use reconciler::Reconciler;
use runtime::Tasks;
use view::{CatalogCache, Ports, Reconcile};

use crate::config::Config;
use crate::demo::{self, DEMO, FIRST};
use crate::exit::Exit;
use crate::secrets;
use crate::services::{GateWith, begin, bind, start_gate, until_end};
use crate::wire::{self, RedisClient};

const DEMO_UNITS: i64 = 10_000;

/// `sluicegate` and `sluicegate dev`.
pub(crate) async fn run(mut config: Config) -> Result<(), Exit> {
    if config.cells.backend == CellsBackend::Redis {
        return Err(Exit::usage(
            "`dev` is the embedded default; with Redis run `sluicegate gate`, `writer` and \
             `reconciler`",
        ));
    }
    let dir = config.data_dir.clone();
    let _lock = wire::own_data_dir(&dir)?;
    secrets::make(&dir)?;
    secrets::fill(&mut config)?;
    let buyers = bind("gate.listen", &config.gate.listen).await?;
    let operators = bind("admin.listen", &config.admin.listen).await?;
    let tasks = Tasks::new();
    let handle = begin(&config, &tasks)?;
    let ports = wire::ports(&config, &tasks, RedisClient::Hot).await?;
    writer::spawn(&tasks, &ports.writer(), &(&config.writer).into());
    let catalog = CatalogCache::new(ports.store.clone());
    catalog.refresh().await.map_err(|e| Exit::unavailable(e.to_string()))?;
    catalog.spawn(&tasks);
    clerk::spawn(&tasks, &ports.clerk(), &config.of_clerk(catalog, ports.clock.clone()));
    drain_log(&ports).await?;
    let settings = config.of_reconciler();
    let reconciler = Reconciler::new(&ports.reconciler(), &settings);
    load_cells(&ports, &reconciler).await?;
    demo_offer(&ports, &reconciler).await?;
    demo::provider(&config, &ports, &tasks).await?;
    let order = demo::first_order(&ports).await?;
    reconciler.spawn(&tasks);
    reconciler.spawn_money(&tasks);
    let with = GateWith { ports, buyers, operators, reconciler, handle };
    let gate = start_gate(&config, &tasks, with).await?;
    print_block(&config, gate.tokens(), &order);
    until_end(&config, &tasks, Some(&gate)).await?;
    runtime::say!("stopped; the data stays in {}", dir.display());
    Ok(())
}

/// What was accepted before the last end reaches the ledger before anything is sold again.
async fn drain_log(ports: &Ports) -> Result<(), Exit> {
    let mut said = false;
    loop {
        let left = ports.log.backlog().await.map_err(|e| Exit::unavailable(e.to_string()))?;
        if left == 0 {
            return Ok(());
        }
        if !said {
            runtime::say!("writing {left} frames of the last run into the ledger");
            said = true;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn load_cells(ports: &Ports, reconciler: &Reconciler) -> Result<(), Exit> {
    const PAGE: u64 = 256;
    for db in 0..ports.store.databases() {
        let mut after: Option<CellId> = None;
        loop {
            let cells = ports.store.cells(db, after.as_ref(), PAGE).await;
            let cells = cells.map_err(|e| Exit::unavailable(e.to_string()))?;
            let Some(last) = cells.last().cloned() else { break };
            // The log is drained and nobody else has this data: no barrier is needed.
            let fail = |e: view::OperateError| Exit::unavailable(e.to_string());
            let ticket = reconciler.first_ticket(&cells).await.map_err(fail)?;
            let others = || Exit::unavailable("somebody else loads this data folder's cells");
            let ticket = ticket.ok_or_else(others)?;
            reconciler.first_load(&cells, &ticket).await.map_err(fail)?;
            after = Some(last);
        }
    }
    Ok(())
}

/// The offer that the printed curl line buys; made on the first start.
async fn demo_offer(ports: &Ports, reconciler: &Reconciler) -> Result<(), Exit> {
    let fail = |e: store::StoreError| Exit::unavailable(e.to_string());
    let id: OfferId = DEMO.parse().map_err(|_| Exit::usage("demo offer"))?;
    let offer = match ports.store.offer(&id).await.map_err(fail)? {
        Some((known, _)) => known,
        None => {
            let demo = Offer {
                id,
                campaign: CampaignId::evergreen(&Tenant::default()),
                sku: "DEMO-1".to_owned(),
                price: Price { currency: "EUR".to_owned(), minor: 1999 },
                allotment: DEMO_UNITS,
                limit_per_buyer: None,
                buckets: 1,
                policy: Default::default(),
            };
            ports.store.put_offer(&demo).await.map_err(fail)?;
            demo
        }
    };
    let opened = view::open_offer(&*ports.store, &ports.identity, reconciler, &offer).await;
    opened.map(drop).map_err(|e| Exit::unavailable(e.to_string()))
}

fn print_block(config: &Config, tokens: &web::Tokens, order: &str) {
    let gate = &config.gate.listen;
    let admin = &config.admin.listen;
    let day = 86_400;
    let buyer: Option<Buyer> = demo::ALICE.parse().ok();
    let token = buyer.and_then(|b| tokens.mint_buyer(&b, 30 * day)).unwrap_or_default();
    runtime::say!("Sluicegate sells: {DEMO_UNITS} units of the offer `{DEMO}`.");
    runtime::say!("  buyers     http://{gate}");
    runtime::say!("  operators  http://{admin}  (metrics at /metrics)");
    runtime::say!("  data       {}", config.data_dir.display());
    runtime::say!("  operator's token  {}", config.admin.token);
    runtime::say!("  token of buyer alice  {token}");
    runtime::say!("Buy one:");
    runtime::say!(
        "  curl -i http://{gate}/v1/offers/{DEMO}/orders -X POST \
         -H 'Authorization: Bearer {token}' -H 'Idempotency-Key: {FIRST}'"
    );
    runtime::say!("Pay it, at the built-in provider `{DEMO}`:");
    runtime::say!(
        "  curl -s http://{gate}/v1/orders/{order}/payments -d '{{\"provider\":\"{DEMO}\"}}' \
         -H 'Content-Type: application/json' -H 'Authorization: Bearer {token}' && sleep 2 && \
         curl -s http://{gate}/v1/orders/{order} -H 'Authorization: Bearer {token}'"
    );
    runtime::say!("Ctrl-C stops; the data stays.");
}
