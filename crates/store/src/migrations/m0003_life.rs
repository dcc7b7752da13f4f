//! What happens to an order after its row: its money, its history, what follows from it. An old
//! process goes on beside it: every new column of a table that it writes has a default.

use domain::names::MAX_SCOPED;
use sea_orm::DbBackend;
use sea_orm_migration::prelude::*;

use super::m0001_tables::{blob, bytes, id16, int, keyed, long, null, plain, text, tiny, told};
use super::steps::{MigrationSteps, NewColumn, NewIndex, name, several};

pub(super) struct OrderLife;

impl MigrationName for OrderLife {
    fn name(&self) -> &str {
        "m0003_life"
    }
}

const INDEXES: &[NewIndex] = &[
    several("orders", "orders_expiry", &["status", "expires_at"]),
    several("payment", "payment_order", &["order_id"]),
    several("payment", "payment_fate", &["fate_order"]),
    several("payment", "payment_captured", &["provider", "captured_at", "payment_id"]),
    several("refund", "refund_moved", &["provider", "moved_at", "order_id"]),
    several("order_detail", "order_detail_buyer", &["buyer"]),
    several("giveback", "giveback_next", &["db", "next_at"]),
    several("due", "due_at", &["at_ms", "kind"]),
    several("fact", "fact_place", &["place"]),
    several("task", "task_open", &["is_open", "kind", "subject"]),
];

/// The longest text form of a cell: see `m0002_tenants`.
const CELL: u32 = 100;
/// That of a payment of a provider, and of a part of a refund.
const PAYMENT: u32 = 128;
const SUBJECT: u32 = 300;

fn zero(mut c: ColumnDef) -> ColumnDef {
    c.default(0).take()
}

fn payment_tables() -> Vec<TableCreateStatement> {
    let payment = vec![
        text("provider", 32),
        bytes("payment_id", PAYMENT),
        id16("order_id"),
        tiny("state"),
        long("captured"),
        text("currency", 3),
        null(tiny("fate")),
        null(id16("fate_order")),
        long("keep"),
        tiny("closed"),
        int("attempt"),
        int("asked"),
        long("captured_at"),
        long("at_ms"),
    ];
    let session = vec![
        id16("order_id"),
        text("provider", 32),
        int("attempt"),
        null(bytes("payment_id", PAYMENT)),
        blob("redirect"),
        long("at_ms"),
    ];
    let provider = vec![
        text("id", 32),
        tiny("adapter"),
        blob("secrets"),
        text("base_url", 500),
        int("timeout_ms"),
    ];
    let refund = vec![
        id16("order_id"),
        bytes("refund_id", 64),
        text("provider", 32),
        bytes("payment_id", PAYMENT),
        tiny("sort"),
        long("amount"),
        long("asked"),
        blob("parts"),
        tiny("is_whole"),
        tiny("restocks"),
        null(tiny("ordinal")),
        tiny("state"),
        int("tries"),
        long("first_sent"),
        long("moved_at"),
        long("at_ms"),
    ];
    let total = vec![
        text("currency", 3),
        long("captured"),
        long("refunded"),
        long("under_way"),
        long("manual"),
        long("broken"),
        long("at_ms"),
    ];
    vec![
        keyed("money_total", total, &["currency"]),
        keyed("payment", payment, &["provider", "payment_id"]),
        keyed("pay_session", session, &["order_id", "provider"]),
        keyed("provider", provider, &["id"]),
        keyed("refund", refund, &["order_id", "refund_id", "provider", "payment_id"]),
    ]
}

fn work_tables() -> Vec<TableCreateStatement> {
    let detail =
        vec![id16("order_id"), bytes("buyer", MAX_SCOPED as u32), blob("data"), long("at_ms")];
    let history = vec![
        id16("order_id"),
        int("version"),
        tiny("from_status"),
        tiny("to_status"),
        text("cause", 32),
        text("actor", 160),
        long("at_ms"),
    ];
    let giveback = vec![
        id16("order_id"),
        bytes("cell", CELL),
        tiny("class"),
        int("units"),
        tiny("frees_limit"),
        ColumnDef::new(name("db")).small_integer().not_null().take(),
        long("next_at"),
        int("attempts"),
    ];
    let due = vec![
        tiny("kind"),
        bytes("subject", SUBJECT),
        id16("order_id"),
        long("at_ms"),
        int("attempts"),
        long("started_at"),
    ];
    let task = vec![
        tiny("kind"),
        bytes("subject", SUBJECT),
        id16("order_id"),
        tiny("is_open"),
        int("times"),
        long("at_ms"),
        text("resolved_by", 128),
        text("note", 500),
    ];
    let fact = vec![
        ColumnDef::new(name("id")).big_integer().not_null().auto_increment().primary_key().take(),
        blob("orders"),
        int("version"),
        text("fact", 32),
        blob("data"),
        long("at_ms"),
        null(long("place")),
    ];
    vec![
        keyed("order_detail", detail, &["order_id"]),
        keyed("order_history", history, &["order_id", "version"]),
        keyed("giveback", giveback, &["order_id", "cell", "class"]),
        keyed("due", due, &["kind", "subject"]),
        keyed("task", task, &["kind", "subject"]),
        plain("fact", fact),
    ]
}

impl MigrationSteps for OrderLife {
    fn tables(&self, backend: DbBackend) -> Vec<TableCreateStatement> {
        let tables = payment_tables().into_iter().chain(work_tables());
        tables.map(|t| told(t, backend)).collect()
    }

    fn new_columns(&self) -> Vec<NewColumn> {
        let of = |table, column| NewColumn { table, column };
        vec![
            of("orders", zero(long("captured"))),
            of("orders", zero(long("refunded"))),
            of("orders", null(id16("supersedes"))),
            of("orders", null(id16("superseded_by"))),
            of("orders", null(tiny("came_from"))),
            // NULL in a row that is older: its window ends when it expires.
            of("orders", null(long("window_ms"))),
            of("offer", zero(tiny("late_payment"))),
            of("offer", zero(tiny("refund"))),
            of("offer", zero(tiny("restock"))),
            of("offer", zero(tiny("cancel_paid"))),
            of("offer", zero(tiny("limit_counts"))),
        ]
    }

    fn indexes(&self) -> &'static [NewIndex] {
        INDEXES
    }
}
