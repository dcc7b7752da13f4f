//! The crowd: connections that take what is due, send it, and write down what came back.
//!
//! Open loop: what is due is decided by `plan`, never by answers. Each connection has one request
//! in flight, so their number is the bound. A request without a definite answer goes back into
//! the plan with the same key until it has one, its retries are used up, or `give_up` has passed.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;
use parking_lot::Mutex;
use runtime::Tasks;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use web::{Client, SendError};

use crate::answer::{self, HeardAnswer, RequestOutcome};
use crate::history::{History, HistoryEvent};
use crate::plan::{self, Jobs, PlannedRequest};
use crate::setup::Ground;
use crate::stats::{Span, Stats};
use crate::track::Track;

/// The bounds of a run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CrowdBounds {
    pub quantity: u32,
    pub connections: u32,
    pub timeout: Duration,
    pub retries: u16,
    pub give_up: Duration,
}

/// A run, shared by its connections.
pub(crate) struct Crowd {
    pub ground: Ground,
    pub bounds: CrowdBounds,
    pub stats: Stats,
    pub history: History,
    pub tracks: Vec<Mutex<Track>>,
    /// The moment that all microseconds count from.
    pub start: Instant,
    /// Ends the sending; what is in flight still gets its answer.
    pub stop: CancellationToken,
    jobs: Jobs,
    path: String,
    body: Bytes,
}

impl Crowd {
    pub(crate) fn new(
        ground: Ground,
        bounds: CrowdBounds,
        jobs: Vec<PlannedRequest>,
        history: History,
    ) -> Self {
        let requests = jobs.iter().filter(|j| j.copy == 0).count();
        Self {
            path: format!("/v1/offers/{}/orders", ground.offer),
            body: Bytes::from(format!("{{\"quantity\":{}}}", bounds.quantity)),
            stats: Stats::new(),
            tracks: (0..requests).map(|_| Mutex::default()).collect(),
            start: Instant::now(),
            stop: CancellationToken::new(),
            jobs: Jobs::new(jobs),
            ground,
            bounds,
            history,
        }
    }

    /// Microseconds since the start.
    pub(crate) fn now_us(&self) -> u64 {
        self.start.elapsed().as_micros() as u64
    }

    fn request(&self, gate: &Client, job: &PlannedRequest) -> Option<Request<Full<Bytes>>> {
        let names = &self.ground.to.names;
        let token = self.ground.to.minter.mint(&names.buyer(job.track));
        let request = gate
            .request_as(&token, "POST", &self.path)
            .header("idempotency-key", names.key(job.track))
            .header("content-type", "application/json");
        request.body(Full::new(self.body.clone())).ok()
    }

    /// False when the sending was ended first.
    async fn until(&self, due_us: u64) -> bool {
        let due = self.start + Duration::from_micros(due_us);
        tokio::select! {
            biased;
            () = self.stop.cancelled() => false,
            () = tokio::time::sleep_until(due) => true,
        }
    }

    fn wants_again(&self, job: &PlannedRequest, outcome: RequestOutcome) -> bool {
        let give_up_us = job.intended_us + self.bounds.give_up.as_micros() as u64;
        outcome.wants_retry()
            && job.attempt < self.bounds.retries
            && self.now_us() < give_up_us
            && !self.stop.is_cancelled()
    }

    fn begin(&self, job: &PlannedRequest) {
        let at_us = self.now_us();
        self.stats.sent(at_us, at_us.saturating_sub(job.due_us), job.attempt > 0);
        if self.history.is_on() {
            let names = &self.ground.to.names;
            let (buyer, key) = (&names.buyer(job.track), &names.key(job.track));
            let (copy, attempt) = (job.copy, job.attempt);
            self.history.write(&HistoryEvent::Call { at_us, buyer, key, copy, attempt });
        }
    }

    fn end(&self, job: &PlannedRequest, answer: &HeardAnswer) {
        let at_us = self.now_us();
        self.tracks[job.track as usize].lock().learn(answer);
        let again = self.wants_again(job, answer.outcome);
        let span = Span { intended_us: job.intended_us, end_us: at_us };
        self.stats.ended(answer.outcome, span, !again);
        if self.history.is_on() {
            let names = &self.ground.to.names;
            self.history.write(&HistoryEvent::Answer {
                at_us,
                buyer: &names.buyer(job.track),
                key: &names.key(job.track),
                copy: job.copy,
                attempt: job.attempt,
                outcome: &answer.outcome.label(),
                order_id: answer.order.map(|o| o.to_string()),
            });
        }
        if again {
            let pause = plan::pause_us(job.attempt, answer.retry_after, rand::random());
            let (due_us, attempt) = (at_us + pause, job.attempt + 1);
            self.jobs.again(PlannedRequest { due_us, attempt, ..*job });
        }
    }

    async fn connection(&self) {
        let gate = self.ground.to.gate.alone();
        while let Some(job) = self.jobs.take() {
            // Made before it is due, so that signing does not count as latency.
            let Some(request) = self.request(&gate, &job) else {
                return;
            };
            if !self.until(job.due_us).await {
                return;
            }
            self.begin(&job);
            let answer = match gate.send(request, self.bounds.timeout).await {
                Ok(reply) => answer::of(&reply),
                Err(SendError::NotSent(_)) => HeardAnswer::none(RequestOutcome::NotSent),
                Err(SendError::NoAnswer(_)) => HeardAnswer::none(RequestOutcome::NoAnswer),
            };
            self.end(&job, &answer);
        }
    }
}

/// Sends everything; comes back when every request has its end.
pub(crate) async fn run(crowd: &Arc<Crowd>) {
    let tasks = Tasks::new();
    for _ in 0..crowd.bounds.connections {
        let crowd = crowd.clone();
        tasks.spawn("loadtest connection", async move { crowd.connection().await });
    }
    while !tasks.wait(Duration::from_secs(3600)).await {}
}
