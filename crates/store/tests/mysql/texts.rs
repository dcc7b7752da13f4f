//! Texts of all of Unicode on servers and databases whose character set is another one, and tables
//! that were restored with the wrong one.

use std::sync::Arc;
use std::time::Duration;

use domain::Payload;
use runtime::Secret;
use runtime::clock::system_clock;
use sluicegate_store::{Init, OrdersRead, OrdersWrite, Shards, SqlStore, StoreConfig};
use testkit::own::Own;
use testkit::store::make::{one_line, row};

use crate::{conforms, identity, open};

fn payload(buyer: &str, key: &str, metadata: &str) -> Payload {
    let cell = "texts".parse::<domain::OfferId>().unwrap().cell(0);
    let p = one_line(&identity(), &cell, (buyer, key));
    Payload { metadata: metadata.to_owned(), ..p }
}

/// Every character there is, in pieces of some; all but NUL may be in a buyer's name too.
fn pieces() -> Vec<String> {
    let all: Vec<char> = (1..=0x0010_FFFF).filter_map(char::from_u32).collect();
    // Whole planes are one kind: the first is taken densely, of the others every 61st.
    let some = all.iter().enumerate().filter(|(n, _)| *n < 0x3000 || n % 61 == 0);
    let some: Vec<char> = some.map(|(_, c)| *c).collect();
    some.chunks(30).map(|c| c.iter().collect()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_of_unicode_on_a_latin1_database() {
    let _calm = testkit::stack::calm().unwrap();
    let own = Own::create_as(" CHARACTER SET latin1 COLLATE latin1_german2_ci").await.unwrap();
    conforms(&own).await.unwrap();
    let store = open(&own, Duration::from_secs(10));
    let orders: Vec<Payload> = pieces()
        .iter()
        .enumerate()
        .map(|(n, text)| payload(text, &format!("k{n}"), &format!("{{{text:?}:{n}}}")))
        .collect();
    assert!(orders.len() > 700, "{}", orders.len());
    for db in [0, 1] {
        let here = orders.iter().filter(|p| store.order_db(p.order) == db);
        let asks = here.map(row);
        for piece in asks.collect::<Vec<_>>().chunks(400) {
            store.rows(db, piece).await.unwrap();
        }
    }
    for p in &orders {
        let row = store.order(p.order).await.unwrap().unwrap();
        assert_eq!((&row.buyer, &row.metadata), (&p.buyer, &p.metadata));
        let found = store.order_of_key(&p.buyer, p.key.as_ref().unwrap()).await.unwrap().unwrap();
        assert_eq!(found.order, p.order);
    }
    own.drop_all().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn init_sets_restored_tables_right() {
    let _calm = testkit::stack::calm().unwrap();
    let own = Own::create().await.unwrap();
    let init = async || {
        let store = open(&own, Duration::from_secs(10));
        store.init(&identity().fingerprint_hex()).await.map(|_| store)
    };
    init().await.unwrap();
    let wrong = [
        "ALTER TABLE orders CONVERT TO CHARACTER SET latin1",
        "ALTER TABLE orders CONVERT TO CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci",
        "ALTER TABLE parked MODIFY reason VARCHAR(500) CHARACTER SET ascii NOT NULL",
        "ALTER TABLE campaign CONVERT TO CHARACTER SET utf8mb3",
        "ALTER TABLE barrier_seen ENGINE = MyISAM",
        "ALTER TABLE lease ENGINE = Aria, CONVERT TO CHARACTER SET koi8r",
    ];
    for sql in wrong {
        own.sql(1, sql).await.unwrap();
        let store = init().await.unwrap();
        let p = payload("smörgås 🍣", &format!("k{}", sql.len()), r#"{"sushi":"🍣"}"#);
        let db = store.order_db(p.order);
        store.rows(db, &[row(&p)]).await.unwrap();
        assert_eq!(store.order(p.order).await.unwrap().unwrap().metadata, p.metadata, "{sql}");
    }
    own.drop_all().await.unwrap();
}

/// Without the right to alter a table a start says what is wrong and what would help.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn init_refuses_what_it_may_not_change() {
    let _calm = testkit::stack::calm().unwrap();
    let own = Own::create().await.unwrap();
    let fingerprint = identity().fingerprint_hex();
    open(&own, Duration::from_secs(10)).init(&fingerprint).await.unwrap();
    let database = own.name(0);
    let user = format!("r_{}", &database[database.len() - 12..]);
    let sql = format!("CREATE USER '{user}'@'127.0.0.1' IDENTIFIED BY 'x'");
    own.root(0, &sql).await.unwrap();
    let rights = "SELECT, INSERT, UPDATE, DELETE, CREATE, INDEX";
    let sql = format!("GRANT {rights} ON `{database}`.* TO '{user}'@'127.0.0.1'");
    own.root(0, &sql).await.unwrap();
    let cfg = StoreConfig {
        databases: vec![own.url_as(0, &format!("{user}:x")).unwrap()],
        password: Secret::None,
        connections: 2,
        timeout: Duration::from_secs(2),
    };
    let store = || Arc::new(SqlStore::new(&cfg, identity(), system_clock()).unwrap());
    own.sql(0, "DELETE FROM meta WHERE name = 'shard_map'").await.unwrap();
    store().init(&fingerprint).await.unwrap();
    own.sql(0, "ALTER TABLE orders CONVERT TO CHARACTER SET latin1").await.unwrap();
    let told = store().init(&fingerprint).await.unwrap_err().to_string();
    for word in ["table orders", "latin1", "utf8mb4_bin", "ALTER TABLE", "denied"] {
        assert!(told.contains(word), "{word}: {told}");
    }
    own.root(0, &format!("DROP USER '{user}'@'127.0.0.1'")).await.unwrap();
    own.drop_all().await.unwrap();
}
