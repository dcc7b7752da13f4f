//! What `dev` has for a first look: a payment provider in the same process that captures every
//! session at once, and the order that the printed lines buy and pay.

use domain::life::{AdapterKind, Provider};
use domain::{Buyer, OfferId};
use loadtest::provider::{ProviderPlace, ProviderServer};
use runtime::Tasks;
use runtime::tls::Files;
use view::Ports;
use web::Client;

use crate::config::Config;
use crate::exit::Exit;
use crate::services::bind;

/// The offer, and the provider.
pub(crate) const DEMO: &str = "demo";
/// Who buys in the printed lines, and under which key.
pub(crate) const ALICE: &str = "alice";
pub(crate) const FIRST: &str = "first";

/// Starts the provider, on a free port, and makes it known.
pub(crate) async fn provider(config: &Config, ports: &Ports, tasks: &Tasks) -> Result<(), Exit> {
    let fail = |e: store::StoreError| Exit::unavailable(e.to_string());
    let listener = bind("the demo provider", "127.0.0.1:0").await?;
    let address = listener.local_addr().map_err(|e| Exit::unavailable(e.to_string()))?;
    let gate = format!("http://{}", config.gate.listen.replace("0.0.0.0", "127.0.0.1"));
    let gate = Client::new(&gate, &Files::default()).map_err(Exit::usage)?;
    let secret = config.admin.token.clone();
    let (name, clock) = (DEMO.to_owned(), ports.clock.clone());
    let place = ProviderPlace { name, gate, secret: secret.clone() };
    ProviderServer::spawn(place, listener, clock, tasks);
    let provider = Provider {
        id: DEMO.parse().map_err(|_| Exit::usage("demo provider"))?,
        adapter: AdapterKind::Generic,
        secrets: vec![secret],
        base_url: Some(format!("http://{address}")),
        timeout_ms: 5000,
    };
    ports.store.put_provider(&provider).await.map(drop).map_err(fail)
}

/// The id of the order that the printed line buys: the same line is the same order.
pub(crate) async fn first_order(ports: &Ports) -> Result<String, Exit> {
    let usage = |_| Exit::usage("demo order");
    let offer: OfferId = DEMO.parse().map_err(|_| Exit::usage("demo offer"))?;
    let known = ports.store.offer(&offer).await.map_err(|e| Exit::unavailable(e.to_string()))?;
    let (offer, campaign) = known.ok_or_else(|| Exit::unavailable("no demo offer"))?;
    let buyer: Buyer = ALICE.parse().map_err(usage)?;
    let key = FIRST.parse().map_err(usage)?;
    let content = domain::content(&[(&offer.id, 1)], "");
    Ok(ports.identity.order_id(campaign.number, &buyer, &key, &content).to_string())
}
