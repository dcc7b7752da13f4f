//! The port's `Marks`: progress, barriers, leases, parked work.

use async_trait::async_trait;
use bytes::Bytes;
use domain::OrderId;
use domain::frame::{Mode, Sealed};
use store::StoreResult;
use store::port::{Marks, Parked, ParkedFrame, ParkedOrder, ParkedRead, ParkedWrite};

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
}

#[async_trait]
impl ParkedRead for MemoryStore {
    async fn parked(&self, order: OrderId) -> StoreResult<Option<Parked>> {
        self.look(|s| Ok(s.parked.get(&order).filter(|p| p.1).map(|p| p.0.clone()))).await
    }
    async fn parked_orders(
        &self,
        after: Option<OrderId>,
        limit: u64,
    ) -> StoreResult<Vec<ParkedOrder>> {
        self.look(|s| {
            let open = s.parked.values().filter(|p| p.1).map(|p| &p.0);
            let later = open.filter(|p| after.is_none_or(|a| p.order > a));
            let listed = |p: &Parked| ParkedOrder {
                order: p.order,
                reason: p.reason.clone(),
                times: p.times,
            };
            Ok(later.take(limit as usize).map(listed).collect())
        })
        .await
    }
    async fn parked_among(&self, orders: &[OrderId]) -> StoreResult<Vec<OrderId>> {
        self.look(|state| {
            let asked: std::collections::BTreeSet<&OrderId> = orders.iter().collect();
            Ok(asked
                .into_iter()
                .filter(|o| state.parked.get(o).is_some_and(|p| p.1))
                .copied()
                .collect())
        })
        .await
    }
    async fn parked_frame(&self, id: &str) -> StoreResult<Option<ParkedFrame>> {
        self.look(|s| Ok(s.parked_frames.get(id).filter(|p| p.1).map(|p| p.0.clone()))).await
    }
    async fn parked_frames(
        &self,
        after: Option<&str>,
        limit: u64,
    ) -> StoreResult<Vec<ParkedFrame>> {
        let listed = |p: &ParkedFrame| ParkedFrame { frame: Bytes::new(), ..p.clone() };
        self.look(|s| {
            let open = s.parked_frames.values().filter(|p| p.1).map(|p| &p.0);
            let later = open.filter(|p| after.is_none_or(|a| *p.id > *a));
            Ok(later.take(limit as usize).map(listed).collect())
        })
        .await
    }
    async fn parked_counts(&self) -> StoreResult<(u64, u64)> {
        self.look(|s| {
            let orders = s.parked.values().filter(|p| p.1).count() as u64;
            Ok((orders, s.parked_frames.values().filter(|p| p.1).count() as u64))
        })
        .await
    }
}

#[async_trait]
impl ParkedWrite for MemoryStore {
    async fn park(&self, order: OrderId, reason: &str, item: (Mode, &Sealed)) -> StoreResult<()> {
        self.write(|state, _| {
            let times = state.parked.get(&order).map_or(1, |p| p.0.times + 1);
            let (mode, sealed) = (item.0, item.1.clone());
            let parked = Parked { order, reason: short(reason), mode, sealed, times };
            state.parked.insert(order, (parked, true));
            Ok(())
        })
        .await
    }
    async fn unpark(&self, order: OrderId, times: u32) -> StoreResult<bool> {
        self.write(|state, _| {
            let found = state.parked.get_mut(&order).filter(|p| p.1 && p.0.times == times);
            Ok(found.map(|p| p.1 = false).is_some())
        })
        .await
    }
    async fn park_frame(&self, partition: &str, reason: &str, frame: &Bytes) -> StoreResult<()> {
        self.write(|state, _| {
            let id = domain::identity::sha256_hex(frame);
            let parked = ParkedFrame {
                id: id.clone(),
                partition: partition.to_owned(),
                reason: short(reason),
                frame: frame.clone(),
                times: state.parked_frames.get(&id).map_or(1, |p| p.0.times + 1),
            };
            state.parked_frames.insert(id, (parked, true));
            Ok(())
        })
        .await
    }
    async fn unpark_frame(&self, id: &str, times: u32) -> StoreResult<bool> {
        self.write(|state, _| {
            let found = state.parked_frames.get_mut(id).filter(|p| p.1 && p.0.times == times);
            Ok(found.map(|p| p.1 = false).is_some())
        })
        .await
    }
}
