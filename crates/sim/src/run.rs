//! One schedule from its plan to its verdict.

use std::sync::Arc;
use std::time::Duration;

use ::cells::Cells;
use ::cells::Engine;
use ::cells::port::LoadCall;
use async_trait::async_trait;
use domain::invariant::Violation;
use domain::{Buyer, Campaign, CampaignNo, CellId, Offer, OfferId, Price};
use futures::future::join_all;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use orderlog::port::OrderLog;
use store::{CatalogWrite, Init, LedgerRead, LedgerWrite};
use tokio::time::sleep;
use view::{CatalogCache, Lost, RewindError};

use crate::bank;
use crate::calls::NodeCalls;
use crate::client::Client;
use crate::coverage::Coverage;
use crate::fault;
use crate::net::spawn;
use crate::node::Node;
use crate::operator;
use crate::person::Person;
use crate::plan::{OfferPlan, Plan, Role};
use crate::plant::Plant;
use crate::post;
use crate::process::{ADMIN_TOKEN, Config, Fleet, config, ports};
use crate::redis::Redis;
use crate::world::{START_MS, World};

/// Quiet must come so long after the faults ended, simulated ms. A barrier may take two minutes.
const QUIET_MS: u64 = 300_000;
/// The node of the operator who rewinds.
const OPERATOR: u64 = 99;
/// Buyers of the plans.
const BUYERS: u64 = 7;

/// What one thread uses for schedule after schedule.
pub struct Lab {
    redis: Arc<Redis>,
    config: Config,
    metrics: PrometheusHandle,
    tokens: Vec<(Buyer, String)>,
    plant: Plant,
}

/// How a schedule ended.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    /// What was broken first.
    pub violation: Option<Violation>,
    /// Simulated ms until then, or until all was quiet.
    pub at: u64,
    /// A line per step, when asked for.
    pub story: Vec<String>,
    /// What was met.
    pub cover: Coverage,
    /// The faults of calls that were met.
    pub met: Vec<u64>,
}

impl Lab {
    /// With a planted fault, or none; `Err` when it cannot be planted.
    pub fn new(plant: Plant) -> Result<Self, String> {
        let config = config();
        let redis = Arc::new(Redis::new(&|s| plant.edit(s))?);
        plant.check()?;
        let clock = Arc::new(Still);
        let tokens = web::Tokens::new(&config.gate.auth, ADMIN_TOKEN, clock)?;
        let mint = |n: u64| {
            let buyer: Buyer = format!("b{n}").parse().map_err(|e| format!("{e}"))?;
            let token = tokens.mint_buyer(&buyer, 86_400).ok_or("no secret to sign with")?;
            Ok((buyer, format!("Bearer {token}")))
        };
        let tokens = (0..BUYERS).map(mint).collect::<Result<_, String>>()?;
        let metrics = PrometheusBuilder::new().build_recorder().handle();
        Ok(Self { redis, config, metrics, tokens, plant })
    }

    /// Runs a plan; `told` keeps its story.
    pub fn run(&self, plan: Plan, told: bool) -> Result<Outcome, String> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .map_err(|e| e.to_string())?;
        self.plant.switch_on();
        let outcome = runtime.block_on(async {
            let world = World::new(plan, self.redis.clone(), told);
            self.plant.break_store(&world.store);
            let fleet = Fleet::new(world.clone(), self.config.clone(), self.metrics.clone());
            tokio::select! {
                biased;
                () = world.broken.notified() => {}
                () = self.schedule(&fleet) => {}
            }
            self.close(&world)
        });
        Plant::switch_off();
        Ok(outcome)
    }

    fn close(&self, world: &World) -> Outcome {
        Outcome {
            violation: world.oracle.lock().violation.clone(),
            at: world.at(),
            story: world.story(),
            cover: world.cover.lock().clone(),
            met: world.met.lock().clone(),
        }
    }

    async fn schedule(&self, fleet: &Arc<Fleet>) {
        let world = &fleet.world;
        if let Err(e) = open(world).await {
            world.check(|oracle, _| oracle.broken_setup(e));
            return;
        }
        let plan = &world.plan;
        let roles = [
            (Role::Gate, plan.gates),
            (Role::Writer, plan.writers),
            (Role::Reconciler, plan.reconcilers),
            (Role::Clerk, plan.lives.map_or(0, |l| l.clerks)),
        ];
        for (role, n) in roles {
            (0..n).for_each(|i| fleet.start(role, i));
        }
        if plan.lives.is_some() {
            spawn(post::run(fleet.clone()));
        }
        let clients = (0..plan.clients.len())
            .filter(|n| !plan.tweaks.clients.contains(n))
            .map(|n| Client::new(fleet, n, &self.tokens).run());
        let healing = async {
            fault::run(fleet.clone()).await;
            let faulty = !plan.faults.is_empty() || plan.calls.any();
            world.until(if faulty { plan.heals_at() } else { 0 }).await;
            world.heal();
            fleet.heal();
        };
        tokio::join!(join_all(clients), operator::run(fleet.clone()), healing);
        settle(fleet).await;
    }
}

/// The campaigns, the offers, their cells in the ledger and in Redis.
async fn open(world: &World) -> Result<(), String> {
    let text = |e: &dyn std::fmt::Display| e.to_string();
    let store = &world.store;
    store.init(&world.identity.fingerprint_hex()).await.map_err(|e| text(&e))?;
    world.log.init(world.plan.databases).await.map_err(|e| text(&e))?;
    let setup = Engine::new(Setup(world.redis.clone()));
    if world.plan.lives.is_some() {
        store.put_provider(&bank::provider()).await.map_err(|e| text(&e))?;
    }
    for offer in &world.plan.offers {
        let cells = create(world, offer).await?;
        for cell in cells {
            let head = store.head(&cell).await.map_err(|e| text(&e))?.unwrap_or_default();
            let call = LoadCall {
                totals: head,
                inc: 1,
                adds: 0,
                ticket: None,
                staged: None,
                staged_len: 0,
                limited: offer.limit > 0,
            };
            setup.load(&cell, call).await.map_err(|e| text(&e))?;
            world.check(|oracle, w| {
                oracle.store(w);
                oracle.overwritten(w, &cell);
            });
        }
    }
    Ok(())
}

async fn create(world: &World, plan: &OfferPlan) -> Result<Vec<CellId>, String> {
    let text = |e: &dyn std::fmt::Display| e.to_string();
    let store = &world.store;
    let id: OfferId = plan.name.parse().map_err(|e| text(&e))?;
    let at = |ms: Option<u64>| ms.map(|ms| (START_MS + ms) as i64);
    let campaign = Campaign {
        id: format!("c-{}", plan.name).parse().map_err(|e| text(&e))?,
        number: CampaignNo(0),
        opens_at_ms: at(plan.window.0),
        closes_at_ms: at(plan.window.1),
        payment_window_s: plan.pays_within,
    };
    store.put_campaign(&campaign).await.map_err(|e| text(&e))?;
    let offer = Offer {
        id: id.clone(),
        campaign: campaign.id,
        sku: plan.name.clone(),
        price: Price { currency: "EUR".to_owned(), minor: 250 },
        allotment: plan.units.iter().sum(),
        limit_per_buyer: (plan.limit > 0).then_some(plan.limit),
        buckets: plan.units.len() as u8,
        policy: plan.policy,
    };
    store.put_offer(&offer).await.map_err(|e| text(&e))?;
    let cells: Vec<(CellId, i64)> =
        (0u8..).zip(&plan.units).map(|(n, u)| (id.cell(n), *u)).collect();
    let ids = world.identity.opening(&id);
    // 0: any units, because several buckets share the id.
    world.check(|oracle, _| oracle.asks(ids.0, 0));
    store.create_cells(&cells, ids).await.map_err(|e| text(&e))?;
    Ok(cells.into_iter().map(|c| c.0).collect())
}

/// Waits until nothing moves any more, then looks for the last time.
async fn settle(fleet: &Arc<Fleet>) {
    let world = &fleet.world;
    let mut quiet = 0;
    let mut person = Person::default();
    let mut last = world.at() + QUIET_MS;
    loop {
        match world.check(|oracle, w| oracle.restless(w)) {
            None => quiet += 1,
            Some(what) if world.at() > last => {
                return world.check(|oracle, _| oracle.never_quiet(what));
            }
            Some(_) => quiet = 0,
        }
        if quiet >= 2 && world.strays() == 0 && world.check(|oracle, _| oracle.begins_rewind()) {
            rewind(world).await;
            (quiet, last) = (0, world.at() + QUIET_MS);
        } else if quiet >= 2 && world.strays() == 0 {
            world.tell("WORLD", || "all is quiet".to_owned());
            return world.check(|oracle, w| oracle.end(w));
        }
        person.finish(fleet).await;
        sleep(Duration::from_millis(100)).await;
    }
}

/// What an operator does after databases lost commits (PROTOCOL 6.10), until nothing is left.
async fn rewind(world: &Arc<World>) {
    let operator = Node::new(world, Role::Reconciler, OPERATOR, 0);
    let settings = writer::WriterSettings {
        batch_frames: 64,
        batch_orders: 512,
        patience: Duration::from_millis(400),
        give_up_after: 1000,
    };
    for db in 0..world.plan.databases {
        let ports = ports(&operator);
        let lost = Lost { db, since_ms: START_MS };
        let rewind = writer::Rewind::new(ports.writer(), &settings, lost);
        let catalog = CatalogCache::new(ports.store.clone());
        let lives = clerk::RewindLives::new(
            ports.clerk(),
            catalog.clone(),
            Arc::new(NodeCalls { node: operator.clone() }),
            lost,
        );
        if let Err(e) = catalog.refresh().await {
            return world.check(|oracle, _| oracle.never_quiet(e.to_string()));
        }
        let done = async {
            let back = lives.refunds(|_, _| {}).await?;
            let done = rewind.run(|_, _| {}).await?;
            Ok::<_, RewindError>((done, lives.run(back, |_, _| {}).await?))
        };
        match done.await {
            Ok((done, lives)) => {
                world.tell("operator", || format!("rewinds db-{db}: {done:?}"));
                world.met("rewind", "done");
                for (what, n) in [
                    ("claimed", done.claimed),
                    ("rejected", done.rejected),
                    ("rows", done.rows),
                    ("refused", done.refused),
                ] {
                    if n > 0 {
                        world.met("rewind", what);
                    }
                }
                world.tell("operator", || format!("rewinds lives of db-{db}: {lives:?}"));
                for (what, n) in [
                    ("owed", done.owed),
                    ("news", lives.frames),
                    ("refunds", lives.refunds),
                    ("returns", lives.returns),
                ] {
                    if n > 0 {
                        world.met("rewind", what);
                    }
                }
                // Its goods are with its buyer, or some are back of an order that is dead now: no
                // process can mend that.
                let is_known = |(_, why): &&(_, String)| {
                    why.ends_with("and without its units") || why == "row_returned"
                };
                let unmended = done.named.iter().filter(is_known).map(|(order, _)| *order);
                let n = unmended.clone().count() as u64;
                world.check(|oracle, _| oracle.unmended(unmended));
                if done.left + lives.left > n {
                    let what = format!("a rewind leaves {:?} {:?}", done.named, lives.named);
                    return world.check(|oracle, _| oracle.never_quiet(what));
                }
            }
            Err(e) => return world.check(|oracle, _| oracle.never_quiet(e.to_string())),
        }
    }
}

/// Runs the scripts of the setup beside the network.
struct Setup(Arc<Redis>);

#[async_trait]
impl ::cells::Runner for Setup {
    async fn run(
        &self,
        cell: &CellId,
        call: ::cells::script::Call,
    ) -> ::cells::CellResult<::cells::value::Value> {
        self.0.run(START_MS, cell, &Arc::new(call))
    }
    async fn ping(&self) -> bool {
        true
    }
}

/// The clock that stands at the start: tokens are minted once for all schedules.
struct Still;

impl runtime::Clock for Still {
    fn now_ms(&self) -> u64 {
        START_MS
    }
}
