//! What the provider and a warehouse tell: a callback each, and now and then what contradicts it.
//! Some are never sent.

use std::sync::Arc;
use std::time::Duration;

use domain::OrderId;
use life::calls::RefundCall;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::bank::{Letter, News};
use crate::net::spawn;
use crate::rng::mix;
use crate::world::World;

const PAYMENTS: &str = "/v1/payments/bank/callback";
const PARCELS: &str = "/v1/fulfilments/bank/callback";

fn letter(world: &World, path: &'static str, mut body: Value, news: Option<News>) -> Letter {
    let number = world.bank.next_event();
    body["event_id"] = format!("e{number}").into();
    Letter { path, body, number, news }
}

fn of_payment(news: &News, result: &str) -> Value {
    json!({
        "payment_id": news.payment.as_str(),
        "order_id": news.order.to_string(),
        "result": result,
        "amount": {"currency": news.currency, "minor": news.minor},
    })
}

/// Money was captured: told, and what contradicts it.
pub fn captured(world: &World, news: &News) {
    let Some(lives) = world.plan.lives else { return };
    let told = letter(world, PAYMENTS, of_payment(news, "captured"), Some(news.clone()));
    let contradicts = told.dice(world.plan.seed, 1) % 1000 < lives.contradicted;
    post(world, told);
    if contradicts {
        world.met("provider", "contradicted");
        let other = News { minor: news.minor / 2, ..news.clone() };
        post(world, letter(world, PAYMENTS, of_payment(&other, "failed"), None));
        post(world, letter(world, PAYMENTS, of_payment(&other, "captured"), None));
        post(world, letter(world, PAYMENTS, of_payment(&other, "opened"), None));
    }
}

/// A warehouse tells of the goods of an order.
pub fn parcel(world: &World, order: OrderId, result: &str, refund: Option<&str>) {
    let body = json!({"order_id": order.to_string(), "result": result, "refund_id": refund});
    post(world, letter(world, PARCELS, body, None));
}

/// The money of a refund that was taken moves after a while, which is told.
pub fn moves_later(world: &Arc<World>, ask: &RefundCall) {
    let (world, ask) = (world.clone(), ask.clone());
    world.stray(1);
    spawn(async move {
        let after = mix(&[world.plan.seed, 59, world.at()]) % 900;
        sleep(Duration::from_millis(after)).await;
        world.bank.moves(&ask.key);
        world.tell("provider", || format!("moves {} of {}", ask.amount, ask.payment));
        let body = json!({
            "payment_id": ask.payment.as_str(),
            "order_id": ask.order.to_string(),
            "result": "refund_succeeded",
            "refund_id": ask.key,
            "amount": {"currency": ask.currency, "minor": ask.amount},
        });
        post(&world, letter(&world, PAYMENTS, body, None));
        world.stray(-1);
    });
}

fn post(world: &World, letter: Letter) {
    let lost = world.plan.lives.map_or(0, |l| l.lost);
    if !world.is_healed() && letter.dice(world.plan.seed, 2) % 1000 < lost {
        return world.met("provider", "lost");
    }
    world.stray(1);
    world.bank.puts(letter);
}
