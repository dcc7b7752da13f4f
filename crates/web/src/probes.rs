//! `/livez`, `/readyz` and `/metrics`, for a service without an API too.

use std::net::IpAddr;
use std::sync::Arc;

use contract::{Operators, Problem, Reason};
use hyper::Request;
use hyper::body::Incoming;
use metrics_exporter_prometheus::PrometheusHandle;
use runtime::probe::Ready;
use runtime::{Phase, Tasks};
use tokio::net::TcpListener;

use crate::answer::{self, Answer, Reply};
use crate::bounds::Bounds;
use crate::listener::{Listener, Service};
use crate::message::Whole;

/// The most connections: balancers and a scraper or two.
const MAX_CONNECTIONS: usize = 64;

/// What probes are answered from.
#[derive(Clone)]
pub struct Probes {
    /// Of the process.
    pub tasks: Tasks,
    /// Set by its service.
    pub ready: Ready,
    /// Where its metrics are.
    pub metrics: PrometheusHandle,
}

impl Probes {
    /// Serves them alone, until `ClosePools`.
    pub fn spawn(self, listener: TcpListener) {
        let tasks = self.tasks.clone();
        let bounds = Bounds::of_operators(MAX_CONNECTIONS);
        Listener::spawn("probe listener", listener, bounds, Arc::new(self), &tasks);
    }

    /// The answer to a probe; `None` for any other route.
    #[expect(clippy::wildcard_enum_match_arm, reason = "a new route of the desk is no probe")]
    pub fn answer(&self, route: Operators) -> Option<Answer> {
        match route {
            Operators::Live => Some(answer::text(200, "ok\n")),
            Operators::Ready => Some(match self.not_serving() {
                None => answer::text(200, "ready\n"),
                Some(reason) => answer::problem(&Problem::new(reason)),
            }),
            Operators::Metrics => Some(answer::text(200, self.metrics.render())),
            _ => None,
        }
    }

    /// Why requests are not served now; `None` when they are.
    pub fn not_serving(&self) -> Option<Reason> {
        match (self.ready.get(), self.tasks.phase()) {
            (true, Phase::Running) => None,
            (true, _) => Some(Reason::Draining),
            (false, _) => Some(Reason::Starting),
        }
    }
}

impl Service for Probes {
    async fn answer(self: Arc<Self>, _: IpAddr, request: Request<Whole<Incoming>>) -> Reply {
        let found = Operators::find(request.method().as_str(), request.uri().path());
        let found = found.route().and_then(|route| Probes::answer(&self, route));
        let unknown = || answer::problem(&Problem::new(Reason::UnknownRoute));
        found.unwrap_or_else(unknown).into()
    }

    fn malformed(&self, problem: Problem) -> Reply {
        answer::problem(&problem).into()
    }
}
