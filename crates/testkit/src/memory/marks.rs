//! The port's `Marks`: progress, barriers, leases, parked work.

use async_trait::async_trait;
use bytes::Bytes;
use domain::OrderId;
use domain::frame::Sealed;
use store::StoreResult;
use store::port::{Marks, Parked};

use super::inspect::ParkedFrame;
use super::mutant::StoreMutant;
use super::state::MemoryStore;

fn short(reason: &str) -> String {
    reason.chars().take(480).collect()
}

#[async_trait]
impl Marks for MemoryStore {
    async fn now_ms(&self) -> StoreResult<u64> {
        tokio::task::yield_now().await;
        Ok(self.shared.clock.now_ms())
    }
    async fn set_progress(&self, partition: &str, finished_until: u64) -> StoreResult<()> {
        self.write(|state, _| {
            let back = state.mutants.has(StoreMutant::ProgressGoesBack);
            let now = state.progress.entry(partition.to_owned()).or_insert(finished_until);
            *now = if back { finished_until } else { finished_until.max(*now) };
            Ok(())
        })
        .await
    }
    async fn progress(&self) -> StoreResult<Vec<(String, u64)>> {
        self.look(|s| Ok(s.progress.iter().map(|(p, n)| (p.clone(), *n)).collect())).await
    }
    async fn mark_barrier(&self, barrier: &str, partition: &str) -> StoreResult<()> {
        self.write(|state, now| {
            let name = (barrier.to_owned(), partition.to_owned());
            state.barriers.entry(name).or_insert(now);
            // Barriers older than a day have served.
            state.barriers.retain(|_, at| *at + 86_400_000 >= now);
            Ok(())
        })
        .await
    }
    async fn barrier_seen(&self, barrier: &str) -> StoreResult<Vec<String>> {
        self.look(|state| {
            let of = state.barriers.keys().filter(|(b, _)| b == barrier);
            Ok(of.map(|(_, p)| p.clone()).collect())
        })
        .await
    }
    async fn lease(&self, name: &str, holder: &str, ttl_ms: u64) -> StoreResult<bool> {
        self.write(|state, now| {
            let taken =
                state.leases.get(name).is_some_and(|(h, until)| h != holder && *until > now);
            if !taken {
                state.leases.insert(name.to_owned(), (holder.to_owned(), now + ttl_ms));
            }
            Ok(!taken)
        })
        .await
    }
    async fn park(&self, order: OrderId, reason: &str, sealed: &Sealed) -> StoreResult<()> {
        self.write(|state, _| {
            let parked = || Parked { order, reason: short(reason), sealed: sealed.clone() };
            state.parked.entry(order).or_insert_with(parked);
            Ok(())
        })
        .await
    }
    async fn parked_among(&self, orders: &[OrderId]) -> StoreResult<Vec<OrderId>> {
        self.look(|state| {
            let asked: std::collections::BTreeSet<&OrderId> = orders.iter().collect();
            Ok(asked.into_iter().filter(|o| state.parked.contains_key(o)).copied().collect())
        })
        .await
    }
    async fn park_frame(&self, partition: &str, reason: &str, frame: &Bytes) -> StoreResult<()> {
        self.write(|state, _| {
            let parked = || ParkedFrame {
                partition: partition.to_owned(),
                reason: short(reason),
                frame: frame.clone(),
            };
            let id = domain::identity::sha256_hex(frame);
            state.parked_frames.entry(id).or_insert_with(parked);
            Ok(())
        })
        .await
    }
    async fn parked_counts(&self) -> StoreResult<(u64, u64)> {
        self.look(|s| Ok((s.parked.len() as u64, s.parked_frames.len() as u64))).await
    }
}
