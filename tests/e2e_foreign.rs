//! Another buyer's order and an unknown one: the same answer, with and without `wait`.
#![allow(
    clippy::disallowed_methods,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test looks at the clock, and a step that fails fails the test"
)]

mod common;

use std::time::{Duration, Instant};

use common::Dev;
use common::http::Reply;
use contract::Reason;

/// Of an order that is not there, under the same offer as the one that is.
fn unknown(id: &str) -> String {
    let last = if id.ends_with('0') { '1' } else { '0' };
    format!("{}{last}", &id[..id.len() - 1])
}

fn told(reply: &Reply) -> String {
    reply.problem(Reason::UnknownOrder);
    reply.text()
}

#[test]
fn who_waits_for_anothers_order_waits_as_long_as_for_none() {
    let dev = Dev::start();
    let (ann, eve) = (dev.token("ann"), dev.token("eve"));
    let bought = dev.buy("demo", &ann, "k");
    dev.decided(&bought, &ann);
    let (there, not) = (bought.order_id(), unknown(&bought.order_id()));
    for query in ["?wait=700ms", "?offer=demo&wait=700ms", "?offer=none&wait=700ms"] {
        let ask = |id: &str| {
            let began = Instant::now();
            let text = told(&dev.get(&format!("/v1/orders/{id}{query}"), &eve));
            assert!(began.elapsed() >= Duration::from_millis(700), "{query} {:?}", began.elapsed());
            text
        };
        assert_eq!(ask(&there), ask(&not), "{query}");
    }
    // It comes while a stranger waits: that is not told either.
    let identity = domain::Identity::new(dev.secret("identity_secret").as_bytes());
    let (buyer, key) = ("ann".parse().unwrap(), "later".parse().unwrap());
    let order = identity.order_id(domain::CampaignNo(0), &buyer, &key, b"demo\n1\n");
    std::thread::scope(|s| {
        let waits = s.spawn(|| {
            let began = Instant::now();
            told(&dev.get(&format!("/v1/orders/{order}?offer=demo&wait=2s"), &eve));
            began.elapsed()
        });
        let later = dev.buy("demo", &ann, "later");
        assert_eq!(later.order_id(), order.to_string());
        dev.decided(&later, &ann);
        assert!(waits.join().unwrap() >= Duration::from_secs(2));
    });
}

/// The share of pairs in which the first is larger: one half when nothing tells them apart.
fn larger(a: &[Duration], b: &[Duration]) -> f64 {
    let pairs = a.iter().flat_map(|x| b.iter().map(move |y| x > y));
    pairs.filter(|larger| *larger).count() as f64 / (a.len() * b.len()) as f64
}

#[test]
fn the_time_of_an_answer_does_not_tell_whether_an_order_exists() {
    let dev = Dev::start();
    let (ann, eve) = (dev.token("ann"), dev.token("eve"));
    let bought = dev.buy("demo", &ann, "k");
    dev.decided(&bought, &ann);
    let ids = [bought.order_id(), unknown(&bought.order_id())];
    // Noise of the machine differs from round to round; what gives an order away does not.
    let mut shares: Vec<f64> = (0..7)
        .map(|_| {
            let mut times = [Vec::new(), Vec::new()];
            for n in 0..120 {
                let which = n % 2;
                let path = format!("/v1/orders/{}?offer=demo", ids[which]);
                let began = Instant::now();
                told(&dev.get(&path, &eve));
                times[which].push(began.elapsed());
            }
            larger(&times[0], &times[1])
        })
        .collect();
    shares.sort_by(f64::total_cmp);
    let median = shares[shares.len() / 2];
    assert!((0.3..=0.7).contains(&median), "slower answers for an order that exists: {shares:?}");
}
