//! Money beyond one order: the sums that an operator sees, and a provider's statement compared with
//! the books, over HTTP and by the command line.
#![allow(
    clippy::disallowed_methods,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test looks at the clock, and a step that fails fails the test"
)]

mod common;

use common::bank::{Bank, captured, tell};
use common::http::{Reply, call};
use common::{Dev, Setup, now_s, rfc3339, run, until};
use contract::Reason;
use serde_json::{Value, json};

const HEADER: &str = "type,payment_id,refund_id,currency,minor,at,fee\n";

/// Orders of 1999 that are paid; the first one twice, and its second payment went back.
struct Till {
    dev: Dev,
    bank: Bank,
    /// A statement that says the same.
    lines: Vec<String>,
}

impl Till {
    fn open() -> Self {
        let quick = ["clerk.pass_ms=20", "reconciler.money_interval_ms=200"];
        let dev = quick.iter().fold(Setup::new(), |setup, set| setup.set(set)).start();
        let bank = Bank::start();
        bank.says(|_| (200, json!({"result": "succeeded"})));
        dev.operate_ok("PUT", "/admin/providers/bank", Some(&bank.settings()));
        dev.offer_with("shoe", json!({}));
        let token = dev.token("ada");
        let at = rfc3339(now_s());
        let mut lines = Vec::new();
        for n in 0..3 {
            let taken = dev.buy("shoe", &token, &format!("k{n}"));
            let order = dev.decided(&taken, &token)["order_id"].as_str().unwrap().to_owned();
            tell(dev.gate, &captured(&order, &format!("p{n}"), "EUR", 1999));
            lines.push(format!("payment,p{n},,EUR,1999,{at},0"));
            if n == 0 {
                tell(dev.gate, &captured(&order, "again", "EUR", 30));
                lines.push(format!("payment,again,,EUR,30,{at},0"));
            }
        }
        let sent = until("the refund", || bank.asked("POST /v9/refunds").into_iter().next());
        lines.push(format!("refund,again,{},EUR,30,{at},0", sent.key));
        lines.push(format!("payout,x,,EUR,5967,{at},0"));
        Self { dev, bank, lines }
    }

    fn post(&self, query: &str, kind: &str, body: &str) -> Reply {
        let (path, token) = (format!("/admin/money{query}"), self.dev.secret("admin_token"));
        let headers = [("content-type", kind)];
        call(self.dev.admin, ("POST", &path), Some(token), &headers, Some(body.as_bytes()))
    }

    /// Over all of today.
    fn compared(&self, lines: &[String]) -> Value {
        let (from, to) = (rfc3339(now_s() - 3600), rfc3339(now_s() + 3600));
        let query = format!("?provider=bank&from={from}&to={to}");
        let reply = self.post(&query, "text/csv", &(HEADER.to_owned() + &lines.join("\n")));
        assert_eq!(reply.status, 200, "{reply:?}");
        reply.json()
    }
}

#[test]
fn a_statement_is_compared_both_ways() {
    let till = Till::open();
    let all = until("all to be booked", || {
        Some(till.compared(&till.lines)).filter(|r| r["matched"] == 5)
    });
    let none = json!([]);
    for list in ["missing_here", "missing_there", "different"] {
        assert_eq!(all[list], none, "{all}");
    }
    assert_eq!((&all["passed_over"], &all["unlisted"]), (&json!(1), &json!(0)));
    let mut less = till.lines.clone();
    less.remove(2);
    let told = till.compared(&less);
    let missing = &told["missing_there"][0];
    assert_eq!((&missing["type"], &missing["payment_id"]), (&json!("payment"), &json!("p1")));
    assert_eq!(missing["here"], json!({"currency": "EUR", "minor": 1999}), "{told}");
    assert_eq!(told["missing_there"].as_array().unwrap().len(), 1, "{told}");
    let more =
        [&till.lines[..], &[format!("refund,p1,dp_7,EUR,5,{},0", rfc3339(now_s()))]].concat();
    let told = till.compared(&more);
    assert_eq!(told["missing_here"][0]["refund_id"], "dp_7", "{told}");
}

#[test]
fn what_is_no_statement_is_a_problem() {
    let till = Till::open();
    let good = HEADER.to_owned() + &till.lines.join("\n");
    let bank = "?provider=bank";
    for (query, kind, body, reason) in [
        ("", "text/csv", good.as_str(), Reason::Malformed),
        ("?provider=Bank!", "text/csv", &good, Reason::BadId),
        ("?provider=nobody", "text/csv", &good, Reason::UnknownProvider),
        ("?provider=bank&day=1", "text/csv", &good, Reason::Malformed),
        ("?provider=bank&from=today", "text/csv", &good, Reason::Malformed),
        (
            "?provider=bank&from=2027-01-01T00:00:00Z&to=2026-01-01T00:00:00Z",
            "text/csv",
            &good,
            Reason::Malformed,
        ),
        (bank, "application/json", "{}", Reason::UnsupportedMediaType),
        (bank, "text/csv", "", Reason::Malformed),
        (bank, "text/csv", HEADER, Reason::Malformed),
        (bank, "text/csv", "a,b\n1,2\n", Reason::Malformed),
        (bank, "text/csv", &good.replace("1999", "19.99"), Reason::Malformed),
    ] {
        till.post(query, kind, body).problem(reason);
    }
    let large = good.clone() + &" ".repeat(16 * 1024 * 1024);
    till.post(bank, "text/csv", &large).problem(Reason::BodyTooLarge);
    let viewer = till.dev.minted(&["--role", "viewer"]);
    let headers = [("content-type", "text/csv")];
    let path = ("POST", "/admin/money?provider=bank");
    call(till.dev.admin, path, Some(&viewer), &headers, Some(good.as_bytes()))
        .problem(Reason::Forbidden);
    // Of less than ten minutes it does not say by itself what it covers.
    till.post(bank, "text/csv", &good).problem(Reason::Malformed);
    let day = "?provider=bank&from=2026-01-01T00:00:00Z&to=2026-01-02T00:00:00Z";
    assert_eq!(till.post(day, "text/csv; charset=utf-8", &good).status, 200);
    till.post(&day[..day.len() - 24], "text/csv", &good).problem(Reason::Malformed);
}

#[test]
fn the_command_line_says_by_its_exit_code() {
    let till = Till::open();
    until("all to be booked", || (till.compared(&till.lines)["matched"] == 5).then_some(()));
    let file = till.dev.path().join("day.csv");
    let (at, file_flag) = (till.dev.path().display().to_string(), file.display().to_string());
    let (from, to) = (rfc3339(now_s() - 3600), rfc3339(now_s() + 3600));
    let money = |provider: &str, file: &str, times: [&str; 2]| {
        run(&[
            "reconciler",
            "money",
            "--data-dir",
            &at,
            "--provider",
            provider,
            "--statement",
            file,
            "--from",
            times[0],
            "--to",
            times[1],
        ])
    };
    let put = |lines: &[String]| {
        std::fs::write(&file, HEADER.to_owned() + &lines.join("\n")).unwrap();
    };
    put(&till.lines);
    let same = money("bank", &file_flag, [&from, &to]);
    assert_eq!(same.status.code(), Some(0), "{same:?}");
    let told: Value = serde_json::from_slice(&same.stdout).unwrap();
    assert_eq!(told["matched"], 5, "{told}");
    put(&till.lines[1..]);
    let differs = money("bank", &file_flag, [&from, &to]);
    assert_eq!(differs.status.code(), Some(1), "{differs:?}");
    let told: Value = serde_json::from_slice(&differs.stdout).unwrap();
    assert_eq!(told["missing_there"][0]["payment_id"], "p0", "{told}");
    let wrong = [
        (money("nobody", &file_flag, [&from, &to]), "there is no such provider"),
        (money("No Name", &file_flag, [&from, &to]), "--provider No Name"),
        (money("bank", "/nowhere.csv", [&from, &to]), "/nowhere.csv"),
        (money("bank", &file_flag, [&to, &from]), "from must lie before to"),
        (money("bank", &file_flag, ["today", &to]), "--from today"),
    ];
    for (out, says) in wrong {
        let text = String::from_utf8_lossy(&out.stderr);
        assert_eq!(out.status.code(), Some(64), "{text}");
        assert!(text.contains(says) && text.trim_end().lines().count() == 1, "{says}: {text}");
    }
    put(&["payment,p0,,EUR,x,now".to_owned()]);
    let out = money("bank", &file_flag, [&from, &to]);
    assert!(String::from_utf8_lossy(&out.stderr).contains("line 2"), "{out:?}");
}

#[test]
fn an_operator_sees_where_the_money_is() {
    let till = Till::open();
    let shown = |want: Value| {
        until(&format!("{want}"), || {
            let status = till.dev.operate_ok("GET", "/admin/status", None);
            let mut euros = status["money"].as_array().unwrap().first()?.clone();
            assert!(euros["as_of"].as_str().unwrap().starts_with("20"), "{status}");
            euros.as_object_mut().unwrap().remove("as_of");
            (euros == want).then_some(())
        });
    };
    let euros = |captured: i64, refunded: i64, under_way: i64, manual: i64| {
        json!({
            "currency": "EUR", "captured": captured, "refunded": refunded,
            "under_way": under_way, "manual": manual, "broken": 0,
        })
    };
    shown(euros(3 * 1999 + 30, 30, 0, 0));
    // A provider that does not answer: the money is under way.
    till.bank.says(|_| (500, json!({})));
    let taken = till.dev.buy("shoe", &till.dev.token("ada"), "k1");
    let order = taken.json()["order_id"].as_str().unwrap().to_owned();
    let body = json!({"refund_id": "r", "amount": {"currency": "EUR", "minor": 500}});
    till.dev.operate_ok("POST", &format!("/admin/orders/{order}/refund"), Some(&body));
    shown(euros(3 * 1999 + 30, 30, 500, 0));
    till.bank.says(|_| (200, json!({"result": "succeeded"})));
    shown(euros(3 * 1999 + 30, 530, 0, 0));
}
