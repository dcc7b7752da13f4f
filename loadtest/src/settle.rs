//! After the last answer: wait until nothing is on its way, then ask what became of every order.
//!
//! Quiet means: in every cell no hold and the watermark at the ledger's end, no frame in the log,
//! seen twice in a row. Only then is a 404 a fate and not a "not yet".

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use domain::order::RejectReason;
use http_body_util::Full;
use runtime::Tasks;
use tokio::time::Instant;
use web::Client;

use crate::admin::{OfferView, is_quiet};
use crate::answer::{self, RequestOutcome};
use crate::crowd::Crowd;
use crate::history::HistoryEvent;
use crate::track::Fate;

/// What the waiting came to.
#[derive(Debug, Clone)]
pub(crate) struct Settled {
    /// False when the deadline came first.
    pub quiet: bool,
    /// What stood in the way at the end.
    pub why: String,
    /// The offer at the end; `None` when the admin listener did not answer.
    pub view: Option<OfferView>,
}

/// Waits until a file exists, or until somebody interrupts the run.
pub(crate) async fn exists(file: &Path, crowd: &Crowd) {
    while !file.exists() && !crowd.stop.is_cancelled() {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Waits for quiet, at most until `until`.
pub(crate) async fn quiet(crowd: &Crowd, until: Instant) -> Settled {
    let mut streak = 0;
    let mut settled = Settled { quiet: false, why: String::new(), view: None };
    loop {
        match look(crowd).await {
            Ok((view, why)) => {
                streak = if why.is_empty() { streak + 1 } else { 0 };
                settled = Settled { quiet: streak >= 2, why, view: Some(view) };
            }
            Err(e) => {
                streak = 0;
                settled.why = format!("{e:#}");
            }
        }
        if settled.quiet || Instant::now() >= until {
            return settled;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// The offer, and what is still on its way (empty = nothing).
async fn look(crowd: &Crowd) -> anyhow::Result<(OfferView, String)> {
    let admin = &crowd.ground.to.admin;
    let view = admin.view(&crowd.ground.offer).await?;
    let backlog = admin.backlog().await?;
    let mut why = Vec::new();
    for c in &view.cells {
        if c.missing {
            why.push(format!("{} is missing in Redis", c.cell));
        } else if c.holds > 0 || c.watermark != c.ledger_seq {
            let (w, head) = (c.watermark, c.ledger_seq);
            why.push(format!("{}: {} holds, watermark {w} of {head}", c.cell, c.holds));
        }
    }
    debug_assert_eq!(is_quiet(&view), why.is_empty());
    if backlog > 0 {
        why.push(format!("{backlog} frames in the log"));
    }
    Ok((view, why.join(", ")))
}

/// Asks for the fate of every key that may have an order, until it is decided or `until`.
pub(crate) async fn fates(crowd: &Arc<Crowd>, quiet: bool, until: Instant) {
    let ask: Vec<u32> = (0u32..)
        .zip(&crowd.tracks)
        .filter(|(_, t)| t.lock().may_have_order())
        .map(|(i, _)| i)
        .collect();
    let work = Arc::new(OpenFates {
        crowd: crowd.clone(),
        ask,
        next: AtomicUsize::new(0),
        gone: AtomicBool::new(false),
        quiet,
        until,
    });
    let tasks = Tasks::new();
    for _ in 0..crowd.bounds.connections.min(64) {
        let work = work.clone();
        tasks.spawn("loadtest reader", async move { work.reader().await });
    }
    while !tasks.wait(Duration::from_secs(3600)).await {}
}

struct OpenFates {
    crowd: Arc<Crowd>,
    ask: Vec<u32>,
    next: AtomicUsize,
    /// True once the gate was silent after the deadline: the rest is not asked.
    gone: AtomicBool,
    quiet: bool,
    until: Instant,
}

impl OpenFates {
    async fn reader(&self) {
        let gate = self.crowd.ground.to.gate.alone();
        while let Some(&track) = self.ask.get(self.next.fetch_add(1, Ordering::Relaxed)) {
            let fate = self.fate(&gate, track).await;
            self.write(track, &fate);
            self.crowd.tracks[track as usize].lock().fate = Some(fate);
            if self.gone.load(Ordering::Relaxed) {
                return;
            }
        }
    }

    fn path(&self, track: u32) -> (String, bool) {
        let t = self.crowd.tracks[track as usize].lock();
        let offer = &self.crowd.ground.offer;
        let path = match (&t.link, t.order()) {
            (Some(link), _) => link.to_string(),
            (None, Some(order)) => format!("/v1/orders/{order}?offer={offer}"),
            // Nobody ever named the order: the key finds it.
            (None, None) => {
                let key = self.crowd.ground.to.names.key(track);
                return (format!("/v1/orders?idempotency_key={key}&offer={offer}"), false);
            }
        };
        let sign = if path.contains('?') { '&' } else { '?' };
        (format!("{path}{sign}wait=1s"), !t.promised.is_empty())
    }

    async fn fate(&self, gate: &Client, track: u32) -> Fate {
        let names = &self.crowd.ground.to.names;
        let token = self.crowd.ground.to.minter.mint(&names.buyer(track));
        let (path, promised) = self.path(track);
        let mut fate = Fate::Unknown;
        loop {
            let request = gate.request_as(&token, "GET", &path).body(Full::default());
            let Ok(request) = request else {
                return Fate::Unknown;
            };
            if let Ok(reply) = gate.send(request, Duration::from_secs(10)).await {
                let answer = answer::of(&reply);
                match (answer.outcome, answer.order) {
                    (RequestOutcome::Decided(s), Some(order)) => {
                        fate = Fate::Order(order, s, answer.reason)
                    }
                    (RequestOutcome::Refused(contract::Reason::UnknownOrder), _) => {
                        fate = Fate::None
                    }
                    _ => {}
                }
            }
            let none = fate == Fate::None && self.quiet && !promised;
            let late = Instant::now() >= self.until;
            if late && fate == Fate::Unknown {
                self.gone.store(true, Ordering::Relaxed);
            }
            if fate.is_final() || none || late {
                return fate;
            }
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
    }

    fn write(&self, track: u32, fate: &Fate) {
        if !self.crowd.history.is_on() {
            return;
        }
        let names = &self.crowd.ground.to.names;
        let (order_id, reason) = match fate {
            Fate::Order(id, _, reason) => (Some(id.to_string()), reason.map(RejectReason::as_str)),
            Fate::None | Fate::Unknown => (None, None),
        };
        self.crowd.history.write(&HistoryEvent::Read {
            at_us: self.crowd.now_us(),
            buyer: &names.buyer(track),
            key: &names.key(track),
            fate: fate.label(),
            order_id,
            reason,
        });
    }
}
