//! What a database keeps of lives besides the rows of orders.

use std::collections::BTreeMap;

use domain::life::{
    DueWork, PaySession, Payment, PaymentKey, ProviderId, Refund, RefundKey, TaskDraft, Version,
};
use domain::{Buyer, CellId, Giveback, OrderId};
use store::port::{DueRow, MoneyRow, TaskEnd, TaskRow};

/// All of it.
#[derive(Clone, Default)]
pub(super) struct LifeTables {
    pub payments: BTreeMap<PaymentKey, Payment>,
    pub refunds: BTreeMap<(OrderId, RefundKey), Refund>,
    pub sessions: BTreeMap<(OrderId, ProviderId), PaySession>,
    /// With its time, UTC ms.
    pub history: BTreeMap<(OrderId, u32), (Version, u64)>,
    pub givebacks: BTreeMap<(OrderId, CellId, i8), Giveback>,
    /// Which of the givebacks is looked at when, UTC ms, and how often it was taken.
    pub next: BTreeMap<(OrderId, CellId, i8), (u64, u32)>,
    /// By kind and subject.
    pub due: BTreeMap<(i8, String), Due>,
    /// By kind and subject.
    pub tasks: BTreeMap<(i8, String), OpenTask>,
    pub money: Vec<MoneyRow>,
    pub details: BTreeMap<OrderId, (Buyer, String)>,
}

/// Work at a time.
#[derive(Clone)]
pub(super) struct Due {
    pub order: OrderId,
    pub at_ms: u64,
    pub attempts: u32,
    pub started_ms: u64,
}

/// A task, open or not.
#[derive(Clone)]
pub(super) struct OpenTask {
    pub order: OrderId,
    pub is_open: bool,
    pub times: u32,
    pub at_ms: u64,
    pub end: Option<TaskEnd>,
}

impl OpenTask {
    pub(super) fn row(&self, (kind, subject): &(i8, String)) -> TaskRow {
        let (resolved_by, note) = match &self.end {
            Some(end) => (end.by.clone(), end.note.clone()),
            None => (String::new(), String::new()),
        };
        TaskRow {
            kind: *kind,
            subject: subject.clone(),
            order: self.order,
            times: self.times,
            at_ms: self.at_ms,
            is_open: self.is_open,
            resolved_by,
            note,
        }
    }
}

impl LifeTables {
    pub(super) fn open(&mut self, task: &TaskDraft, order: OrderId, at_ms: u64) {
        let key = (task.kind(), task.subject(order));
        let times = self.tasks.get(&key).map_or(1, |known| known.times + 1);
        self.tasks.insert(key, OpenTask { order, is_open: true, times, at_ms, end: None });
    }

    pub(super) fn take_due(&mut self, now: u64, limit: u64, lease_ms: u64) -> Vec<DueRow> {
        let due = self.due.iter().filter(|(_, d)| d.at_ms <= now);
        let mut keys: Vec<(u64, (i8, String))> = due.map(|(k, d)| (d.at_ms, k.clone())).collect();
        keys.sort();
        let mut out = Vec::new();
        for (_, key) in keys.into_iter().take(limit as usize) {
            let work = DueWork::stored(key.0, &key.1);
            if let Some((row, work)) = self.due.get_mut(&key).zip(work) {
                row.at_ms = now + lease_ms;
                row.attempts += 1;
                let (order, attempts, started_ms) = (row.order, row.attempts, row.started_ms);
                out.push(DueRow { order, work, attempts, started_ms, taken_ms: now });
            }
        }
        out
    }
}
