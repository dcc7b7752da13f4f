//! Delivers callbacks: each is sent until a gate has taken it, late, out of order, or once more
//! when it was taken long ago.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;
use hyper::header::CONTENT_TYPE;
use tokio::time::sleep;

use crate::bank::{Letter, SECRET};
use crate::http::send;
use crate::net::spawn;
use crate::process::Fleet;

/// So many tries; then nobody here hears of it by a callback.
const TRIES: u64 = 80;
/// Between two of them, ms.
const AGAIN: u64 = 100;
/// How long a gate may take, ms.
const PATIENCE: u64 = 600;

/// Delivers what the provider tells, as long as the schedule runs.
pub async fn run(fleet: Arc<Fleet>) {
    loop {
        let letter = fleet.world.bank.next_letter().await;
        let fleet = fleet.clone();
        spawn(async move {
            deliver(&fleet, &letter).await;
            fleet.world.stray(-1);
        });
    }
}

async fn deliver(fleet: &Fleet, letter: &Letter) {
    let world = &fleet.world;
    let Some(lives) = world.plan.lives else { return };
    if letter.dice(world.plan.seed, 3) % 1000 < lives.late {
        world.met("provider", "late");
        sleep(Duration::from_millis(letter.dice(world.plan.seed, 4) % 1500)).await;
    }
    until_taken(fleet, letter).await;
    if letter.dice(world.plan.seed, 5) % 1000 < lives.twice {
        world.met("provider", "twice");
        sleep(Duration::from_millis(letter.dice(world.plan.seed, 6) % 2000)).await;
        until_taken(fleet, letter).await;
    }
}

async fn until_taken(fleet: &Fleet, letter: &Letter) {
    for attempt in 0..TRIES {
        if is_taken(fleet, letter, attempt).await {
            return;
        }
        sleep(Duration::from_millis(AGAIN)).await;
    }
}

async fn is_taken(fleet: &Fleet, letter: &Letter, attempt: u64) -> bool {
    let world = &fleet.world;
    let body = letter.body.to_string();
    let signature = life::adapter::sign(SECRET, world.now_ms() / 1000, body.as_bytes());
    let request = Request::builder()
        .method("POST")
        .uri(letter.path)
        .header("sluicegate-signature", signature)
        .header(CONTENT_TYPE, "application/json")
        .body(Full::new(Bytes::from(body)))
        .expect("a sound request");
    let gate = letter.dice(world.plan.seed, 7 + attempt) % world.plan.gates;
    let heard =
        send(fleet, (gate, PATIENCE), letter.dice(world.plan.seed, 900 + attempt), request).await;
    let status = heard.as_ref().map(|h| h.status);
    world.tell("provider", || format!("tells gate-{gate} {}: {status:?}", letter.body));
    world.met("callback", label(status));
    if status == Some(200)
        && let Some(news) = &letter.news
    {
        world.check(|oracle, world| oracle.news_taken(world, news));
    }
    status == Some(200)
}

fn label(status: Option<u16>) -> &'static str {
    match status {
        Some(200) => "taken",
        Some(401) => "forged",
        Some(503) => "503",
        Some(_) => "other",
        None => "nothing",
    }
}
