//! `--scenario life`: orders that are bought, paid, paid wrongly or late, cancelled, refunded or left
//! alone, with a provider of its own that tells late, twice, out of order, or loses what it said;
//! then a verdict on units and on money, to the last one, from both sides' books.

mod check;
mod money;
mod role;
mod steps;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use runtime::Tasks;
use tokio::time::Instant;

use crate::args::LoadtestArgs;
use crate::deployment::Deployment;
use crate::provider::{ProviderPlace, ProviderServer};
use crate::setup::{self, Misuse};
use check::LifeVerdict;
use role::{CURRENCY, PRICE};
use steps::LifeCrowd;

/// Offers of a run: its orders meet in as many cells.
const OFFERS: u32 = 8;
/// How long an order may stay unpaid, seconds.
const WINDOW_S: u64 = 20;
/// The provider's secret.
const SECRET: &str = "a_secret_of_the_load_test";

/// Runs it; true when units and money add up.
pub(crate) async fn run(to: &Deployment, args: &LoadtestArgs) -> anyhow::Result<bool> {
    let ground = setup::prepare(to, &LoadtestArgs { units: 0, ..args.clone() }).await?;
    let tasks = Tasks::new();
    let name = format!("load-{}", ground.names.run);
    let listener = web::bind("127.0.0.1:0").await.context("a port for the provider")?;
    let address = listener.local_addr().context("the provider's port")?;
    let gate = ground.gate.to_string();
    let place = ProviderPlace { name: name.clone(), gate, secret: SECRET.to_owned() };
    let provider = ProviderServer::spawn(place, listener, ground.clock.clone(), &tasks);
    ground.admin.put_provider(&name, SECRET, &format!("http://{address}")).await?;
    ground.admin.put_campaign(&name, WINDOW_S).await?;
    let mut offers = Vec::new();
    for n in 0..OFFERS {
        let offer = format!("{name}-{n}");
        ground.admin.put_life_offer(&offer, &name, (PRICE, CURRENCY), args.requests).await?;
        offers.push(offer);
    }
    let crowd = Arc::new(LifeCrowd::new(ground, args, offers, provider));
    let say = |text: &str| {
        if !args.quiet {
            runtime::note!("{text}");
        }
    };
    say(&format!("{} orders, seed {}", args.requests, crowd.ground.seed));
    let began = Instant::now();
    crowd.all(LifeCrowd::buy).await;
    say(&format!("bought in {:.0} s; refunds", began.elapsed().as_secs_f64()));
    crowd.all(LifeCrowd::refund).await;
    say("waiting until windows are over; late payments");
    crowd.all(LifeCrowd::pay_late).await;
    say("settling: until every order is where its money says");
    let stores = check::open(to, &crowd).map_err(|e| Misuse(format!("--verify: {e}")))?;
    let until = Instant::now() + args.settle;
    let verdict = loop {
        let verdict = check::judge(&stores, &crowd).await?;
        if verdict.is_conserved() || Instant::now() > until {
            break verdict;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    };
    told(&verdict);
    Ok(verdict.is_conserved())
}

fn told(verdict: &LifeVerdict) {
    runtime::say!("{}", verdict.text());
}
