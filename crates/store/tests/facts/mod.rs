//! INV-19 over a whole database: each version of each order has one fact.

use std::collections::BTreeMap;

use sea_orm::{ConnectionTrait, DatabaseConnection, Statement};

/// Looks at all orders of a database, and answers how many there are.
pub(crate) async fn one_for_each_version(db: &DatabaseConnection) -> usize {
    let all = async |sql: &str| {
        let statement = Statement::from_string(db.get_database_backend(), sql);
        db.query_all_raw(statement).await.unwrap()
    };
    let mut facts = BTreeMap::<Vec<u8>, Vec<i32>>::new();
    for row in all("SELECT orders, version FROM fact").await {
        let (orders, version): (Vec<u8>, i32) =
            (row.try_get("", "orders").unwrap(), row.try_get("", "version").unwrap());
        assert_eq!(orders.len() % 16, 0, "ids of 16 bytes");
        for order in orders.chunks(16) {
            facts.entry(order.to_vec()).or_default().push(version);
        }
    }
    let rows = all("SELECT order_id, version FROM orders").await;
    for row in &rows {
        let order: Vec<u8> = row.try_get("", "order_id").unwrap();
        let version: i32 = row.try_get("", "version").unwrap();
        let mut told = facts.remove(&order).unwrap_or_default();
        told.sort_unstable();
        let all: Vec<i32> = (1..=version).collect();
        assert_eq!(told, all, "facts of {order:02x?}, version {version}");
    }
    assert!(facts.is_empty(), "facts of no order: {facts:02x?}");
    rows.len()
}
