//! Frames become flows: one flow per order, in frame order. Pure.
//!
//! What cannot be read is set apart: a frame without a valid header or checksum whole, an order
//! with a payload that does not parse alone. What a newer program wrote is not unreadable: it ends
//! the batch.

use bytes::Bytes;
use domain::frame::{self, FrameError, Item, Mode, Sealed};
use domain::{CellId, Kind, OrderId, Payload};
use mutants::Mutant;
use store::port::Verdict;

/// One order on its way through the steps.
#[derive(Debug, Clone)]
pub(crate) struct Flow {
    /// What the frame asks for.
    pub mode: Mode,
    /// The bytes, to publish or park again unchanged.
    pub sealed: Sealed,
    /// The bytes, read.
    pub payload: Payload,
    /// One per line; `None` until decided.
    pub verdicts: Vec<Option<Verdict>>,
    /// The ledger took its units back before: its row was dead, and may be lost.
    pub released: bool,
    /// Why it cannot go on.
    pub stopped: Option<Stop>,
}

/// Why an order cannot go on in this batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Stop {
    /// This database does not answer: retry partition.
    Database(u16),
    /// No repetition helps: park it.
    Poison(String),
}

/// What a batch of frames holds.
#[derive(Debug, Clone, Default)]
pub(crate) struct Batch {
    /// Orders in frame order; the same order may occur twice.
    pub flows: Vec<Flow>,
    /// Barriers to mark once everything before them is finished.
    pub barriers: Vec<String>,
    /// Frames, or orders re-wrapped as frames, that cannot be read, with the reason.
    pub unreadable: Vec<(Bytes, String)>,
    /// Frames that were read; those after a newer one were not.
    pub frames: usize,
    /// What a newer program wrote after them: it waits, and everything behind it.
    pub newer: Option<String>,
}

impl Batch {
    /// Reads frames in their order.
    pub(crate) fn of(frames: &[Bytes]) -> Self {
        let mut batch = Self::default();
        frames.iter().for_each(|f| batch.add(f));
        batch
    }

    /// Reads one more frame.
    fn add(&mut self, bytes: &Bytes) {
        if self.newer.is_some() {
            return;
        }
        let items = match frame::decode(bytes) {
            Ok(items) => items,
            Err(e) if waits(&e) => {
                self.newer = Some(e.to_string());
                return;
            }
            Err(e) => {
                self.frames += 1;
                return self.unreadable.push((bytes.clone(), e.to_string()));
            }
        };
        self.frames += 1;
        for item in items {
            match item {
                Item::Order(mode, sealed) => self.order(mode, sealed),
                Item::Barrier(id) => self.barriers.push(id),
                Item::Tick(_) => {}
                // Of another partition's readers.
                Item::News(_) => {
                    let alone = frame::encode(std::slice::from_ref(&item));
                    self.unreadable.push((alone, "news of a life among orders".to_owned()));
                }
            }
        }
    }

    fn order(&mut self, mode: Mode, sealed: Sealed) {
        match Payload::decode(&sealed.payload) {
            Ok(payload) => {
                let verdicts = vec![None; payload.lines.len()];
                self.flows.push(Flow {
                    mode,
                    sealed,
                    payload,
                    verdicts,
                    released: false,
                    stopped: None,
                });
            }
            Err(e) => {
                let alone = frame::encode(&[Item::Order(mode, sealed)]);
                self.unreadable.push((alone, e.to_string()));
            }
        }
    }
}

/// What a newer program wrote is no garbage: a newer writer reads it.
fn waits(e: &FrameError) -> bool {
    if mutants::on(Mutant::NewerParked) {
        return false;
    }
    e.is_newer()
}

impl Flow {
    /// The order.
    pub(crate) fn order(&self) -> OrderId {
        self.payload.order
    }
    /// True when some line was rejected.
    pub(crate) fn is_rejected(&self) -> bool {
        self.verdicts.iter().flatten().any(|v| v.kind != Kind::Claim)
    }
    /// The lines that the ledger granted.
    pub(crate) fn claimed(&self) -> impl Iterator<Item = &CellId> {
        let granted = |v: &Option<Verdict>| v.is_some_and(|v| v.kind == Kind::Claim);
        self.payload
            .lines
            .iter()
            .zip(&self.verdicts)
            .filter(move |p| granted(p.1))
            .map(|p| &p.0.cell)
    }
    /// True while nothing stopped it.
    pub(crate) fn goes_on(&self) -> bool {
        self.stopped.is_none()
    }
}
