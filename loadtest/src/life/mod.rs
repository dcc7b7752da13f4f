//! `--scenario life`: orders that are bought, paid, paid wrongly or late, cancelled, refunded or
//! left alone, with a provider of its own that tells late, twice, out of order, or loses what it
//! said; then a verdict on units and on money, to the last one, from both sides' books.

mod check;
mod money;
mod role;
mod steps;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Context, bail};
use contract::operators::Price;
use runtime::Tasks;
use tokio::time::Instant;

use crate::args::{LoadtestArgs, VerifySource};
use crate::deployment::Deployment;
use crate::progress;
use crate::provider::{ProviderPlace, ProviderServer};
use crate::setup::{self, Misuse, Reached};
use crate::stores;
use crate::terminal::{interrupts, writable, write_json};
use role::{CURRENCY, PRICE};
use steps::{EXPIRY, LifeCrowd};

/// Offers of a run: its orders meet in as many cells.
const OFFERS: u32 = 8;
/// How long an order may stay unpaid, seconds.
const WINDOW_S: u64 = 20;
/// Between two looks at everything.
const LOOK: Duration = Duration::from_secs(1);

/// Runs it; true when units and money add up.
pub(crate) async fn run(to: &Deployment, args: &LoadtestArgs) -> anyhow::Result<bool> {
    suits(args)?;
    let store = stores::databases(to).map_err(|e| Misuse(format!("--scenario: {e}")))?;
    let tasks = Tasks::new();
    let crowd = Arc::new(gather(setup::find(to, args).await?, args, &tasks).await?);
    interrupts(&tasks, crowd.stop.clone());
    let say = |text: &str| {
        if !args.quiet {
            runtime::note!("{text}");
        }
    };
    say(&format!("{} orders over {OFFERS} offers, seed {}", args.requests, crowd.to.seed));
    let began = Instant::now();
    step(&crowd, args, "bought", LifeCrowd::buy).await;
    let expired = Instant::now() + EXPIRY;
    let seconds = began.elapsed().as_secs_f64();
    step(&crowd, args, "refunds asked for", LifeCrowd::refund).await;
    step(&crowd, args, "paid late", LifeCrowd::pay_late).await;
    let taken = began.elapsed().as_secs_f64();
    say(&format!("{taken:.0} s; settling: until every order is where its money says"));
    let until = (Instant::now() + args.settle).max(expired);
    let verdict = loop {
        let look = Instant::now();
        let is_last = Instant::now() > until;
        match check::judge(&store, &crowd).await {
            Ok(verdict) if verdict.is_conserved() || is_last => break verdict,
            Err(e) if is_last => return Err(e),
            // A database may be away while it looks.
            Ok(_) | Err(_) => {}
        }
        // Looking costs the databases work: at most half of the time is spent on it.
        tokio::time::sleep(look.elapsed().max(LOOK)).await;
    };
    // Nobody is to sign in this provider's name after the run.
    let away = crowd.to.admin.put_provider(crowd.provider.name(), &secret(), None).await;
    if let Err(e) = away {
        runtime::note!("the provider {} keeps its secret: {e:#}", crowd.provider.name());
    }
    runtime::say!("{}", verdict.text());
    if let Some(path) = &args.json {
        let mut json = verdict.json();
        json["run"] = crowd.to.names.run.clone().into();
        json["seconds"] = seconds.into();
        json["interrupted"] = crowd.stop.is_cancelled().into();
        write_json(path, &json)?;
    }
    Ok(verdict.is_conserved())
}

/// One step of all orders, with its progress.
async fn step<F, Fut>(crowd: &Arc<LifeCrowd>, args: &LoadtestArgs, name: &str, step: F)
where
    F: Fn(Arc<LifeCrowd>, u32) -> Fut,
    Fut: Future<Output = Option<()>>,
{
    let done = || u64::from(crowd.done.load(Ordering::Relaxed));
    let show = async {
        match args.quiet {
            true => std::future::pending().await,
            false => progress::show_step(name, args.requests.into(), done).await,
        }
    };
    tokio::select! {
        () = crowd.all(step) => {}
        never = show => match never {},
    }
    if !args.quiet {
        progress::end_line();
    }
}

/// Flags that mean nothing here and were given are refused; those with a default cannot be told
/// apart from it.
fn suits(args: &LoadtestArgs) -> anyhow::Result<()> {
    let given = [
        ("--offer", args.offer.is_some()),
        ("--buckets", args.buckets.is_some()),
        ("--limit-per-buyer", args.limit_per_buyer.is_some()),
        ("--buyers", args.buyers.is_some()),
        ("--settle-after", args.settle_after.is_some()),
        ("--report", args.report.is_some()),
        ("--history", args.history.is_some()),
        ("--quantity", args.quantity != 1),
        ("--verify=api", args.verify == VerifySource::Api),
    ];
    match given.iter().find(|(_, given)| *given) {
        Some((flag, _)) => bail!(Misuse(format!("{flag} does not go with --scenario life"))),
        None => args.json.as_deref().map_or(Ok(()), writable),
    }
}

/// A secret that nobody knows.
fn secret() -> String {
    format!("{:032x}", rand::random::<u128>())
}

/// The provider, the campaign and the offers of a run.
async fn gather(to: Reached, args: &LoadtestArgs, tasks: &Tasks) -> anyhow::Result<LifeCrowd> {
    let name = format!("load-{}", to.names.run);
    let at = args.provider_listen;
    let listener = web::bind(&at.to_string()).await;
    let listener = listener.map_err(|e| Misuse(format!("--provider-listen {at}: {e:#}")))?;
    let address = listener.local_addr().context("the provider's port")?;
    let (gate, secret) = (to.gate.clone(), secret());
    let place = ProviderPlace { name: name.clone(), gate, secret: secret.clone() };
    let provider = ProviderServer::spawn(place, listener, to.clock.clone(), tasks);
    let own = format!("http://{address}");
    let url = args.provider_url.as_deref().unwrap_or(&own);
    to.admin.put_provider(&name, &secret, Some(url)).await?;
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
