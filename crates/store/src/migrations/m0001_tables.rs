//! The tables as they first were, for MySQL, MariaDB and SQLite alike. Every database has all of
//! them; the catalog and the marks live in database 0. Nothing here follows an entity: what a
//! database was given once stays what it was given.

use sea_orm::DbBackend;
use sea_orm_migration::prelude::*;

use super::steps::{CHARSET, COLLATION, ENGINE, MigrationSteps, NewIndex, name, several, unique};

pub(super) struct Tables;

const INDEXES: &[NewIndex] = &[
    unique("cell", "cell_name", &["cell_id"]),
    unique("ledger", "ledger_order", &["order_id", "cell_no", "class"]),
    several("unrowed", "unrowed_age", &["at_ms"]),
    unique("orders", "orders_key", &["buyer", "idem_key"]),
    unique("campaign", "campaign_number", &["number"]),
    several("barrier_seen", "barrier_age", &["at_ms"]),
];

impl MigrationName for Tables {
    fn name(&self) -> &str {
        "m0001_tables"
    }
}

pub(super) fn bytes(s: &'static str, n: u32) -> ColumnDef {
    ColumnDef::new(name(s)).var_binary(n).not_null().take()
}
pub(super) fn long(s: &'static str) -> ColumnDef {
    ColumnDef::new(name(s)).big_integer().not_null().take()
}
pub(super) fn tiny(s: &'static str) -> ColumnDef {
    ColumnDef::new(name(s)).tiny_integer().not_null().take()
}
pub(super) fn text(s: &'static str, n: u32) -> ColumnDef {
    ColumnDef::new(name(s)).string_len(n).not_null().take()
}
fn small(s: &'static str) -> ColumnDef {
    ColumnDef::new(name(s)).small_integer().not_null().take()
}
pub(super) fn int(s: &'static str) -> ColumnDef {
    ColumnDef::new(name(s)).integer().not_null().take()
}
pub(super) fn id16(s: &'static str) -> ColumnDef {
    ColumnDef::new(name(s)).binary_len(16).not_null().take()
}
pub(super) fn blob(s: &'static str) -> ColumnDef {
    ColumnDef::new(name(s)).blob().not_null().take()
}
/// Bytes beyond 64 KiB.
fn large(s: &'static str) -> ColumnDef {
    ColumnDef::new(name(s)).custom(name("MEDIUMBLOB")).not_null().take()
}
pub(super) fn null(mut c: ColumnDef) -> ColumnDef {
    c.null().take()
}

pub(super) fn keyed(
    t: &'static str,
    columns: Vec<ColumnDef>,
    key: &[&'static str],
) -> TableCreateStatement {
    let mut create = plain(t, columns);
    let mut pk = Index::create();
    for k in key {
        pk.col(name(k));
    }
    create.primary_key(&mut pk);
    create
}

/// A table whose key is a column that numbers itself.
pub(super) fn plain(t: &'static str, columns: Vec<ColumnDef>) -> TableCreateStatement {
    let mut create = Table::create().table(name(t)).if_not_exists().take();
    for c in columns {
        create.col(c);
    }
    create
}

fn cell_tables() -> Vec<TableCreateStatement> {
    let mut cell = plain(
        "cell",
        vec![
            ColumnDef::new(name("cell_no"))
                .integer()
                .not_null()
                .auto_increment()
                .primary_key()
                .take(),
            bytes("cell_id", 80),
            long("supply"),
            long("net"),
            long("seq"),
            tiny("open"),
            long("tok"),
            long("flag_seq"),
        ],
    );
    cell.check(Expr::cust("net >= 0 AND net <= supply AND seq >= 0 AND open IN (0, 1, 2)"));
    let ledger = vec![
        int("cell_no"),
        long("seq"),
        tiny("kind"),
        tiny("class"),
        id16("order_id"),
        bytes("buyer", 128),
        long("qty"),
        bytes("note", 255),
        long("supply_after"),
        long("net_after"),
        tiny("open_after"),
        long("tok"),
        long("at_ms"),
    ];
    let unrowed =
        vec![int("cell_no"), long("first_seq"), long("last_seq"), long("at_ms"), large("orders")];
    vec![
        cell,
        keyed("ledger", ledger, &["cell_no", "seq"]),
        keyed("unrowed", unrowed, &["cell_no", "first_seq"]),
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
        small("bucket"),
        int("qty"),
        long("unit_minor"),
        tiny("more_lines"),
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
    vec![keyed("orders", orders, &["order_id"]), keyed("order_line", lines, &["order_id", "line"])]
}

fn mark_tables() -> Vec<TableCreateStatement> {
    let barrier = vec![text("barrier", 64), text("partition_name", 32), long("at_ms")];
    let parked = vec![
        id16("order_id"),
        text("reason", 500),
        blob("payload"),
        long("at_ms"),
        int("times"),
        tiny("is_open"),
    ];
    let parked_frame = vec![
        text("id", 64),
        text("partition_name", 32),
        text("reason", 500),
        large("frame"),
        long("at_ms"),
        int("times"),
        tiny("is_open"),
    ];
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
        keyed("progress", progress, &["partition_name"]),
        keyed("barrier_seen", barrier, &["barrier", "partition_name"]),
        keyed("parked", parked, &["order_id"]),
        keyed("parked_frame", parked_frame, &["id"]),
        keyed("lease", lease, &["name"]),
        keyed("meta", vec![text("name", 64), value], &["name"]),
        keyed("campaign", campaign, &["id"]),
        keyed("offer", offer, &["id"]),
    ]
}

/// With what MySQL and MariaDB are told for every table.
pub(super) fn told(mut t: TableCreateStatement, backend: DbBackend) -> TableCreateStatement {
    if backend == DbBackend::MySql {
        t.engine(ENGINE).character_set(CHARSET).collate(COLLATION);
    }
    t
}

impl MigrationSteps for Tables {
    fn tables(&self, backend: DbBackend) -> Vec<TableCreateStatement> {
        let outbox = vec![
            ColumnDef::new(name("id"))
                .big_integer()
                .not_null()
                .auto_increment()
                .primary_key()
                .take(),
            ColumnDef::new_with_type(name("order_id"), ColumnType::VarBinary(StringLen::None))
                .not_null()
                .take(),
            ColumnDef::new(name("done")).boolean().not_null().take(),
        ];
        let tables = cell_tables().into_iter().chain(buyer_tables()).chain(mark_tables());
        tables.chain([plain("outbox", outbox)]).map(|t| told(t, backend)).collect()
    }

    fn indexes(&self) -> &'static [NewIndex] {
        INDEXES
    }
}
