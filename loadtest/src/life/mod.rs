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
use contract::operators::Price;
use runtime::Tasks;
use tokio::time::Instant;

use crate::args::LoadtestArgs;
use crate::deployment::Deployment;
use crate::provider::{ProviderPlace, ProviderServer};
use crate::setup::{self, Misuse, Reached};
use crate::stores;
use role::{CURRENCY, PRICE};
use steps::LifeCrowd;

/// Offers of a run: its orders meet in as many cells.
const OFFERS: u32 = 8;
/// How long an order may stay unpaid, seconds.
const WINDOW_S: u64 = 20;
/// Between two looks at everything.
const LOOK: Duration = Duration::from_secs(1);
/// The provider's secret.
const SECRET: &str = "a_secret_of_the_load_test";

/// Runs it; true when units and money add up.
pub(crate) async fn run(deployment: &Deployment, args: &LoadtestArgs) -> anyhow::Result<bool> {
    let store = stores::databases(deployment).map_err(|e| Misuse(format!("--scenario: {e}")))?;
    let to = setup::find(deployment, args).await?;
    let tasks = Tasks::new();
    let crowd = Arc::new(gather(to, args, &tasks).await?);
    let say = |text: &str| {
        if !args.quiet {
            runtime::note!("{text}");
        }
    };
    say(&format!("{} orders over {OFFERS} offers, seed {}", args.requests, crowd.to.seed));
    let began = Instant::now();
    crowd.all(LifeCrowd::buy).await;
    say(&format!("bought in {:.0} s; now some want their money back", since(began)));
    crowd.all(LifeCrowd::refund).await;
    say(&format!("{:.0} s; now some pay what expired", since(began)));
    crowd.all(LifeCrowd::pay_late).await;
    say(&format!("{:.0} s; settling: until every order is where its money says", since(began)));
    let until = Instant::now() + args.settle;
    let verdict = loop {
        let verdict = check::judge(&store, &crowd).await?;
        if verdict.is_conserved() || Instant::now() > until {
            break verdict;
        }
        tokio::time::sleep(LOOK).await;
    };
    runtime::say!("{}", verdict.text());
    Ok(verdict.is_conserved())
}

fn since(began: Instant) -> f64 {
    began.elapsed().as_secs_f64()
}

/// The provider, the campaign and the offers of a run.
async fn gather(to: Reached, args: &LoadtestArgs, tasks: &Tasks) -> anyhow::Result<LifeCrowd> {
    let name = format!("load-{}", to.names.run);
    let listener = web::bind("127.0.0.1:0").await.context("a port for the provider")?;
    let address = listener.local_addr().context("the provider's port")?;
    let (gate, secret) = (to.gate.clone(), SECRET.to_owned());
    let place = ProviderPlace { name: name.clone(), gate, secret };
    let provider = ProviderServer::spawn(place, listener, to.clock.clone(), tasks);
    to.admin.put_provider(&name, SECRET, &format!("http://{address}")).await?;
    to.admin.put_campaign(&name, WINDOW_S).await?;
    let mut offers = Vec::new();
    for n in 0..OFFERS {
        let offer = format!("{name}-{n}");
        let price = Price { currency: CURRENCY.into(), minor: PRICE };
        to.admin.put_life_offer(&offer, &name, price, args.requests).await?;
        offers.push(offer);
    }
    Ok(LifeCrowd::new(to, args, offers, provider))
}
