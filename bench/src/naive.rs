//! The usual way: one EVALSHA per request, one message per order, the receipt awaited.
//!
//! The same token check, script, clients, broker and answer; only nothing is combined.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use bytes::Bytes;
use cells::port::{ReserveCall, ReserveItem, Reserved};
use domain::frame::{self, Item, Mode, Sealed};
use domain::{
    Buyer, CampaignNo, HoldState, IdempotencyKey, Line, Nonce, OfferId, OrderId, Payload,
};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::{Request, Response, StatusCode};
use orderlog::port::{LogError, Partition};
use view::Ports;
use web::Tokens;

use crate::config::Config;
use crate::reference::{Buy, serve};
use crate::stand::Stand;

/// Serves over the stand's ports.
pub(crate) async fn start(stand: &Stand, config: &Config) -> Result<SocketAddr> {
    let ports = stand.ports.clone();
    let tokens = Tokens::new(&config.gate.auth, &config.gate.admin_token, ports.clock.clone());
    let both = Arc::new((ports, tokens.map_err(anyhow::Error::msg)?));
    serve(move |request| {
        let both = both.clone();
        async move {
            let (status, body) = match buy(&both.0, &both.1, request).await {
                Some(body) => (202, body),
                None => (503, Vec::new()),
            };
            let mut answer = Response::new(Full::new(Bytes::from(body)));
            *answer.status_mut() = StatusCode::from_u16(status).unwrap_or_default();
            answer
        }
    })
    .await
}

async fn buy(ports: &Ports, tokens: &Tokens, request: Request<Incoming>) -> Option<Vec<u8>> {
    let verified = tokens.buyer(request.headers().get("authorization")?.as_bytes())?;
    let buyer = verified.buyer.clone();
    let offer: OfferId = request.uri().path().split('/').nth(3)?.parse().ok()?;
    let key: IdempotencyKey =
        request.headers().get("idempotency-key")?.to_str().ok()?.parse().ok()?;
    let body = request.into_body().collect().await.ok()?.to_bytes();
    let quantity = serde_json::from_slice::<Buy>(&body).ok()?.quantity;
    let order = ports.identity.order_id(CampaignNo(0), &buyer, &key, &body);
    let cell = offer.cell(0);
    let line = Line { cell: cell.clone(), qty: quantity, unit_minor: 1999 };
    let payload = Payload {
        order,
        buyer: buyer.clone(),
        key: Some(key),
        lines: vec![line],
        anchor: 0,
        metadata: String::new(),
        currency: "EUR".to_owned(),
        campaign: CampaignNo(0),
        window_ms: 1_800_000,
        supersedes: None,
    };
    let payload: Bytes = payload.encode().into();
    let item = ReserveItem {
        id: order.into(),
        buyer_hash: ports.identity.buyer_hash(&buyer),
        buyer: Some(buyer),
        qty: quantity,
        nonce: Nonce(ports.unique.next()),
        state: HoldState::Sealed,
        payload: payload.clone(),
        checked: false,
        relay: false,
    };
    let call = ReserveCall {
        limit: 0,
        deadline_ms: 0,
        opens_at_ms: 0,
        closes_at_ms: 0,
        wait: None,
        items: vec![item],
    };
    let reply = ports.cells.reserve(&cell, &call).await.ok()?;
    let Reserved::New { t_ms } = *reply.results.first()? else { return None };
    let frame = frame::encode(&[Item::Order(Mode::Full, Sealed { t_ms, payload })]);
    let partition = ports.identity.offer_home(&offer, ports.log.partitions());
    // The log bounds what is on its way; whoever finds it full waits for a place.
    loop {
        match ports.log.publish(Partition::Main(partition), frame.clone()).await {
            Ok(()) => break,
            Err(LogError::NotStored(..)) => tokio::time::sleep(Duration::from_millis(1)).await,
            Err(_) => return None,
        }
    }
    Some(accepted(ports, (order, &verified.buyer), (&offer, quantity), t_ms))
}

fn accepted(
    ports: &Ports,
    (order, buyer): (OrderId, &Buyer),
    (offer, quantity): (&OfferId, u32),
    t_ms: u64,
) -> Vec<u8> {
    let receipt = ports.identity.receipt(order, buyer, (t_ms / 1000) as u32);
    let link = format!("/v1/orders/{order}?offer={offer}&receipt={receipt}");
    let body = format!(
        concat!(
            r#"{{"order_id":"{}","status":"accepted","offer":"{}","quantity":{},"amount":"#,
            r#"{{"currency":"EUR","minor":{}}},"expires_at":{},"links":{{"self":"{}"}}}}"#,
        ),
        order,
        offer,
        quantity,
        1999 * i64::from(quantity),
        t_ms + 1_800_000,
        link,
    );
    body.into_bytes()
}
