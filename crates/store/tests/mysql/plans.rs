//! Every statement of the store at the size that a sale reaches, with statistics from before it:
//! the server's own log of the plans it really took, and of the rows it read for them.
//!
//! The conformance suite calls every method; what follows calls those whose work might grow with a
//! cell on a cell of a million entries.
#![allow(clippy::print_stdout, reason = "a test tells what it saw")]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use domain::life::{Actor, LifeWish, MoneyTotals, PaymentNews, Policies, ProviderEvent};
use domain::{CellId, EntryId, Giveback, Gives, OrderId, Ordinal};
use sluicegate_store::fold::buyer_units;
use sluicegate_store::port::{
    LifeCall, MAX_ORDERS, MAX_STRETCH, MoneyRow, MoneyWanted, MoneyWay, TasksWanted,
};
use sluicegate_store::{
    DetailRead, DetailWrite, Init, LedgerRead, LedgerWrite, LifeRead, LifeWrite, MoneyRead,
    MoneyWrite, OrdersRead, OrdersWrite, ParkedRead, Shards, SqlStore, Verdicts,
};
use testkit::own::Own;
use testkit::store::make::{asks, one_line, row};

use crate::{conforms, identity, open};

const ENTRIES: u64 = 1_000_000;
/// Orders of which more is known than their row.
const LIVES: u64 = 300_000;

/// Statements that may read more rows than their batch has, with why.
const LONG: [(&str, u64); 2] = [
    // A fold reads a stretch.
    ("SELECT `ledger`.`seq`, `ledger`.`buyer`, `ledger`.`kind`", MAX_STRETCH + 10),
    // What is parked is counted; a person has to look at each.
    ("SELECT COUNT(*)", 10_000),
];
/// The most rows of any other statement: a batch of 512 looked up by two columns of an index.
const MOST: u64 = 4 * MAX_ORDERS as u64;

/// Tables that are read whole on purpose: their size is that of the configuration.
const WHOLE: [&str; 2] = ["progress", "money_total"];

/// The log of one server while it lives.
struct Log<'a> {
    own: &'a Own,
    file: PathBuf,
    before: Vec<(&'static str, String)>,
}

const SETTINGS: [(&str, &str); 4] = [
    ("log_output", "'FILE'"),
    ("long_query_time", "0"),
    ("log_slow_verbosity", "'query_plan,explain'"),
    ("log_slow_rate_limit", "1"),
];

impl<'a> Log<'a> {
    async fn start(own: &'a Own) -> Self {
        let file = testkit::stack::file().with_file_name("plans.log");
        let _ = std::fs::remove_file(&file);
        let mut before = Vec::new();
        for (name, value) in SETTINGS {
            let was = own.root_value(0, &format!("SELECT @@global.{name}")).await.unwrap();
            before.push((name, was));
            own.root(0, &format!("SET GLOBAL {name} = {value}")).await.unwrap();
        }
        let path = format!("SET GLOBAL slow_query_log_file = '{}'", file.display());
        own.root(0, &path).await.unwrap();
        own.root(0, "SET GLOBAL slow_query_log = 1").await.unwrap();
        Self { own, file, before }
    }

    /// What was logged of one database.
    async fn stop(self, database: &str) -> Vec<Plan> {
        self.own.root(0, "SET GLOBAL slow_query_log = 0").await.unwrap();
        for (name, was) in self.before {
            let was = if was.parse::<f64>().is_ok() { was } else { format!("'{was}'") };
            self.own.root(0, &format!("SET GLOBAL {name} = {was}")).await.unwrap();
        }
        let text = String::from_utf8_lossy(&std::fs::read(&self.file).unwrap()).into_owned();
        let _ = std::fs::remove_file(&self.file);
        let here = format!("Schema: {database} ");
        text.split("# User@Host:").filter(|e| e.contains(&here)).filter_map(Plan::read).collect()
    }
}

/// One statement as it was carried out.
#[derive(Debug, Clone)]
struct Plan {
    statement: String,
    examined: u64,
    /// (table, how it was read, what else was done).
    steps: Vec<(String, String, String)>,
}

impl Plan {
    fn read(entry: &str) -> Option<Self> {
        let examined = entry.split("Rows_examined: ").nth(1)?.split_whitespace().next()?;
        let mut steps = Vec::new();
        for line in entry.lines().filter_map(|l| l.strip_prefix("# explain: ")) {
            let cells: Vec<&str> = line.split('\t').collect();
            if let [_, _, table, how, .., extra] = cells[..]
                && table != "table"
            {
                steps.push((table.to_owned(), how.to_owned(), extra.to_owned()));
            }
        }
        let statement = entry.lines().filter(|l| !l.starts_with('#')).skip(1);
        let statement = statement.filter(|l| !l.starts_with("SET timestamp"));
        let statement = statement.collect::<Vec<_>>().join(" ");
        Some(Self { statement, examined: examined.parse().ok()?, steps })
    }

    /// Statements that differ in values alone are one.
    fn shape(&self) -> String {
        self.statement.chars().take(120).collect()
    }

    fn wrong(&self) -> Option<String> {
        // The server's own tables are looked at once, at a start.
        if self.statement.contains("information_schema") {
            return None;
        }
        if !["SELECT", "UPDATE", "DELETE"].iter().any(|w| self.statement.starts_with(w)) {
            return None;
        }
        let most = LONG.iter().find(|(s, _)| self.statement.starts_with(s)).map_or(MOST, |l| l.1);
        if self.examined > most {
            return Some(format!("read {} rows", self.examined));
        }
        let ours = |t: &str| !t.starts_with('<') && t != "NULL" && !WHOLE.contains(&t);
        for (table, how, extra) in &self.steps {
            if ours(table) && how == "ALL" {
                return Some(format!("read all of {table}"));
            }
            if extra.contains("filesort") && self.examined > 1000 {
                return Some(format!("sorted {} rows of {table}", self.examined));
            }
        }
        None
    }
}

/// The hex digits of a random order id, as an expression over `n`.
fn order_id(n: &str) -> String {
    format!("INSERT(INSERT(MD5({n}), 13, 1, '8'), 17, 1, '8')")
}

/// The statistics of tables that grow stay what they are now: those of empty tables.
async fn keep_statistics(own: &Own) {
    for table in [
        "cell",
        "ledger",
        "unrowed",
        "orders",
        "parked",
        "parked_frame",
        "offer",
        "campaign",
        "payment",
        "order_detail",
        "pay_session",
        "refund",
        "order_history",
        "due",
        "giveback",
        "task",
    ] {
        let stale = format!("ALTER TABLE {table} STATS_PERSISTENT = 1 STATS_AUTO_RECALC = 0");
        own.sql(0, &stale).await.unwrap();
        own.sql(0, &format!("ANALYZE TABLE {table}")).await.unwrap();
    }
}

/// A cell with a million claims of a hundred thousand buyers, and as many order rows.
async fn large(own: &Own, store: &SqlStore) -> CellId {
    store.init(&identity().fingerprint_hex()).await.unwrap();
    let names = (0..1000).map(|n| format!("large-{n}").parse::<domain::OfferId>().unwrap());
    let offer = names.clone().find(|o| store.cell_db(o) == 0).unwrap();
    let cell = offer.cell(0);
    let id = |n| identity().request_id(&offer, "test", n);
    store.create_cells(&[(cell.clone(), 3_000_000)], (id("1"), id("2"))).await.unwrap();
    keep_statistics(own).await;
    let no = format!("(SELECT cell_no FROM cell WHERE cell_id = '{cell}')");
    let id = order_id("seq");
    let fill = format!(
        "INSERT INTO ledger SELECT {no}, seq + 2, 2, 1, UNHEX({id}), \
         CONCAT('buyer-', seq % 100000), 1, '', 3000000, seq, 1, seq, 1 FROM seq_1_to_{ENTRIES}"
    );
    own.sql(0, &fill).await.unwrap();
    let head = format!(
        "UPDATE cell SET net = {ENTRIES}, seq = {ENTRIES} + 2, tok = {ENTRIES} \
         WHERE cell_id = '{cell}'"
    );
    own.sql(0, &head).await.unwrap();
    let rows = format!(
        "INSERT INTO orders SELECT UNHEX({id}), CONCAT('buyer-', seq % 100000), \
         CONCAT('key-', seq), 3, NULL, 2, 'large', 0, 1, 100, 0, 'EUR', 100, '', 1, 1, \
         1000000000 + seq, \
         0, 0, NULL, NULL, NULL, NULL FROM seq_1_to_{ENTRIES}"
    );
    own.sql(0, &rows).await.unwrap();
    for sql in lives(&id) {
        own.sql(0, &sql).await.unwrap();
    }
    let ranges = format!(
        "INSERT INTO unrowed SELECT {no}, seq * 20, seq * 20 + 19, seq, X'01' FROM seq_1_to_20000"
    );
    own.sql(0, &ranges).await.unwrap();
    let cells = "INSERT INTO cell (cell_id, supply, net, seq, open, tok, flag_seq) \
        SELECT CONCAT('other-', seq, '.0'), 0, 0, 0, 0, 0, 0 FROM seq_1_to_10000";
    let offers = "INSERT INTO offer SELECT CONCAT('other-', seq), 'evergreen', 'x', 'EUR', 1, 1, \
        NULL, 1, 0, 0, 0, 0, 0 FROM seq_1_to_10000";
    let campaigns = "INSERT INTO campaign SELECT CONCAT('other-', seq), seq + 1000, NULL, NULL, 1 \
        FROM seq_1_to_3000";
    for sql in [cells, offers, campaigns] {
        own.sql(0, sql).await.unwrap();
    }
    for table in ["parked", "parked_frame"] {
        let id = if table == "parked" { format!("UNHEX({id})") } else { "MD5(seq)".to_owned() };
        let place = if table == "parked" { "" } else { "'main-0', " };
        let sql = format!(
            "INSERT INTO {table} SELECT {id}, {place}'x', X'010000000000000001', 1, 1, 1 \
             FROM seq_1_to_3000"
        );
        own.sql(0, &sql).await.unwrap();
    }
    cell
}

/// A payment, a refund, history, work and a giveback for each of many orders; tasks for some.
fn lives(id: &str) -> [String; 8] {
    let from = format!("FROM seq_1_to_{LIVES}");
    [
        format!(
            "INSERT INTO payment SELECT 'card', CONCAT('p-', seq), UNHEX({id}), 3, 100, 'EUR', 3, \
             NULL, 0, 0, 0, 0, seq DIV 1000, 1 {from}"
        ),
        format!(
            "INSERT INTO order_detail SELECT UNHEX({id}), CONCAT('buyer-', seq DIV 10), '{{}}', 1 \
             {from}"
        ),
        format!("INSERT INTO pay_session SELECT UNHEX({id}), 'card', 1, NULL, '', 1 {from}"),
        format!(
            "INSERT INTO refund SELECT UNHEX({id}), 'r', 'card', CONCAT('p-', seq), 1, 100, 100, \
             '', 0, 0, NULL, 5, 1, 1, seq DIV 1000, 1 {from}"
        ),
        format!("INSERT INTO order_history SELECT UNHEX({id}), 2, 3, 4, 'captured', 'x', 1 {from}"),
        format!(
            "INSERT INTO due SELECT 4, CONCAT('card/p-', seq), UNHEX({id}), \
             4000000000000 + seq, 0, 1 {from}"
        ),
        format!("INSERT INTO giveback SELECT UNHEX({id}), 'large.0', 2, 0, 1, 7, seq, 0 {from}"),
        format!(
            "INSERT INTO task SELECT 1, CONCAT('card/p-', seq), UNHEX({id}), 1, 1, 1, '', '' \
             FROM seq_1_to_3000"
        ),
    ]
}

/// Some of the orders of the first database, with their numbers.
async fn some_orders(own: &Own, store: &SqlStore) -> Vec<(usize, OrderId)> {
    let mut found = Vec::new();
    for number in (1..).step_by(250) {
        let hex = own.root_value(0, &format!("SELECT {}", order_id(&number.to_string()))).await;
        let hex = hex.unwrap();
        let bytes: Vec<u8> =
            (0..16).map(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).unwrap()).collect();
        let id = OrderId(bytes.try_into().unwrap());
        if store.order_db(id) == 0 {
            found.push((number, id));
        }
        if found.len() == MAX_ORDERS {
            break;
        }
    }
    assert!(found.last().unwrap().0 < LIVES as usize);
    found
}

/// What a writer, a gate and a reconciler ask of a large cell.
async fn asked(store: &SqlStore, cell: &CellId, some: &[(usize, OrderId)]) {
    let ids: &[OrderId] = &some.iter().map(|(_, id)| *id).collect::<Vec<_>>();
    let orders: Vec<_> =
        (0..MAX_ORDERS).map(|n| one_line(&identity(), cell, (&format!("new-{n}"), "k"))).collect();
    let here: Vec<_> = orders.iter().filter(|p| store.order_db(p.order) == 0).map(row).collect();
    for _ in 0..3 {
        // New, then redelivered.
        store.verdicts(&[asks(cell, &orders)]).await.unwrap();
        store.rows(0, &here).await.unwrap();
    }
    let known: Vec<_> = ids
        .iter()
        .zip(&orders)
        .map(|(id, p)| domain::Payload { order: *id, ..p.clone() })
        .collect();
    let again = store.verdicts(&[asks(cell, &known)]).await.unwrap();
    assert!(again[0].entries.is_empty(), "all were there");
    store.statuses(0, ids).await.unwrap();
    let asked: Vec<EntryId> = ids.iter().map(|id| EntryId::from(*id)).collect();
    let found = store.find_verdicts(cell, &asked).await.unwrap();
    assert_eq!(found.iter().flatten().count(), ids.len());
    store.parked_among(ids).await.unwrap();
    store.order(ids[7]).await.unwrap();
    let (buyer, key) = ("buyer-77".parse().unwrap(), "key-77".parse().unwrap());
    store.order_of_key(&buyer, &key).await.unwrap();
    for seq in [1, ENTRIES / 2, ENTRIES] {
        store.at(cell, seq).await.unwrap();
        store.after(cell, seq, 512).await.unwrap();
        store.kept(cell, seq).await.unwrap();
    }
    let last = store.last_flag(cell).await.unwrap().unwrap();
    assert_eq!(last.seq, 2);
    store.last(cell).await.unwrap();
    for seq in [1, ENTRIES / 2, ENTRIES] {
        assert_eq!(store.locked(cell, seq).await.unwrap().unwrap().at.unwrap().seq, seq);
    }
    assert_eq!(store.traces(0, ids).await.unwrap().len(), ids.len());
    let page = store.kept_rows(0, Some(ids[7]), 512).await.unwrap();
    assert_eq!((page.rows.len(), page.next.is_some()), (512, true));
    lived(store, some).await;
    added_up(store).await;
    kept_of_persons(store, some).await;
    store.reject(0, ids).await.unwrap();
    let give =
        |gives| ids.iter().map(|order| Giveback { order: *order, gives }).collect::<Vec<_>>();
    store.give_back(cell, &give(Gives::Release)).await.unwrap();
    // All are refused beside the releases; what is read is the same.
    let (ordinal, units) = (Ordinal::FIRST, 1);
    let returns = give(Gives::Return { ordinal, units, frees_limit: true });
    assert_eq!(store.give_back(cell, &returns).await.unwrap().refused.len(), ids.len());
    let old = store.unrowed(0, 100_000, 256).await.unwrap();
    assert_eq!(old.len(), 256);
    store.finish_unrowed(0, &old).await.unwrap();
    store.parked_orders(Some(ids[0]), 100).await.unwrap();
    store.parked_frames(Some("7"), 100).await.unwrap();
    let mut units = std::collections::HashMap::new();
    let head = store.head(cell).await.unwrap().unwrap();
    buyer_units(store, cell, (0, head.seq), |_| true, &mut units).await.unwrap();
    assert_eq!(units.values().sum::<i64>(), head.net);
}

/// What a checkout keeps of a person among as many.
async fn kept_of_persons(store: &SqlStore, some: &[(usize, OrderId)]) {
    let buyer = "a-person".parse().unwrap();
    for (_, order) in some {
        store.put_details(*order, &buyer, "{}").await.unwrap();
    }
    assert_eq!(store.details(some[3].1).await.unwrap().as_deref(), Some("{}"));
    store.erase_details(&buyer).await.unwrap();
}

/// What a look at all money asks, and a comparison with a provider's statement.
async fn added_up(store: &SqlStore) {
    let first = store.payments_after(0, None, 512).await.unwrap();
    let next = store.payments_after(0, first.last().map(|(key, _)| key), 512).await.unwrap();
    assert_eq!((first.len(), next.len()), (512, 512));
    let keys: Vec<_> = next.into_iter().map(|(key, _)| key).collect();
    assert_eq!(store.payments_named(0, &keys).await.unwrap().len(), 512);
    let totals = MoneyTotals { captured: 1, ..MoneyTotals::default() };
    let row = MoneyRow { currency: "EUR".into(), totals, at_ms: 0 };
    store.put_money(0, &[row]).await.unwrap();
    assert_eq!(store.money(0).await.unwrap().len(), 1);
    for way in [MoneyWay::In, MoneyWay::Back] {
        let provider = "card".parse().unwrap();
        let (from_ms, to_ms) = (50, 200);
        let mut wanted = MoneyWanted { way, provider, from_ms, to_ms, after: None, limit: 512 };
        for _ in 0..3 {
            let page = store.moved(0, &wanted).await.unwrap();
            assert_eq!(page.len(), 512);
            wanted.after = page.last().cloned();
        }
    }
}

/// What the clerk asks of the lives of as many orders.
async fn lived(store: &SqlStore, some: &[(usize, OrderId)]) {
    let news = |(number, order): &(usize, OrderId)| {
        LifeWish::Join(ProviderEvent {
            event: None,
            provider: "card".parse().unwrap(),
            payment: format!("p-{number}").parse().unwrap(),
            order: *order,
            currency: "EUR".into(),
            news: PaymentNews::Captured(120),
            is_final: true,
        })
    };
    let told: Vec<LifeWish> = some.iter().map(news).collect();
    let half =
        |wish: fn(OrderId) -> LifeWish| some[..256].iter().map(move |(_, id)| wish(*id)).collect();
    let begin = half(|order| LifeWish::BeginSession(order, "card".parse().unwrap()));
    for wishes in [told, half(LifeWish::Expire), half(LifeWish::Settle), begin] {
        let (actor, policies) = (Actor::Clerk, Policies::default());
        let call = LifeCall { db: 0, actor, policies, wishes };
        store.live(&call).await.unwrap();
    }
    assert_eq!(store.take_due(0, 512, 60_000).await.unwrap().len(), 512);
    // No other check takes those to a database that there is not.
    let back = store.take_givebacks(0, 7, 512, 60_000).await.unwrap();
    assert_eq!(back.len(), 512);
    store.end_givebacks(0, &back[..500], &back[500..]).await.unwrap();
    let page = store.expiring(0, 2_000_000_000, None, 512).await.unwrap();
    let next = store.expiring(0, 2_000_000_000, page.last(), 512).await.unwrap();
    assert_eq!((page.len(), next.len()), (512, 512));
    let orders: Vec<OrderId> = some.iter().map(|(_, id)| *id).collect();
    assert_eq!(store.lives(0, &orders).await.unwrap().len(), orders.len());
    for kind in [None, Some(5)] {
        let wanted = TasksWanted { is_open: true, kind, after: None, limit: 100 };
        let page = store.tasks(0, &wanted).await.unwrap();
        let after = page.last().map(|t| (t.kind, t.subject.clone()));
        store.tasks(0, &TasksWanted { after, ..wanted }).await.unwrap();
    }
    store.task(0, 5, "nobody").await.unwrap();
    let here = some[300].1;
    let life = store.life(here).await.unwrap();
    assert_eq!((life.payments.len(), life.refunds.len()), (1, 2));
    assert_eq!(store.history(here).await.unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_statement_reads_more_than_its_batch() {
    let _disruption = testkit::stack::disrupt().unwrap();
    let own = Own::create().await.unwrap();
    let store = open(&own, Duration::from_secs(60));
    let cell = large(&own, &store).await;
    let some = some_orders(&own, &store).await;
    let log = Log::start(&own).await;
    conforms(&own).await.unwrap();
    asked(&open(&own, Duration::from_secs(60)), &cell, &some).await;
    let database = own.name(0);
    let plans = log.stop(database).await;
    let mut seen: BTreeMap<String, (usize, u64)> = BTreeMap::new();
    let mut wrong = Vec::new();
    for plan in &plans {
        let of = seen.entry(plan.shape()).or_default();
        *of = (of.0 + 1, of.1.max(plan.examined));
        wrong
            .extend(plan.wrong().map(|why| format!("{why}: {}\n  {:?}", plan.shape(), plan.steps)));
    }
    own.drop_all().await.unwrap();
    for (shape, (times, most)) in &seen {
        println!("{times:>5} times, at most {most:>6} rows: {shape}");
    }
    assert!(plans.iter().any(|p| !p.steps.is_empty()), "the log has no plans");
    assert!(seen.len() > 60, "{} statements were logged", seen.len());
    wrong.sort_unstable();
    wrong.dedup();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
