//! Callbacks of providers: whose they are, how old, and what they tell.
#![allow(clippy::panic, clippy::unwrap_used, reason = "a step that fails fails the test")]

use std::collections::BTreeMap;

use domain::life::{AdapterKind, PaymentNews, Provider, ProviderEvent, ProviderId};
use hmac::{Hmac, Mac};
use sha2::Sha256;
use sluicegate_life::adapter::{Callback, Forged, Heard, MAX_MINOR, WINDOW_S, read};

const NOW: u64 = 1_800_000_000;
const ORDER: &str = "00000104-d000-8000-8000-00160000000a";

/// A callback as a test sends it.
struct Sent {
    adapter: AdapterKind,
    secrets: Vec<String>,
    headers: BTreeMap<String, String>,
    body: Vec<u8>,
    now_s: u64,
}

impl Sent {
    fn read(&self) -> Result<Heard, Forged> {
        let id: ProviderId = "card".parse().unwrap();
        let settings = Provider {
            id,
            adapter: self.adapter,
            secrets: self.secrets.clone(),
            base_url: None,
            timeout_ms: 1000,
        };
        let header = |name: &str| self.headers.get(name).map(String::as_str);
        read(&settings, &Callback { header: &header, body: &self.body, now_s: self.now_s })
    }

    fn event(&self) -> ProviderEvent {
        match self.read().unwrap() {
            Heard::Event(event) => event,
            told @ (Heard::Nothing | Heard::Parcel { .. } | Heard::Unreadable(_)) => {
                panic!("{told:?}")
            }
        }
    }
}

fn hex(key: &str, text: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(key.as_bytes()).unwrap();
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().iter().map(|b| format!("{b:02x}")).collect()
}

/// Signed by the generic scheme, or by Stripe's, which is the same under another name.
fn timed(adapter: AdapterKind, at: u64, body: &str) -> Sent {
    let name = if adapter == AdapterKind::Stripe { "stripe" } else { "sluicegate" };
    let signature = hex("secret", &format!("{at}.{body}"));
    let header = format!("t={at},v1={signature}");
    Sent {
        adapter,
        secrets: vec!["older".into(), "secret".into()],
        headers: BTreeMap::from([(format!("{name}-signature"), header)]),
        body: body.as_bytes().to_vec(),
        now_s: NOW,
    }
}

fn generic(body: &str) -> Sent {
    timed(AdapterKind::Generic, NOW, body)
}

fn told(result: &str, more: &str) -> Sent {
    generic(&format!(
        r#"{{"event_id":"e-1","payment_id":"p-1","order_id":"{ORDER}","result":"{result}"{more}}}"#
    ))
}

/// The vector that is published with the scheme.
fn published() -> Sent {
    let headers = [
        ("webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek"),
        ("webhook-timestamp", "1614265330"),
        ("webhook-signature", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="),
    ];
    Sent {
        adapter: AdapterKind::StandardWebhooks,
        secrets: vec!["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".into()],
        headers: headers.map(|(k, v)| (k.to_owned(), v.to_owned())).into(),
        body: br#"{"test": 2432232314}"#.to_vec(),
        now_s: 1_614_265_330,
    }
}

#[test]
fn the_published_vector_is_authentic_and_nothing_near_it() {
    assert!(matches!(published().read(), Ok(Heard::Unreadable(_))), "{:?}", published().read());
    let header = |name: &'static str, value: &'static str| {
        move |s: &mut Sent| drop(s.headers.insert(name.to_owned(), value.to_owned()))
    };
    let several = "v1,AAAA v2,xyz v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
    let mut many = published();
    header("webhook-signature", several)(&mut many);
    assert!(many.read().is_ok(), "one of several signatures");
    type Change = Box<dyn Fn(&mut Sent)>;
    let changes: Vec<Change> = vec![
        Box::new(|s| s.body.push(b' ')),
        Box::new(|s| s.secrets = vec!["whsec_AAAA".into(), "no base64!".into()]),
        Box::new(|s| s.secrets.clear()),
        Box::new(|s| s.now_s += WINDOW_S + 1),
        Box::new(|s| s.now_s -= WINDOW_S + 1),
        Box::new(header("webhook-id", "msg_2")),
        Box::new(header("webhook-timestamp", "1614265331")),
        Box::new(header("webhook-timestamp", "+1614265330")),
        Box::new(header("webhook-timestamp", "")),
        Box::new(header("webhook-signature", "g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=")),
        Box::new(header("webhook-signature", "v1,")),
        Box::new(|s| drop(s.headers.remove("webhook-signature"))),
        Box::new(|s| s.adapter = AdapterKind::Generic),
    ];
    for (n, change) in changes.iter().enumerate() {
        let mut sent = published();
        change(&mut sent);
        assert_eq!(sent.read(), Err(Forged), "{n}");
    }
}

#[test]
fn a_callback_is_its_providers_and_young() {
    let body = format!(r#"{{"event_id":"e","payment_id":"p","order_id":"{ORDER}","result":"x"}}"#);
    for adapter in [AdapterKind::Generic, AdapterKind::Stripe] {
        let name = if adapter == AdapterKind::Stripe { "stripe" } else { "sluicegate" };
        let name = format!("{name}-signature");
        for (at, fresh) in [
            (NOW, true),
            (NOW - WINDOW_S, true),
            (NOW + WINDOW_S, true),
            (NOW - WINDOW_S - 1, false),
            (NOW + WINDOW_S + 1, false),
            (0, false),
            (u64::MAX, false),
        ] {
            assert_eq!(timed(adapter, at, &body).read().is_ok(), fresh, "{adapter:?} {at}");
        }
        let good = hex("secret", &format!("{NOW}.{body}"));
        let old = hex("older", &format!("{NOW}.{body}"));
        let no = "00".repeat(32);
        for (header, authentic) in [
            (format!("t={NOW},v1={good}"), true),
            (format!("t={NOW}, v0=whatever, v1={good}"), true),
            (format!("v1={no},v1={old},t={NOW}"), true),
            (format!("t={NOW},v1={}", good.to_uppercase()), true),
            (format!("t={NOW},v1={no}"), false),
            (format!("t={NOW},v1="), false),
            (format!("t={NOW},v1={}", &good[..62]), false),
            (format!("t={NOW},v1={good}00"), false),
            (format!("t={NOW},v1=zz{}", &good[2..]), false),
            (format!("t={NOW},t={NOW},v1={good}"), false),
            (format!("t={NOW},v0={good}"), false),
            (format!("v1={good}"), false),
            (format!("t=,v1={good}"), false),
            (format!("t={NOW};v1={good}"), false),
            (format!("t={NOW},v1={no},{}v1={good}", format!("v1={no},").repeat(9)), false),
            (String::new(), false),
        ] {
            let mut sent = timed(adapter, NOW, &body);
            sent.headers.insert(name.clone(), header.clone());
            assert_eq!(sent.read().is_ok(), authentic, "{adapter:?} {header}");
        }
    }
    let mut sent = generic(&body);
    sent.headers.clear();
    assert_eq!(sent.read(), Err(Forged));
}

#[test]
fn what_the_generic_one_tells() {
    let euros = r#","amount":{"currency":"eur","minor":1999}"#;
    let refund = r#","amount":{"currency":"EUR","minor":500},"refund_id":"k""#;
    let key = || "k".to_owned();
    for (result, more, news) in [
        ("opened", "", PaymentNews::Opened),
        ("authorised", "", PaymentNews::Authorised),
        ("captured", euros, PaymentNews::Captured(1999)),
        ("failed", "", PaymentNews::Failed),
        ("closed", r#","paid_at":"now","a new field":[1]"#, PaymentNews::Closed),
        ("refund_succeeded", refund, PaymentNews::RefundSucceeded { key: key(), amount: 500 }),
        ("refund_failed", refund, PaymentNews::RefundFailed { key: key() }),
    ] {
        let event = told(result, more).event();
        assert_eq!(event.news, news, "{result}");
        let named = (event.event.as_deref(), event.key().to_string(), event.order.to_string());
        assert_eq!(named, (Some("e-1"), "card/p-1".to_owned(), ORDER.to_owned()));
        assert!(!event.is_final);
        let currency = if more == euros { "EUR" } else { event.currency.as_str() };
        assert_eq!(event.currency, currency);
    }
    assert_eq!(told("reviewed", "").read(), Ok(Heard::Nothing));
}

#[test]
fn what_cannot_be_read_is_put_aside_and_not_refused() {
    let amount = |minor: &str| format!(r#","amount":{{"currency":"EUR","minor":{minor}}}"#);
    let most = told("captured", &amount(&MAX_MINOR.to_string()));
    assert_eq!(most.event().news, PaymentNews::Captured(MAX_MINOR));
    let long = "x".repeat(129);
    for sent in [
        told("captured", ""),
        told("captured", &amount("-1")),
        told("captured", &amount("1.5")),
        told("captured", &amount("\"1\"")),
        told("captured", &amount(&(MAX_MINOR + 1).to_string())),
        told("captured", r#","amount":{"currency":"EURO","minor":1}"#),
        told("captured", r#","amount":{"minor":1}"#),
        told("refund_succeeded", &amount("1")),
        told("refund_failed", ""),
        generic(""),
        generic("{"),
        generic("[]"),
        generic("\u{0}"),
        generic(r#"{"event_id":"e","payment_id":"p","order_id":"x","result":"opened"}"#),
        generic(&format!(
            r#"{{"event_id":"e","payment_id":"{long}","order_id":"{ORDER}","result":"opened"}}"#
        )),
        generic(&format!(r#"{{"payment_id":"p","order_id":"{ORDER}","result":"opened"}}"#)),
        generic(&format!(
            r#"{{"event_id":"","payment_id":"p","order_id":"{ORDER}","result":"opened"}}"#
        )),
    ] {
        let body = String::from_utf8_lossy(&sent.body).into_owned();
        assert!(matches!(sent.read(), Ok(Heard::Unreadable(_))), "{body}: {:?}", sent.read());
    }
}

#[test]
fn what_stripe_tells() {
    let event = |kind: &str, object: &str| {
        let body = format!(r#"{{"id":"evt_1","type":"{kind}","data":{{"object":{{{object}}}}}}}"#);
        timed(AdapterKind::Stripe, NOW, &body)
    };
    let meta = format!(r#""currency":"eur","metadata":{{"order_id":"{ORDER}"}}"#);
    let intent = |more: &str| format!(r#""id":"pi_1",{more}{meta}"#);
    for (kind, more, news) in [
        ("payment_intent.created", "", PaymentNews::Opened),
        ("payment_intent.amount_capturable_updated", "", PaymentNews::Authorised),
        (
            "payment_intent.succeeded",
            r#""amount":5,"amount_received":1999,"#,
            PaymentNews::Captured(1999),
        ),
        ("payment_intent.payment_failed", "", PaymentNews::Failed),
        ("payment_intent.canceled", "", PaymentNews::Closed),
    ] {
        let got = event(kind, &intent(more)).event();
        let key = got.key().to_string();
        assert_eq!((key.as_str(), got.currency.as_str()), ("card/pi_1", "EUR"), "{kind}");
        assert_eq!(got.news, news, "{kind}");
    }
    let refund = |status: &str, key: &str| {
        format!(
            r#""id":"re_1","payment_intent":"pi_1","amount":70,"status":"{status}","currency":"eur",
            "metadata":{{"order_id":"{ORDER}"{key}}}"#
        )
    };
    let ours = r#","refund_id":"k""#;
    let moved = |key: &str| PaymentNews::RefundSucceeded { key: key.into(), amount: 70 };
    for (kind, object, news) in [
        ("refund.updated", refund("succeeded", ours), moved("k")),
        ("charge.refund.updated", refund("succeeded", ""), moved("re_1")),
        ("refund.failed", refund("failed", ours), PaymentNews::RefundFailed { key: "k".into() }),
        ("charge.dispute.funds_withdrawn", refund("lost", ""), moved("re_1")),
    ] {
        let got = event(kind, &object).event();
        assert_eq!((got.key().to_string().as_str(), got.news), ("card/pi_1", news), "{kind}");
    }
    for (kind, object) in [
        ("refund.updated", refund("pending", ours)),
        ("customer.created", String::new()),
        ("ping", String::new()),
    ] {
        assert_eq!(event(kind, &object).read(), Ok(Heard::Nothing), "{kind}");
    }
    // Somebody else's, on the same account: it names no order of ours.
    let foreign = event("payment_intent.succeeded", r#""id":"pi_1","amount_received":1"#).read();
    assert!(matches!(foreign, Ok(Heard::Unreadable(_))), "{foreign:?}");
}

#[test]
fn adapters_have_names() {
    for adapter in AdapterKind::ALL {
        assert_eq!(AdapterKind::parse(adapter.as_str()), Some(*adapter));
    }
    assert_eq!(AdapterKind::parse("paypal"), None);
}
