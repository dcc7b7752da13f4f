//! What the configuration of the product takes, and its reference `sluicegate.toml`.

use runtime::config::{Sources, load, print_redacted, reference};

use super::*;

/// What stands before the keys.
const HEAD: &str = r##"
## Every key of Sluicegate with its default: the reference of the configuration.
##
## A line "# key = value" shows a default; take the "# " away to change it. "#? key = value" is a
## key that is unset by default. Sources, the later ones win: this file (--config), environment
## (SLUICEGATE__GATE__LISTEN=...), flags (--set gate.listen=...). Unknown keys are refused.

"##;

#[test]
fn the_reference_lists_every_key_with_its_default() {
    let want = format!("{}{}", HEAD.trim_start(), reference::<Config>());
    testkit::golden::golden(env!("CARGO_MANIFEST_DIR"), "sluicegate.toml", &want);
    let taken = |marks: &[&str]| {
        let lines = want.lines().map(|l| marks.iter().find_map(|m| l.strip_prefix(m)).unwrap_or(l));
        let text: String = lines.map(|l| format!("{l}\n")).collect();
        text.parse::<toml::Table>().unwrap().try_into::<Config>().unwrap()
    };
    assert_eq!(taken(&[]), Config::default(), "everything is commented out");
    assert_eq!(taken(&["# "]), Config::default());
    assert_ne!(taken(&["# ", "#? "]), Config::default(), "every example is a value of its key");
}

fn with(sets: &[&str]) -> Result<Config, String> {
    let sets = sets.iter().map(|s| (*s).to_owned()).collect();
    load(&Sources { sets, ..Sources::default() }).map_err(|e| e.0)
}

fn told(sets: &[&str]) -> String {
    with(sets).err().unwrap_or_default()
}

/// Paths of all whole numbers.
#[expect(clippy::wildcard_enum_match_arm, reason = "another crate's enum")]
fn numbers(at: &str, value: &toml::Value, into: &mut Vec<String>) {
    match value {
        toml::Value::Table(t) => {
            let dot = if at.is_empty() { "" } else { "." };
            t.iter().for_each(|(k, v)| numbers(&format!("{at}{dot}{k}"), v, into));
        }
        toml::Value::Integer(_) => into.push(at.to_owned()),
        _ => {}
    }
}

#[test]
fn every_number_has_a_range() {
    let mut all = Vec::new();
    numbers("", &toml::Value::try_from(Config::default()).unwrap(), &mut all);
    assert!(all.len() > 40, "{all:?}");
    for key in all {
        for wrong in ["-1", "4294967295", "9007199254740993", "1e30", "1.5", "x"] {
            let e = with(&[&format!("{key}={wrong}")]).expect_err(&format!("{key}={wrong}"));
            let last = key.rsplit('.').next().unwrap();
            assert!(e.contains(last) && e.lines().count() == 1, "{key}={wrong}: {e}");
        }
    }
    assert_eq!(told(&["gate.threads=100000"]), "gate.threads = 100000: must be 0 to 1024");
    let both = "reserve.batch = 0: must be 1 to 256; writer.batch_frames = 0: must be 1 to 256";
    assert_eq!(told(&["writer.batch_frames=0", "reserve.batch=0"]), both);
}

#[test]
fn what_does_not_go_together() {
    let e = told(&["cells.backend=redis"]);
    assert!(e.contains("cells.nodes") && e.contains("identity.secret"), "{e}");
    let e = told(&["reserve.wait_replicas=1"]);
    assert!(e.contains("embedded cells have no replicas") && e.lines().count() == 1, "{e}");
    for (set, why) in [
        ("gate.listne=127.0.0.1:1", "listne"),
        ("gate.listen=here", "gate.listen: \"here\": a listen address is ip:port"),
        ("writer.listen=9091", "writer.listen"),
        ("identity.secret=short", "identity.secret: at least 16 characters"),
        ("auth.hs256_secret=short", "auth.hs256_secret: at least 32 characters"),
        ("auth.hs256_old=[\"short\"]", "auth.hs256_old: at least 32 characters each"),
        ("admin.token=short", "admin.token: at least 16 characters"),
    ] {
        let e = told(&[set]);
        assert!(e.contains(why) && e.lines().count() == 1, "{set}: {e}");
    }
}

#[test]
fn proxies() {
    let net = |text: &str| format!("gate.trusted_proxies={text}");
    let nets = net("[\"10.0.0.0/8\", \"::1\"]");
    assert_eq!(with(&[&nets]).unwrap().gate.trusted_proxies.len(), 2);
    assert!(with(&[&nets, "gate.proxy_protocol=true"]).is_ok());
    let e = told(&["gate.proxy_protocol=true"]);
    assert!(e.contains("gate.proxy_protocol: needs gate.trusted_proxies"), "{e}");
    for wrong in ["[\"10.0.0.0/99\"]", "[\"proxy\"]", "[7]", "true"] {
        let e = told(&[&net(wrong)]);
        assert!(e.contains("trusted_proxies"), "{wrong}: {e}");
    }
}

#[test]
fn secrets_are_not_shown() {
    let c = with(&[
        "identity.secret=0123456789abcdef",
        "admin.token=0123456789abcdef",
        "cells.password=0123456789abcdef",
        "log.token=0123456789abcdef",
        "log.url=pulsar://me:hunter2@h:1",
        "log.admin_url=http://me:hunter2@h:1",
        "store.databases=[\"mysql://me:hunter2@h/db\", \"mysql://me:hunter2/@:x@h/db\"]",
    ]);
    let text = print_redacted(&c.unwrap());
    assert!(!text.contains("0123456789abcdef") && !text.contains("hunter2"), "{text}");
    assert!(text.contains("me:<redacted>@h/db"));
    for wrong in [
        "cells.password=987654321987",
        "log.token=987654321987",
        "identity.secret=987654321987",
        "admin.token=987654321987",
        "store.databases=987654321987",
        "store.databases=[987654321987]",
        "auth.hs256_old=[987654321987]",
        "auth.hs256_secret=987654321987",
        "log.url=987654321987",
    ] {
        let e = told(&[wrong]);
        let key = wrong.split('=').next().unwrap();
        assert!(!e.contains("987654321987") && e.contains(key) && e.contains("quotes"), "{e}");
    }
}

#[test]
fn contradictions_are_refused_in_one_line() {
    for (sets, why) in [
        (&["cells.password=hunter2", "cells.password_file=/p"][..], "not both"),
        (&["cells.user=me"], "cells.user: needs"),
        (&["cells.ca_file=/ca"], "cells.tls = true"),
        (&["cells.tls=true", "cells.cert_file=/c"], "both or none"),
        (&["log.token=hunter2", "log.token_file=/t"], "not both"),
        (&["log.ca_file=/ca", "log.url=pulsar://h:1"], "asks for TLS"),
        (&["log.backend=pulsar", "log.url=pulsarx://h"], "pulsar+ssl://"),
        (
            &[
                "log.backend=pulsar",
                "log.url=pulsar+ssl://h:1",
                "log.admin_url=http://h",
                "log.token=hunter2",
            ],
            "with TLS, or neither",
        ),
        (&["log.backend=pulsar", "log.admin_url=httpx://h"], "https://"),
        (&["log.backend=pulsar", "log.admin_url=http://me:hunter2@h:1"], "nothing else"),
        (&["log.backend=pulsar", "log.admin_url=https://h/admin"], "nothing else"),
        (&["log.backend=pulsar", "log.admin_url=https://"], "nothing else"),
        (
            &["store.databases=[\"mysql://me:hunter2@h/d\"]", "store.password_file=/p"],
            "store.databases[0]: has a password",
        ),
    ] {
        let e = told(sets);
        assert!(e.contains(why) && e.lines().count() == 1, "{sets:?}: {e}");
        assert!(!e.contains("hunter2"), "{e}");
    }
    let fine = ["cells.tls=true", "cells.ca_file=/ca", "cells.user=me", "cells.password=x"];
    assert_eq!(told(&fine), "");
    assert_eq!(told(&["log.url=pulsar+ssl://h:1", "log.ca_file=/ca", "log.token=x"]), "");
}

#[test]
fn parameters_of_a_database() {
    let of = |query: &str| told(&[&format!("store.databases=[\"mysql://me@h/d{query}\"]")]);
    for fine in [
        "",
        "?ssl-mode=DISABLED",
        "?ssl-mode=verify_identity&ssl-ca=/ca",
        "?sslmode=VERIFY_CA&sslca=/ca",
        "?ssl-mode=REQUIRED&ssl-cert=/c&ssl-key=/k",
        "?charset=utf8mb4",
    ] {
        assert_eq!(of(fine), "", "{fine}");
    }
    for (wrong, why) in [
        ("?ssl_mode=VERIFY_IDENTITY", "no parameter"),
        ("?sslMode=REQUIRED", "no parameter"),
        ("?tls=true", "no parameter"),
        ("?ssl-mode=PREFERRED", "is one of"),
        ("#x?ssl-mode=VERIFY_IDENTITY&ssl-ca=/ca", "has a '#'"),
        ("?ssl-mode=", "is one of"),
        ("?ssl-mode", "is one of"),
        ("?ssl-ca=/ca", "ssl-ca needs"),
        ("?ssl-ca=/ca&ssl-mode=REQUIRED", "ssl-ca needs"),
        ("?ssl-mode=DISABLED&ssl-cert=/c", "need an ssl-mode"),
        ("?ssl-mode=VERIFY_IDENTITY&ssl-mode=DISABLED&ssl-ca=/ca", "ssl-ca needs"),
    ] {
        let e = of(wrong);
        assert!(e.contains(why) && e.contains("store.databases[0]"), "{wrong}: {e}");
    }
}
