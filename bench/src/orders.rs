//! Orders made up by a bench: as frames in the log, and as lines of a file for LOAD DATA.

use std::io::Write;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Result, ensure};
use domain::frame::{self, Item, Mode, Sealed};
use domain::{CampaignNo, Line, OfferId, OrderId, Payload, RowStatus};
use orderlog::port::Partition;
use runtime::{Phase, Tasks};
use testkit::mariadb::Server;
use tokio::time::Instant;
use view::Ports;

use crate::config::Config;

/// An order of one unit.
pub(crate) fn order(ports: &Ports, offer: &OfferId, (buyer, key): (&str, &str)) -> Result<Payload> {
    let (buyer, key) = (buyer.parse()?, key.parse()?);
    Ok(Payload {
        order: ports.identity.order_id(CampaignNo(0), &buyer, &key, b""),
        buyer,
        key: Some(key),
        lines: vec![Line { cell: offer.cell(0), qty: 1, unit_minor: 1999 }],
        anchor: 0,
        metadata: String::new(),
        currency: "EUR".to_owned(),
        campaign: CampaignNo(0),
        window_ms: 1_800_000,
        supersedes: None,
    })
}

/// Orders of each buyer of a cell that is filled.
const EACH: usize = 10;

/// Order `n` of a cell that is filled.
pub(crate) fn nth(ports: &Ports, offer: &OfferId, n: usize) -> Result<Payload> {
    let names = (format!("buyer-{}", n / EACH), format!("key-{n}"));
    order(ports, offer, (&names.0, &names.1))
}

/// Fills a cell of a database: ledger and rows of `size` claims, and the row of the cell that is
/// their sum.
pub(crate) fn fill(
    ports: &Ports,
    (url, offer): (&str, &OfferId),
    (size, units): (usize, i64),
    expires_at: impl Fn(usize) -> u64,
) -> Result<()> {
    let (server, database) = Server::of(url)?;
    let entries = Csv::of((0..size).map(|n| {
        let p = nth(ports, offer, n)?;
        Ok(format!("{},{},{},{}", n + 3, hex(p.order), p.buyer.as_str(), n + 1))
    }))?;
    let rows = Csv::of((0..size).map(|n| {
        let p = nth(ports, offer, n)?;
        let key = p.key.as_ref().map_or("", |k| k.as_str());
        Ok(format!("{},{},{key},{}", hex(p.order), p.buyer.as_str(), expires_at(n)))
    }))?;
    let entries = entries.load(
        "ledger",
        &format!(
            "(seq, @id, buyer, net_after) SET cell_no = @no, kind = 2, class = 1, \
             order_id = UNHEX(@id), qty = 1, note = '', supply_after = {units}, \
             open_after = 1, tok = net_after, at_ms = 1"
        ),
    );
    let rows = rows.load(
        "orders",
        &format!(
            "(@id, buyer, idem_key, expires_at) SET order_id = UNHEX(@id), status = {}, \
             version = 1, offer = '{offer}', bucket = 0, qty = 1, unit_minor = 1999, \
             more_lines = 0, currency = 'EUR', amount = 1999, metadata = '', created_at = 1, \
             updated_at = 1",
            RowStatus::Pending as i8
        ),
    );
    let cell = offer.cell(0);
    server.sql(&format!(
        "USE {database}; SET @no = (SELECT cell_no FROM cell WHERE cell_id = '{cell}'); \
         {entries} {rows} \
         UPDATE cell SET net = {size}, seq = {size} + 2, tok = {size} WHERE cell_no = @no;"
    ))?;
    Ok(())
}

fn hex(order: OrderId) -> String {
    order.0.iter().map(|b| format!("{b:02x}")).collect()
}

/// Puts orders into their partitions of the log.
pub(crate) async fn publish(
    ports: &Ports,
    orders: impl Iterator<Item = Result<Payload>>,
) -> Result<()> {
    let mut parts: Vec<Vec<Item>> = vec![Vec::new(); usize::from(ports.log.partitions())];
    for order in orders {
        let payload = order?;
        let sealed = Sealed { t_ms: ports.clock.now_ms(), payload: payload.encode().into() };
        let partition = domain::home(&payload, &ports.identity, ports.log.partitions());
        parts[usize::from(partition)].push(Item::Order(Mode::Full, sealed));
    }
    for (n, items) in (0u16..).zip(&parts) {
        for frame in frame::pack(items) {
            ports.log.publish(Partition::Main(n), frame).await?;
        }
    }
    Ok(())
}

/// Seconds that one writer needs until the log is empty.
pub(crate) async fn drain(ports: &Ports, config: &Config) -> Result<f64> {
    let tasks = Tasks::new();
    let began = Instant::now();
    writer::spawn(&tasks, &ports.writer(), &(&config.writer).into());
    while ports.log.backlog().await? > 0 {
        ensure!(began.elapsed() < Duration::from_secs(300), "the writer did not finish");
        // The broker computes its statistics for each look: every 20 ms took a tenth of two cores.
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let seconds = began.elapsed().as_secs_f64();
    tasks.enter(Phase::ClosePools);
    tasks.wait(Duration::from_secs(3)).await;
    Ok(seconds)
}

/// A file of lines for LOAD DATA, deleted when dropped.
pub(crate) struct Csv(PathBuf);

impl Csv {
    /// Writes the lines.
    pub(crate) fn of(lines: impl Iterator<Item = Result<String>>) -> Result<Self> {
        static FILES: AtomicU64 = AtomicU64::new(0);
        let n = FILES.fetch_add(1, Ordering::Relaxed);
        let name = format!("sluicegate-bench-{}-{n}.csv", std::process::id());
        let csv = Self(std::env::temp_dir().join(name));
        let mut out = std::io::BufWriter::new(std::fs::File::create(&csv.0)?);
        for line in lines {
            writeln!(out, "{}", line?)?;
        }
        out.flush()?;
        Ok(csv)
    }

    /// The statement that loads it; `columns` with their brackets, and what follows them.
    pub(crate) fn load(&self, table: &str, columns: &str) -> String {
        let file = self.0.display();
        format!(
            "LOAD DATA LOCAL INFILE '{file}' INTO TABLE {table} CHARACTER SET binary \
             FIELDS TERMINATED BY ',' {columns};"
        )
    }
}

impl Drop for Csv {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}
