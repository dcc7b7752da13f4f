//! Several shops behind one gate: what one calls so is nothing of another's.
#![allow(
    clippy::disallowed_methods,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test looks at the clock, and a step that fails fails the test"
)]

mod common;

use common::{Dev, Setup, http, now_s, run, sign};
use jsonwebtoken::Algorithm;
use serde_json::{Value, json};

fn offer_body(minor: i64) -> Value {
    json!({
        "campaign": "evergreen", "sku": "SKU-1", "allotment": 5, "limit_per_buyer": 1,
        "price": { "currency": "EUR", "minor": minor },
    })
}

/// A call of somebody on the operators' listener.
fn operate(dev: &Dev, token: &str, (method, path): (&str, &str), body: &Value) -> http::Reply {
    let body = (!body.is_null()).then(|| body.to_string());
    let body = body.as_deref().map(str::as_bytes);
    http::call(dev.admin, (method, path), Some(token), &[], body)
}

fn get_as(dev: &Dev, token: Option<&str>, path: &str) -> http::Reply {
    http::call(dev.gate, ("GET", path), token, &[], None)
}

#[test]
fn one_name_in_three_shops() {
    // A rebuild waits for the slowest gate, twice: let that be short.
    let short = Setup::new().set("publish.max_age_ms=1000").set("publish.timeout_ms=1000");
    let dev = short.start();
    dev.offer_with("shoe", offer_body(100));
    let shops = ["acme", "zeta-2"];
    let operator = |t: &str| dev.minted(&["--role", "operator", "--tenant", t]);
    for (shop, minor) in shops.iter().zip([200, 300]) {
        let made =
            operate(&dev, &operator(shop), ("PUT", "/admin/offers/shoe"), &offer_body(minor));
        assert_eq!((made.status, &made.json()["offer"]), (201, &json!("shoe")), "{made:?}");
        assert_eq!(made.json()["cells"][0]["cell"], "shoe.0");
    }
    let buyer = |t: &str| dev.minted(&["--buyer", "ann", "--tenant", t]);
    let tokens = [dev.token("ann"), buyer("acme"), buyer("zeta-2")];
    let mut ids = Vec::new();
    // One buyer's name, one key, one offer's name: three orders at three prices.
    for (token, minor) in tokens.iter().zip([100, 200, 300]) {
        assert_eq!(get_as(&dev, Some(token), "/v1/offers/shoe").json()["price"]["minor"], minor);
        let taken = dev.buy("shoe", token, "k");
        assert_eq!((taken.status, &taken.json()["offer"]), (202, &json!("shoe")), "{taken:?}");
        let link = taken.json()["links"]["self"].as_str().unwrap().to_owned();
        let row = get_as(&dev, Some(token), &format!("{link}&wait=20s")).json();
        assert_eq!((&row["status"], &row["amount"]["minor"]), (&json!("pending"), &json!(minor)));
        assert_eq!(row["lines"][0]["offer"], "shoe", "{row}");
        let by_key = get_as(&dev, Some(token), "/v1/orders?idempotency_key=k&offer=shoe");
        assert_eq!(by_key.json()["order_id"], row["order_id"]);
        // The limit of one unit is each shop's own.
        assert_eq!(dev.buy("shoe", token, "k2").json()["reason"], "limit_reached");
        ids.push(row["order_id"].as_str().unwrap().to_owned());
    }
    assert!(ids[0] != ids[1] && ids[1] != ids[2] && ids[0] != ids[2], "{ids:?}");
    // What is another shop's is unknown, also to the buyer of the same name.
    for (n, token) in tokens.iter().enumerate() {
        for (m, id) in ids.iter().enumerate() {
            let status = get_as(&dev, Some(token), &format!("/v1/orders/{id}?offer=shoe")).status;
            assert_eq!(status, if n == m { 200 } else { 404 }, "{n} asks for {m}");
        }
    }
    // Without a token, the default tenant's.
    assert_eq!(get_as(&dev, None, "/v1/offers/shoe").json()["price"]["minor"], 100);
    for shop in shops {
        let stock = operate(&dev, &operator(shop), ("GET", "/admin/offers/shoe"), &Value::Null);
        assert_eq!((&stock.json()["supply"], &stock.json()["net"]), (&json!(5), &json!(1)));
        // Its cell is built anew from its own ledger.
        let path = ("POST", "/admin/cells/shoe.0/rebuild");
        let built = operate(&dev, &operator(shop), path, &Value::Null);
        assert_eq!((built.status, &built.json()["available"]), (200, &json!(4)), "{shop}");
    }
    for token in &tokens {
        assert_eq!(dev.buy("shoe", token, "k3").json()["reason"], "limit_reached");
    }
}

#[test]
fn an_operator_reaches_the_own_shop_only() {
    let dev = Dev::start();
    dev.offer("ours", 5);
    let acme = dev.minted(&["--role", "operator", "--tenant", "acme"]);
    let call = |route: (&str, &str), body: Value| {
        let reply = operate(&dev, &acme, route, &body);
        (reply.status, reply.json()["reason"].as_str().unwrap_or_default().to_owned())
    };
    let unknown = (404, "unknown_offer".to_owned());
    assert_eq!(call(("GET", "/admin/offers/ours"), Value::Null), unknown);
    assert_eq!(call(("POST", "/admin/offers/ours/pause"), Value::Null), unknown);
    let supply = json!({ "request_id": "r", "units": 1 });
    assert_eq!(call(("POST", "/admin/offers/ours/supply"), supply), unknown);
    let cell = call(("POST", "/admin/cells/ours.0/rebuild"), Value::Null);
    assert_eq!(cell, (404, "unknown_cell".to_owned()));
    // A name never reaches into another shop, however it is written.
    for name in ["%2Fours", "acme%2Fours", "acme/ours", "..", "ours.0"] {
        let (status, _) = call(("GET", &format!("/admin/offers/{name}")), Value::Null);
        assert!([400, 404].contains(&status), "{name}: {status}");
    }
    let mut theirs = offer_body(1);
    theirs["campaign"] = json!("spring");
    let put = ("PUT", "/admin/offers/theirs");
    assert_eq!(call(put, theirs.clone()), (404, "unknown_campaign".to_owned()));
    dev.campaign("spring", None, None);
    assert_eq!(call(put, theirs.clone()), (404, "unknown_campaign".to_owned()));
    assert_eq!(call(("PUT", "/admin/campaigns/spring"), json!({})).0, 201);
    assert_eq!(call(put, theirs).0, 201);
    assert_eq!(dev.operate("GET", "/admin/offers/theirs", None).status, 404);
    // What is about the whole deployment is for the default tenant's operators.
    let reconcile = json!({ "dry_run": true });
    let forbidden = (403, "forbidden".to_owned());
    assert_eq!(call(("POST", "/admin/reconcile"), reconcile), forbidden);
    for path in ["/admin/status", "/admin/tasks"] {
        assert_eq!(call(("GET", path), Value::Null), forbidden, "{path}");
    }
    let parked = format!("/admin/parked/{}/retry", "0".repeat(64));
    assert_eq!(call(("POST", &parked), Value::Null), forbidden);
}

#[test]
fn any_tenants_offer_can_be_compared() {
    let dev = Dev::start();
    let acme = dev.minted(&["--role", "operator", "--tenant", "acme"]);
    assert_eq!(operate(&dev, &acme, ("PUT", "/admin/offers/shoe"), &offer_body(5)).status, 201);
    let reconcile = |offer: &str| {
        let reply = dev.operate("POST", "/admin/reconcile", Some(&json!({ "offer": offer })));
        let body = reply.json();
        (reply.status, body["cells"].as_u64(), body["reason"].as_str().map(str::to_owned))
    };
    assert_eq!(reconcile("acme/shoe"), (200, Some(1), None));
    for unknown in ["shoe", "zeta/shoe", "acme/shoe2"] {
        assert_eq!(reconcile(unknown), (404, None, Some("unknown_offer".to_owned())), "{unknown}");
    }
    for bad in ["", "/", "/shoe", "acme/", "a/b/shoe", "Acme/shoe", "acme/shoe.0", "acme shoe"] {
        assert_eq!(reconcile(bad), (400, None, Some("bad_id".to_owned())), "{bad}");
    }
    // The command asks the running process.
    let (at, admin) = (dev.path().display().to_string(), format!("admin.listen={}", dev.admin));
    let once = |offer: &str| {
        run(&["reconciler", "--once", "--data-dir", &at, "--set", &admin, "--offer", offer])
    };
    assert_eq!(once("acme/shoe").status.code(), Some(0));
    let out = once("zeta/shoe");
    assert_eq!(out.status.code(), Some(64));
    assert!(String::from_utf8_lossy(&out.stderr).contains("404"), "{out:?}");
}

#[test]
fn a_tenant_is_of_its_grammar_or_the_token_is_none() {
    let dev = Dev::start();
    let with = |tenant: Value| {
        let claims = json!({ "sub": "ann", "exp": now_s() + 3600, "tenant": tenant });
        sign(dev.secret("hs256_secret"), Algorithm::HS256, &claims)
    };
    for good in [json!(""), json!(null), json!("acme"), json!("0-9"), json!("x".repeat(32))] {
        let reply = dev.get("/v1/orders?idempotency_key=k", &with(good.clone()));
        assert_eq!(reply.json()["reason"], "unknown_order", "{good}");
    }
    let long = json!("x".repeat(33));
    for bad in [json!("Acme"), json!("a/b"), json!("a b"), json!("ä"), long, json!(1), json!([])] {
        let reply = dev.get("/v1/orders?idempotency_key=k", &with(bad.clone()));
        assert_eq!(reply.json()["reason"], "unauthenticated", "{bad}");
    }
    let out = common::run(&[
        "admin",
        "token",
        "--data-dir",
        &dev.path().display().to_string(),
        "--buyer",
        "ann",
        "--tenant",
        "a/b",
    ]);
    let text = String::from_utf8_lossy(&out.stderr);
    assert_eq!(out.status.code(), Some(64), "{text}");
    assert!(text.contains("--tenant: a tenant is 1 to 32"), "{text}");
}
