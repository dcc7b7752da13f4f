//! What comes after the row: callbacks until their orders are paid, refunds until the provider has
//! moved their money, and orders that expire among others that do not.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use clerk::{ClerkSettings, ClerkWith};
use domain::OrderId;
use domain::life::{Actor, AdapterKind, LifeWish, Policies, Portion, Provider, RefundAsk};
use futures::{StreamExt, stream};
use gate::Gate;
use http_body_util::{BodyExt, Full};
use hyper::Response;
use life::calls::{ProviderCalls, RefundCall};
use life::http::HttpProviders;
use runtime::{Phase, Tasks};
use store::port::MAX_ORDERS;
use testkit::mariadb::Server;
use tokio::time::Instant;
use view::CatalogCache;

use crate::config::Config;
use crate::growth::Grown;
use crate::load;
use crate::reference;
use crate::report::{Report, Row};

/// Orders that are paid, then refunded.
const PAID: usize = 20_000;
/// Connections of the provider: each waits for the log's receipt.
const CONNECTIONS: usize = 512;
/// What it answers when it is to close a payment.
const CLOSED: &str = r#"{"result":"captured","captured":{"currency":"EUR","minor":1999}}"#;
/// What it answers when it is to send money back.
const SUCCEEDED: &str = r#"{"result":"succeeded"}"#;
/// Calls of the provider at once: the clerk's own bound.
const CALLS: usize = 32;
/// Calls of the provider that nobody makes for an order.
const BARE_CALLS: usize = 20_000;
/// Orders whose time is over, among as many pending ones, and among ten times as many.
const DUE: usize = 100_000;
/// Expires long after the measurement, UTC ms.
const LATER: u64 = 4_000_000_000_000;
/// It has to end.
const PATIENCE: Duration = Duration::from_secs(300);

/// Its rows.
const ROWS: [&str; 3] = ["callbacks", "refunds", "growth_expiry"];

/// True for a row of this file.
pub(crate) fn has(name: &str) -> bool {
    ROWS.contains(&name)
}

/// All of them that are wanted.
pub(crate) async fn rows(
    config: &Config,
    wanted: &impl Fn(&str) -> bool,
    report: &mut Report,
) -> Result<()> {
    if wanted("callbacks") || wanted("refunds") {
        let grown = Grown::fill(config, PAID, |_| LATER).await?;
        let stand = PayingStand::start(grown).await?;
        report.add(stand.callbacks().await?);
        if wanted("refunds") {
            report.add(stand.refunds().await?);
        }
        stand.end().await?;
    }
    if wanted("growth_expiry") {
        report.add(expiry(config).await?);
    }
    Ok(())
}

/// A clerk over a cell that is filled; it ends with its tasks.
fn clerk(grown: &Grown, catalog: &Arc<CatalogCache>) -> Tasks {
    let tasks = Tasks::new();
    let settings = ClerkSettings { grace_ms: 0, ..(&grown.config.clerk).into() };
    let with = ClerkWith {
        catalog: catalog.clone(),
        calls: HttpProviders::new(grown.ports.clock.clone()),
        publish: grown.config.gate.publish.times(),
        wait: None,
        settings,
    };
    clerk::spawn(&tasks, &grown.ports.clerk(), &with);
    tasks
}

async fn ended(tasks: Tasks) {
    tasks.enter(Phase::Done);
    tasks.wait(Duration::from_secs(3)).await;
}

/// Waits until a count of the database is 0.
async fn until_none(grown: &Grown, count: &str) -> Result<()> {
    let (server, database) = Server::of(&grown.own.urls[0])?;
    let (sql, until) = (format!("USE {database}; {count}"), Instant::now() + PATIENCE);
    loop {
        let left = server.sql(&sql)?;
        if left.trim() == "0" {
            return Ok(());
        }
        ensure!(Instant::now() < until, "{count}: still {}", left.trim());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// A gate, a provider that answers at once, and orders that nobody has paid.
struct PayingStand {
    grown: Grown,
    gate: SocketAddr,
    provider: Provider,
    catalog: Arc<CatalogCache>,
}

impl PayingStand {
    async fn start(grown: Grown) -> Result<Self> {
        let bank = reference::serve(|request| async move {
            let is_close = request.uri().path().ends_with("/close");
            let _ = request.into_body().collect().await;
            let told = if is_close { CLOSED } else { SUCCEEDED };
            Response::new(Full::new(Bytes::from_static(told.as_bytes())))
        });
        let provider = Provider {
            id: "bank".parse()?,
            adapter: AdapterKind::Generic,
            secrets: vec!["a secret of the bench".to_owned()],
            base_url: Some(format!("http://{}", bank.await?)),
            timeout_ms: 5000,
        };
        grown.ports.store.put_provider(&provider).await?;
        let catalog = CatalogCache::new(grown.ports.store.clone());
        catalog.refresh().await?;
        let calls = HttpProviders::new(grown.ports.clock.clone());
        let gate = Gate::new(&grown.config.gate, grown.ports.gate(), calls, &grown.tasks)?;
        gate.start().await?;
        let listener = web::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        gate::listen(&gate, listener);
        gate.set_ready();
        Ok(Self { grown, gate: address, provider, catalog })
    }

    fn orders(&self) -> Result<Vec<OrderId>> {
        (0..PAID).map(|n| Ok(self.grown.order(n)?.order)).collect()
    }

    /// What the provider sends, as bytes of HTTP/1.1.
    fn callback(&self, order: OrderId) -> Vec<u8> {
        let body = format!(
            "{{\"event_id\":\"e-{order}\",\"payment_id\":\"p-{order}\",\"order_id\":\"{order}\",\
             \"result\":\"captured\",\"amount\":{{\"currency\":\"EUR\",\"minor\":1999}}}}"
        );
        let at = self.grown.ports.clock.now_ms() / 1000;
        let signature = life::adapter::sign(&self.provider.secrets[0], at, body.as_bytes());
        let length = body.len();
        format!(
            "POST /v1/payments/bank/callback HTTP/1.1\r\nhost: bench\r\n\
             sluicegate-signature: {signature}\r\ncontent-type: application/json\r\n\
             content-length: {length}\r\n\r\n{body}"
        )
        .into_bytes()
    }

    /// The row `callbacks`: from the first one until the last order is paid, against bare hyper
    /// that reads the same bytes.
    async fn callbacks(&self) -> Result<Row> {
        let requests = self.orders()?.into_iter().map(|order| self.callback(order));
        let requests: Arc<Vec<Vec<u8>>> = Arc::new(requests.collect());
        let bare = reference::callbacks().await?;
        let before = load::all(bare, &requests, CONNECTIONS).await?;
        let clerk = clerk(&self.grown, &self.catalog);
        let began = Instant::now();
        load::all(self.gate, &requests, CONNECTIONS).await?;
        let taken = began.elapsed().as_secs_f64();
        let pending = domain::RowStatus::Pending as i8;
        let count = format!("SELECT COUNT(*) FROM orders WHERE status = {pending}");
        until_none(&self.grown, &count).await?;
        let paid = began.elapsed().as_secs_f64();
        ended(clerk).await;
        let after = load::all(bare, &requests, CONNECTIONS).await?;
        eprintln!("callbacks: {PAID} taken in {taken:.1} s, their orders paid in {paid:.1} s");
        let (value, bare) = (PAID as f64 / paid, 2.0 * PAID as f64 / (before + after));
        Ok(Row::new("callbacks", "callbacks/s to paid", (value, bare), 0.4))
    }

    /// The row `refunds`: each sent to the provider and its order refunded, against calls of the
    /// same provider by the same client and nothing else.
    async fn refunds(&self) -> Result<Row> {
        let wish = |order: OrderId| {
            let refund = "bench".parse()?;
            let ask = RefundAsk { refund, portion: Portion::Whole };
            Ok(LifeWish::AskRefund(order, ask))
        };
        let wishes = self.orders()?.into_iter().map(wish).collect::<Result<Vec<_>>>()?;
        let (lives, policies) = (&*self.grown.ports.store, Policies::default());
        let operator = Actor::Operator("bench".to_owned());
        for piece in wishes.chunks(MAX_ORDERS) {
            life::ask::many(lives, 0, &operator, &policies, piece).await?;
        }
        let bare = self.bare_calls().await?;
        let clerk = clerk(&self.grown, &self.catalog);
        let began = Instant::now();
        let refunded = domain::RowStatus::Refunded as i8;
        let count = format!("SELECT COUNT(*) FROM orders WHERE status <> {refunded}");
        until_none(&self.grown, &count).await?;
        let value = PAID as f64 / began.elapsed().as_secs_f64();
        ended(clerk).await;
        Ok(Row::new("refunds", "refunds/s", (value, bare), 0.4))
    }

    /// Calls of the provider per second.
    async fn bare_calls(&self) -> Result<f64> {
        let calls = HttpProviders::new(self.grown.ports.clock.clone());
        let order = self.orders()?.into_iter().next().context("an order")?;
        let call = |n: usize| RefundCall {
            key: format!("bare-{n}"),
            payment: "p".parse().expect("short"),
            order,
            amount: 1999,
            currency: "EUR".to_owned(),
        };
        let began = Instant::now();
        let told = stream::iter((0..BARE_CALLS).map(call))
            .map(|ask| {
                let (calls, provider) = (&calls, &self.provider);
                async move { calls.refund(provider, &ask).await }
            })
            .buffer_unordered(CALLS);
        let failed = told.filter(|told| std::future::ready(told.is_err())).count().await;
        ensure!(failed == 0, "{failed} calls of the provider failed");
        Ok(BARE_CALLS as f64 / began.elapsed().as_secs_f64())
    }

    async fn end(self) -> Result<()> {
        self.grown.end().await
    }
}

/// The row `growth_expiry`: what each order that is due costs, its units back in their cell.
async fn expiry(config: &Config) -> Result<Row> {
    let mut costs = Vec::new();
    for pending in [DUE, 10 * DUE] {
        let every = pending / DUE;
        let at = |n: usize| if n.is_multiple_of(every) { 1 } else { LATER };
        let grown = Grown::fill(config, pending, at).await?;
        let catalog = CatalogCache::new(grown.ports.store.clone());
        catalog.refresh().await?;
        let clerk = clerk(&grown, &catalog);
        let began = Instant::now();
        let status = domain::RowStatus::Pending as i8;
        let count = format!(
            "SELECT (SELECT COUNT(*) FROM orders WHERE status = {status} AND expires_at = 1) \
             + (SELECT COUNT(*) FROM giveback)"
        );
        until_none(&grown, &count).await?;
        costs.push(began.elapsed().as_secs_f64() * 1e6 / DUE as f64);
        ended(clerk).await;
        grown.end().await?;
    }
    Ok(Row::grown("growth_expiry", "us/order", &costs, 1.25))
}
