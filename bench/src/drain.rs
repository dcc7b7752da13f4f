//! How fast one writer drains a full log, against LOAD DATA into one table.
//!
//! Rows: per order one ledger entry, one order and its line, which is a part of the order row. The
//! reference loads rows of the same size as an order row into an empty table of the same server
//! with the same durability.

use std::io::Write;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use domain::frame::{self, Item, Mode, Sealed};
use domain::{Buyer, CampaignNo, IdempotencyKey, Line, Payload};
use orderlog::port::Partition;
use runtime::{Config, Phase, Tasks};
use testkit::mariadb::Server;
use tokio::time::Instant;

use crate::report::Row;
use crate::stand::{self, LogKind, Stand};

/// Offers the orders are spread over.
const OFFERS: usize = 64;

/// The row `drain`.
pub(crate) async fn row(config: &Config, orders: usize) -> Result<Row> {
    let loaded = load_data(config, orders)?;
    let quiet = Stand::start(config, LogKind::Null).await?;
    let mut offers = Vec::new();
    for _ in 0..OFFERS {
        offers.push(quiet.quick_offer(1_000_000_000).await?);
    }
    quiet.stop().await;
    let tasks = Tasks::new();
    let ports = stand::ports(config, LogKind::Real, &tasks).await?;
    for (partition, frame) in frames(&ports, &offers, orders)? {
        ports.log.publish(Partition::Main(partition), frame).await?;
    }
    let began = Instant::now();
    writer::spawn(&tasks, &ports, &(&config.writer).into());
    while ports.log.backlog().await? > 0 {
        ensure!(began.elapsed() < Duration::from_secs(300), "the writer did not finish");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let seconds = began.elapsed().as_secs_f64();
    tasks.enter(Phase::ClosePools);
    tasks.wait(Duration::from_secs(3)).await;
    Ok(Row::new("drain", "rows/s", (3.0 * orders as f64 / seconds, loaded), 0.3))
}

fn frames(ports: &view::Ports, offers: &[String], orders: usize) -> Result<Vec<(u16, Bytes)>> {
    let mut parts: Vec<Vec<Item>> = vec![Vec::new(); usize::from(ports.log.partitions())];
    let run = ports.unique.next();
    for n in 0..orders {
        let offer: domain::OfferId = offers[n % offers.len()].parse()?;
        let buyer: Buyer = format!("drain-{run:x}-{n}").parse()?;
        let key: IdempotencyKey = format!("k{n}").parse()?;
        let order = ports.identity.order_id(CampaignNo(0), &buyer, &key, b"");
        let partition = ports.identity.partition(&offer, ports.log.partitions());
        let payload = Payload {
            order,
            buyer,
            key,
            lines: vec![Line { cell: offer.cell(0), qty: 1, unit_minor: 1999 }],
            anchor: 0,
            metadata: String::new(),
            currency: "EUR".to_owned(),
            campaign: CampaignNo(0),
            window_ms: 1_800_000,
        };
        let sealed = Sealed { t_ms: ports.clock.now_ms(), payload: payload.encode().into() };
        parts[usize::from(partition)].push(Item::Order(Mode::Full, sealed));
    }
    let numbered = (0u16..).zip(&parts);
    Ok(numbered
        .flat_map(|(n, items)| frame::pack(items).into_iter().map(move |f| (n, f)))
        .collect())
}

/// Rows per second of LOAD DATA through the server's own client.
fn load_data(config: &Config, rows: usize) -> Result<f64> {
    let url = config.store.databases.first().context("store.databases")?;
    let (server, database) = Server::of(url)?;
    let file = std::env::temp_dir().join(format!("sluicegate-bench-{}.csv", std::process::id()));
    let mut out = std::io::BufWriter::new(std::fs::File::create(&file)?);
    for n in 0..rows {
        writeln!(out, "{n:016},buyer-{n:010},key-{n:010},3,1,bench-offer,EUR,1999,,1,2,3")?;
    }
    out.flush()?;
    let sql = format!(
        "USE {database}; DROP TABLE IF EXISTS bench_load; \
         CREATE TABLE bench_load (id BINARY(16) PRIMARY KEY, buyer VARBINARY(128), \
         idem VARBINARY(128), status TINYINT, version INT, \
         offer VARBINARY(64), currency VARCHAR(3), amount BIGINT, metadata TEXT, a BIGINT, \
         b BIGINT, c BIGINT, UNIQUE(buyer, idem)); SET @t = NOW(6); \
         LOAD DATA LOCAL INFILE '{}' INTO TABLE bench_load FIELDS TERMINATED BY ','; \
         SELECT TIMESTAMPDIFF(MICROSECOND, @t, NOW(6)); DROP TABLE bench_load;",
        file.display()
    );
    let took = server.sql(&sql);
    let _ = std::fs::remove_file(&file);
    let micros: f64 = took?.trim().parse().context("LOAD DATA")?;
    Ok(rows as f64 / (micros / 1e6))
}
