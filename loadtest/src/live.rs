//! The live orders of a run, by request: what doubles and strangers are found with. Pure.
//!
//! With the ledger an order belongs to the request whose key its stored payload carries; without
//! it, to the request whose answers named it.

use std::collections::{HashMap, HashSet};

use domain::OrderId;

use crate::evidence::Facts;
use crate::setup::Names;
use crate::track::{Fate, Track};
use crate::verdict::RunVerdict;

/// The live orders of each request of this run.
pub(crate) struct Live {
    pub by_track: HashMap<u32, Vec<OrderId>>,
    /// Live orders of other clients.
    foreign: u64,
    /// (order, buyer of the ledger, buyer that sent it).
    wrong_buyer: Vec<(OrderId, String, String)>,
}

impl Live {
    /// From the ledger's claims, or, without it, from the rows the API showed.
    pub(crate) fn of(tracks: &[Track], names: &Names, facts: &Facts) -> Self {
        let mut live = Live { by_track: HashMap::new(), foreign: 0, wrong_buyer: Vec::new() };
        let is_live = |order: &OrderId| facts.rows.get(order).is_none_or(|r| r.status.is_live());
        for claim in facts.cells.iter().filter_map(|c| c.ledger.as_ref()).flat_map(|l| &l.claims) {
            let track = names.track(&claim.key).filter(|t| (*t as usize) < tracks.len());
            match track {
                _ if claim.released || !is_live(&claim.order) => {}
                Some(track) => {
                    if claim.buyer != names.buyer(track) {
                        let who = (claim.order, claim.buyer.clone(), names.buyer(track));
                        live.wrong_buyer.push(who);
                    }
                    live.by_track.entry(track).or_default().push(claim.order);
                }
                None => live.foreign += 1,
            }
        }
        if !facts.complete {
            for (track, number) in tracks.iter().zip(0u32..) {
                let ids = track.promised.iter().chain(&track.named).chain(&track.told_dead);
                let found = track.fate.as_ref().and_then(Fate::order);
                let ids: HashSet<OrderId> = ids.copied().chain(found).collect();
                let row = |id: &OrderId| facts.rows.get(id).is_some_and(|r| r.status.is_live());
                let ids: Vec<OrderId> = ids.into_iter().filter(row).collect();
                live.by_track.insert(number, ids);
            }
        }
        live
    }

    /// INV-8: at most one live order per key, and all of them ours.
    pub(crate) fn judge(&self, facts: &Facts, v: &mut RunVerdict) {
        v.table.rows_foreign = self.foreign;
        if facts.own_offer && self.foreign > 0 {
            let text = format!("{} live orders that nobody of this run sent", self.foreign);
            v.bad("INV-8", text);
        }
        for (order, ledger, sender) in &self.wrong_buyer {
            v.bad("INV-8", format!("{order}: the ledger says {ledger}, sent by {sender}"));
        }
        for orders in self.by_track.values().filter(|o| o.len() > 1) {
            v.table.doubled += orders.len() as u64 - 1;
            v.bad("INV-8", format!("one key, {} live orders: {orders:?}", orders.len()));
        }
    }
}
