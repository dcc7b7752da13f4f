//! A database that an older version made is brought up to date with everything that is in it.

use std::time::Duration;

use sluicegate_store::{Init, OrdersRead, OrdersWrite, Shards};
use testkit::own::Own;
use testkit::store::make::{one_line, row};

use crate::{identity, open};

/// What the steps after the first did, undone.
const FIRST: &[&str] = &[
    "ALTER TABLE cell MODIFY cell_id varbinary(80) NOT NULL",
    "ALTER TABLE orders MODIFY buyer varbinary(128) NOT NULL, MODIFY offer varbinary(64) NOT NULL",
    "ALTER TABLE order_line MODIFY offer varbinary(64) NOT NULL",
    "ALTER TABLE campaign MODIFY id varchar(64) NOT NULL",
    "ALTER TABLE offer MODIFY id varchar(64) NOT NULL, MODIFY campaign varchar(64) NOT NULL",
    "ALTER TABLE lease MODIFY name varchar(100) NOT NULL",
    "DROP TABLE payment, refund, order_history, giveback, due, task, fact",
    "ALTER TABLE orders DROP INDEX orders_expiry, DROP COLUMN captured, DROP COLUMN refunded, \
     DROP COLUMN supersedes, DROP COLUMN superseded_by, DROP COLUMN came_from, \
     DROP COLUMN window_ms",
    "ALTER TABLE offer DROP COLUMN late_payment, DROP COLUMN refund, DROP COLUMN restock, \
     DROP COLUMN cancel_paid, DROP COLUMN limit_counts",
    "DELETE FROM seaql_migrations WHERE version <> 'm0001_tables'",
];

/// Every column of our tables: name, type, collation, whether it may be NULL.
async fn shape(own: &Own, db: usize) -> String {
    let name = own.urls[db].rsplit('/').next().unwrap();
    let columns = "table_name, '.', column_name, ' ', column_type, ' ', \
                   IFNULL(collation_name, '-'), ' ', is_nullable";
    let query = format!(
        "SELECT JSON_ARRAYAGG(CONCAT({columns}) ORDER BY table_name, ordinal_position) \
         FROM information_schema.columns WHERE table_schema = '{name}'"
    );
    own.root_value(db, &query).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_versions_tables_grow() {
    let _calm = testkit::stack::calm().unwrap();
    let own = Own::create().await.unwrap();
    let init = async || {
        let store = open(&own, Duration::from_secs(10));
        store.init(&identity().fingerprint_hex()).await.unwrap();
        store
    };
    let store = init().await;
    let cell = "shoe".parse::<domain::OfferId>().unwrap().cell(0);
    let order = one_line(&identity(), &cell, ("ann", "k"));
    let no = store.order_db(order.order);
    store.rows(no, &[row(&order)]).await.unwrap();
    let shapes = async || [shape(&own, 0).await, shape(&own, 1).await];
    let now = shapes().await;
    assert!(now[0].contains("orders.buyer varbinary(162)"), "{}", now[0]);
    for db in [0, 1] {
        for sql in FIRST {
            own.sql(db, sql).await.unwrap();
        }
    }
    own.sql(0, "DELETE FROM meta WHERE name LIKE 'tables\\_%'").await.unwrap();
    assert_ne!(shapes().await, now);
    let store = init().await;
    assert_eq!(shapes().await, now);
    let found = store.order(order.order).await.unwrap().unwrap();
    assert_eq!((found.buyer, found.key), (order.buyer, order.key));
    own.drop_all().await.unwrap();
}
