//! How fast one writer drains a full log, against LOAD DATA into one table.
//!
//! Counted are the facts of an order: its ledger entry, itself and its line, which is a part of the
//! order row. The reference loads rows of the same size as an order row into an empty table of the
//! same server with the same durability.

use anyhow::{Context, Result};
use runtime::Tasks;
use testkit::mariadb::Server;

use crate::config::Config;
use crate::orders::{self, Csv};
use crate::report::Row;
use crate::stand::{self, LogKind, Stand};

/// Offers the orders are spread over.
const OFFERS: usize = 64;
/// Entry, order and line.
const FACTS: f64 = 3.0;

/// The row `drain`.
pub(crate) async fn row(config: &Config, orders: usize) -> Result<Row> {
    let loaded = load_data(config, orders)?;
    let quiet = Stand::start(config, LogKind::Null).await?;
    let mut offers: Vec<domain::OfferId> = Vec::new();
    for _ in 0..OFFERS {
        offers.push(quiet.quick_offer(1_000_000_000).await?.parse()?);
    }
    quiet.stop().await;
    let tasks = Tasks::new();
    let ports = stand::ports(config, LogKind::Real, &tasks).await?;
    let run = ports.unique.next();
    let made = (0..orders).map(|n| {
        let offer = &offers[n % offers.len()];
        orders::order(&ports, offer, (&format!("drain-{run:x}-{n}"), &format!("k{n}")))
    });
    orders::publish(&ports, made).await?;
    let seconds = orders::drain(&ports, config).await?;
    Ok(Row::new("drain", "rows/s", (FACTS * orders as f64 / seconds, loaded), 0.3))
}

/// Rows per second of LOAD DATA through the server's own client.
fn load_data(config: &Config, rows: usize) -> Result<f64> {
    let url = config.store.databases.first().context("store.databases")?;
    let (server, database) = Server::of(url)?;
    let line = |n| format!("{n:016},buyer-{n:010},key-{n:010},3,1,bench-offer,EUR,1999,,1,2,3");
    let csv = Csv::of((0..rows).map(|n| Ok(line(n))))?;
    let load = csv.load("bench_load", "");
    let sql = format!(
        "USE {database}; DROP TABLE IF EXISTS bench_load; \
         CREATE TABLE bench_load (id BINARY(16) PRIMARY KEY, buyer VARBINARY(128), \
         idem VARBINARY(128), status TINYINT, version INT, \
         offer VARBINARY(64), currency VARCHAR(3), amount BIGINT, metadata TEXT, a BIGINT, \
         b BIGINT, c BIGINT, UNIQUE(buyer, idem)); SET @t = NOW(6); {load} \
         SELECT TIMESTAMPDIFF(MICROSECOND, @t, NOW(6)); DROP TABLE bench_load;"
    );
    let micros: f64 = server.sql(&sql)?.trim().parse().context("LOAD DATA")?;
    Ok(rows as f64 / (micros / 1e6))
}
