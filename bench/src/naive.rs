//! The usual way: one EVALSHA per request, one message per order, the receipt awaited.
//!
//! The same script, the same clients, the same broker, the same answer; only nothing is combined.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use bytes::Bytes;
use cells::port::{ReserveCall, ReserveItem, Reserved};
use domain::frame::{self, Item, Mode, Sealed};
use domain::{Buyer, CampaignNo, HoldState, IdempotencyKey, Line, Nonce, OfferId, Payload};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::{Request, Response, StatusCode};
use orderlog::port::{LogError, Partition};
use view::Ports;

use crate::reference::{Buy, serve};
use crate::stand::Stand;

/// Serves over the stand's ports.
pub(crate) async fn start(stand: &Stand) -> Result<SocketAddr> {
    let ports = Arc::new(stand.ports.clone());
    serve(move |request| {
        let ports = ports.clone();
        async move {
            let status = match buy(&ports, request).await {
                Some(()) => 202,
                None => 503,
            };
            let mut answer = Response::new(Full::new(Bytes::from_static(b"{}")));
            *answer.status_mut() = StatusCode::from_u16(status).unwrap_or_default();
            answer
        }
    })
    .await
}

async fn buy(ports: &Ports, request: Request<Incoming>) -> Option<()> {
    let offer: OfferId = request.uri().path().split('/').nth(3)?.parse().ok()?;
    let key: IdempotencyKey =
        request.headers().get("idempotency-key")?.to_str().ok()?.parse().ok()?;
    // The token's text stands for the buyer: nothing is verified here.
    let buyer: Buyer = key.as_str().parse().ok()?;
    let body = request.into_body().collect().await.ok()?.to_bytes();
    let quantity = serde_json::from_slice::<Buy>(&body).ok()?.quantity;
    let order = ports.identity.order_id(CampaignNo(0), &buyer, &key, &body);
    let cell = offer.cell(0);
    let line = Line { cell: cell.clone(), qty: quantity, unit_minor: 1999 };
    let payload = Payload {
        order,
        buyer: buyer.clone(),
        key,
        lines: vec![line],
        anchor: 0,
        metadata: String::new(),
        currency: "EUR".to_owned(),
        campaign: CampaignNo(0),
        window_ms: 1_800_000,
    };
    let payload: Bytes = payload.encode().into();
    let item = ReserveItem {
        order,
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
    let Reserved::New { t_ms } = reply.results.first()? else { return None };
    let frame = frame::encode(&[Item::Order(Mode::Full, Sealed { t_ms: *t_ms, payload })]);
    let partition = ports.identity.partition(&offer, ports.log.partitions());
    // The log bounds what is on its way; whoever finds it full waits for a place.
    loop {
        match ports.log.publish(Partition::Main(partition), frame.clone()).await {
            Ok(()) => return Some(()),
            Err(LogError::NotStored(..)) => tokio::time::sleep(Duration::from_millis(1)).await,
            Err(_) => return None,
        }
    }
}
