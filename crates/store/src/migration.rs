//! The tables, for MySQL, MariaDB and SQLite alike. Every database has all of them; the catalog
//! and the marks live in database 0.

use sea_orm::{ConnectionTrait, DbErr, Schema};
use sea_orm_migration::prelude::*;

use crate::entity::*;

/// All migrations, in order.
pub struct Migrator;

#[async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![Box::new(First)]
    }
}

struct First;

impl MigrationName for First {
    fn name(&self) -> &str {
        "m0001_first"
    }
}

fn name(s: &'static str) -> Alias {
    Alias::new(s)
}
fn bytes(s: &'static str, n: u32) -> ColumnDef {
    ColumnDef::new(name(s)).var_binary(n).not_null().take()
}
fn long(s: &'static str) -> ColumnDef {
    ColumnDef::new(name(s)).big_integer().not_null().take()
}
fn tiny(s: &'static str) -> ColumnDef {
    ColumnDef::new(name(s)).tiny_integer().not_null().take()
}
fn text(s: &'static str, n: u32) -> ColumnDef {
    ColumnDef::new(name(s)).string_len(n).not_null().take()
}
fn small(s: &'static str) -> ColumnDef {
    ColumnDef::new(name(s)).small_integer().not_null().take()
}
fn int(s: &'static str) -> ColumnDef {
    ColumnDef::new(name(s)).integer().not_null().take()
}
fn id16(s: &'static str) -> ColumnDef {
    ColumnDef::new(name(s)).binary_len(16).not_null().take()
}
fn blob(s: &'static str) -> ColumnDef {
    ColumnDef::new(name(s)).blob().not_null().take()
}
fn null(mut c: ColumnDef) -> ColumnDef {
    c.null().take()
}

fn table(t: &'static str, columns: Vec<ColumnDef>, key: &[&'static str]) -> TableCreateStatement {
    let mut create = Table::create().table(name(t)).if_not_exists().take();
    for c in columns {
        create.col(c);
    }
    let mut pk = Index::create();
    for k in key {
        pk.col(name(k));
    }
    create.primary_key(&mut pk);
    create
}

fn unique(t: &'static str, index: &'static str, columns: &[&'static str]) -> IndexCreateStatement {
    let mut i = Index::create().name(index).table(name(t)).unique().take();
    for c in columns {
        i.col(name(c));
    }
    i
}

fn cell_tables() -> Vec<TableCreateStatement> {
    let mut cell = table(
        "cell",
        vec![
            bytes("cell_id", 80),
            long("supply"),
            long("net"),
            long("seq"),
            tiny("open"),
            long("tok"),
        ],
        &["cell_id"],
    );
    cell.check(Expr::cust("net >= 0 AND net <= supply"));
    let ledger = vec![
        bytes("cell_id", 80),
        long("seq"),
        tiny("kind"),
        tiny("class"),
        id16("order_id"),
        bytes("buyer", 128),
        long("qty"),
        blob("payload"),
        long("supply_after"),
        long("net_after"),
        tiny("open_after"),
        long("tok"),
        long("at_ms"),
    ];
    let unrowed = vec![bytes("cell_id", 80), long("first_seq"), long("last_seq"), long("at_ms")];
    vec![
        cell,
        table("ledger", ledger, &["cell_id", "seq"]),
        table("unrowed", unrowed, &["cell_id", "first_seq"]),
    ]
}

fn buyer_tables() -> Vec<TableCreateStatement> {
    let orders = vec![
        id16("order_id"),
        bytes("buyer", 128),
        null(bytes("idem_key", 128)),
        tiny("status"),
        null(text("reason", 32)),
        int("version"),
        bytes("offer", 64),
        text("currency", 3),
        long("amount"),
        ColumnDef::new(name("metadata")).text().not_null().take(),
        long("created_at"),
        long("updated_at"),
        long("expires_at"),
    ];
    let lines = vec![
        id16("order_id"),
        small("line"),
        bytes("offer", 64),
        small("bucket"),
        int("qty"),
        long("unit_minor"),
    ];
    vec![table("orders", orders, &["order_id"]), table("order_line", lines, &["order_id", "line"])]
}

fn mark_tables() -> Vec<TableCreateStatement> {
    let barrier = vec![text("barrier", 64), text("partition_name", 32), long("at_ms")];
    let parked = vec![id16("order_id"), text("reason", 500), blob("payload"), long("at_ms")];
    let frame = ColumnDef::new(name("frame")).custom(name("LONGBLOB")).not_null().take();
    let parked_frame =
        vec![text("id", 64), text("partition_name", 32), text("reason", 500), frame, long("at_ms")];
    let campaign = vec![
        text("id", 64),
        int("number"),
        null(long("opens_at")),
        null(long("closes_at")),
        int("payment_window_s"),
    ];
    let offer = vec![
        text("id", 64),
        text("campaign", 64),
        text("sku", 128),
        text("currency", 3),
        long("minor"),
        long("allotment"),
        null(int("limit_per_buyer")),
        small("buckets"),
    ];
    let progress = vec![text("partition_name", 32), long("finished_until")];
    let lease = vec![text("name", 100), text("holder", 100), long("until_ms")];
    let value = ColumnDef::new(name("value")).text().not_null().take();
    vec![
        table("progress", progress, &["partition_name"]),
        table("barrier_seen", barrier, &["barrier", "partition_name"]),
        table("parked", parked, &["order_id"]),
        table("parked_frame", parked_frame, &["id"]),
        table("lease", lease, &["name"]),
        table("meta", vec![text("name", 64), value], &["name"]),
        table("campaign", campaign, &["id"]),
        table("offer", offer, &["id"]),
    ]
}

#[async_trait::async_trait]
impl MigrationTrait for First {
    #[expect(elided_lifetimes_in_paths, reason = "the macro's trait has the lifetime late-bound")]
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for t in cell_tables().into_iter().chain(buyer_tables()).chain(mark_tables()) {
            manager.create_table(t).await?;
        }
        let schema = Schema::new(manager.get_connection().get_database_backend());
        manager
            .create_table(schema.create_table_from_entity(outbox::Entity).if_not_exists().take())
            .await?;
        let keys: [(&'static str, &'static str, &[&'static str]); 3] = [
            ("ledger", "ledger_order", &["order_id", "cell_id", "class"]),
            ("orders", "orders_key", &["buyer", "idem_key"]),
            ("campaign", "campaign_number", &["number"]),
        ];
        for (t, index, columns) in keys {
            if !manager.has_index(t, index).await? {
                manager.create_index(unique(t, index, columns)).await?;
            }
        }
        Ok(())
    }
}
