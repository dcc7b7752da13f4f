//! The range of every number of the configuration: one table, so that none is forgotten (a test
//! walks all numbers there are).

use super::Config;

/// The longest time that anything is waited for, milliseconds.
const HOUR: u64 = 3_600_000;
const MINUTE: u64 = 60_000;

/// One line for each number that is out of its range.
pub(super) fn broken(c: &Config) -> Vec<String> {
    let all = [gate(c), limits(c), reserve(c), publish(c), services(c)];
    let out = |(key, value, lo, hi): Row| {
        let fits = (lo..=hi).contains(&value);
        (!fits).then(|| format!("{key} = {value}: must be {lo} to {hi}"))
    };
    all.into_iter().flatten().filter_map(out).collect()
}

/// Key, value, least, most.
type Row = (&'static str, u64, u64, u64);

fn gate(c: &Config) -> Vec<Row> {
    let g = &c.gate;
    vec![
        ("auth.remembered_tokens", c.auth.remembered_tokens as u64, 8, 16_777_216),
        ("gate.max_connections", g.max_connections as u64, 1, 10_000_000),
        ("admin.max_connections", c.admin.max_connections as u64, 1, 1_000_000),
        ("gate.max_connections_per_ip", g.max_connections_per_ip as u64, 1, 10_000_000),
        ("gate.max_streams", g.max_streams.into(), 100, 10_000),
        ("gate.max_quantity", g.max_quantity.into(), 1, 1_000_000),
        ("gate.header_timeout_ms", g.header_timeout_ms, 10, HOUR),
        ("gate.body_timeout_ms", g.body_timeout_ms, 10, HOUR),
        ("gate.write_timeout_ms", g.write_timeout_ms, 10, HOUR),
        ("gate.linger_bytes", g.linger_bytes as u64, 0, 1 << 30),
        ("gate.idle_timeout_ms", g.idle_timeout_ms, 1000, HOUR),
        ("gate.not_ready_ms", g.not_ready_ms, 0, HOUR),
        ("gate.drain_ms", g.drain_ms, 0, HOUR),
        ("gate.max_waiters", g.max_waiters as u64, 0, 10_000_000),
        ("gate.threads", g.threads as u64, 0, 1024),
    ]
}

fn limits(c: &Config) -> Vec<Row> {
    let l = &c.limits;
    const MOST: u64 = 100_000_000;
    vec![
        ("limits.max_keys", l.max_keys as u64, 1000, MOST),
        ("limits.global.per_second", l.global.per_second.into(), 0, MOST),
        ("limits.global.burst", l.global.burst.into(), 0, MOST),
        ("limits.ip.per_second", l.ip.per_second.into(), 0, MOST),
        ("limits.ip.burst", l.ip.burst.into(), 0, MOST),
        ("limits.buyer.per_second", l.buyer.per_second.into(), 0, MOST),
        ("limits.buyer.burst", l.buyer.burst.into(), 0, MOST),
        ("limits.offer.per_second", l.offer.per_second.into(), 0, MOST),
        ("limits.offer.burst", l.offer.burst.into(), 0, MOST),
    ]
}

fn reserve(c: &Config) -> Vec<Row> {
    let r = &c.reserve;
    vec![
        ("cells.timeout_ms", c.cells.timeout_ms, 10, MINUTE),
        ("reserve.batch", r.batch as u64, 1, 256),
        ("reserve.queue", r.queue as u64, 1, 1_000_000),
        ("reserve.budget_ms", r.budget_ms, 10, MINUTE),
        ("reserve.wait_replicas", r.wait_replicas.into(), 0, 5),
        // The gate's idea of Redis time may be as old, and it refuses by it up to 1 s early.
        ("reserve.wait_timeout_ms", r.wait_timeout_ms, 1, 500),
    ]
}

fn publish(c: &Config) -> Vec<Row> {
    let p = &c.publish;
    vec![
        ("log.partitions", c.log.partitions.into(), 1, 256),
        ("log.retention_hours", c.log.retention_hours.into(), 1, 8760),
        ("log.retention_gib", c.log.retention_gib.into(), 0, 1 << 20),
        ("publish.frame_orders", p.frame_orders as u64, 1, 256),
        ("publish.frame_bytes", p.frame_bytes as u64, 16_384, 262_144),
        ("publish.in_flight", p.in_flight as u64, 1, 64),
        ("publish.queue", p.queue as u64, 1, 1_000_000),
        ("publish.timeout_ms", p.timeout_ms, 100, MINUTE),
        ("publish.max_age_ms", p.max_age_ms, 100, MINUTE),
    ]
}

fn services(c: &Config) -> Vec<Row> {
    let (w, r) = (&c.writer, &c.reconciler);
    vec![
        ("store.connections", c.store.connections.into(), 2, 64),
        ("store.timeout_ms", c.store.timeout_ms, 100, MINUTE),
        ("writer.batch_frames", w.batch_frames as u64, 1, 256),
        ("writer.batch_orders", w.batch_orders as u64, 1, 4096),
        ("writer.patience_ms", w.patience_ms, 10, HOUR),
        ("reconciler.interval_ms", r.interval_ms, 10, HOUR),
        ("reconciler.relay_after_ms", r.relay_after_ms, 10, HOUR),
        ("reconciler.sweep_after_ms", r.sweep_after_ms, 10, HOUR),
        ("reconciler.parallel", r.parallel as u64, 1, 64),
        ("reconciler.lease_ms", r.lease_ms, 100, HOUR),
        ("reconciler.give_up_after", r.give_up_after.into(), 1, 1000),
        ("reconciler.relay_most", r.relay_most as u64, 1, 10_000_000),
        ("reconciler.compare_most", r.compare_most, 1, 100_000_000),
        ("writer.give_up_after", w.give_up_after.into(), 1, 1000),
    ]
}
