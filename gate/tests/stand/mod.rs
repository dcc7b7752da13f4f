//! A gate in the test's own process, over a [`Site`]: its requests go past the sockets, its
//! dependencies can be made to fail.
#![allow(dead_code, reason = "each test uses what it needs")]

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use cells::script::Call;
use cells::{CellError, CellResult, Engine, Runner, embedded::Embedded};
use desk::{Desk, DeskWith};
use domain::{Buyer, CellId, Payload, Tenant};
use http_body_util::{BodyExt, Full};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap};
use hyper::{Method, Request};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use orderlog::port::Partition;
use reconciler::{Reconciler, ReconcilerConfig, ReconcilerSettings};
use serde_json::Value;
use sluicegate_gate as gate;
use sluicegate_gate::Gate;
use testkit::ports::Site;
use view::Ports;
use web::{Operator, Probes, Role};
use writer::WriterConfig;

const HOME: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// An answer.
#[derive(Debug)]
pub(crate) struct Heard {
    pub status: u16,
    pub body: Value,
    pub headers: HeaderMap,
    pub text: String,
}

impl Heard {
    pub(crate) fn at(&self, field: &str) -> &str {
        self.body[field].as_str().unwrap_or_default()
    }
}

/// See the module.
pub(crate) struct Stand {
    pub site: Site,
    pub gate: Arc<Gate>,
    pub admin: Arc<Desk>,
}

async fn gate_over(site: &Site, ports: Ports) -> (Arc<Gate>, Arc<Desk>) {
    let metrics = metrics();
    let mut config = sluicegate_gate::GateSettings::default();
    config.auth.hs256_secret = "a secret of at least 32 characters".to_owned();
    config.admin_token = "operators-of-the-tests".to_owned();
    let settings = ReconcilerSettings::new(&ReconcilerConfig::default(), config.publish.times());
    let reconciler = Reconciler::new(&site.ports.reconciler(), &settings);
    let calls = life::http::HttpProviders::new(ports.clock.clone());
    let gate = Gate::new(&config, ports.gate(), calls, &site.tasks).unwrap();
    gate.start().await.unwrap();
    gate.set_ready();
    let (tasks, ready) = (site.tasks.clone(), gate.ready().clone());
    let with = DeskWith {
        catalog: gate.catalog().clone(),
        tokens: gate.tokens().clone(),
        probes: Probes { tasks, ready, metrics },
        wait: gate.wait(),
    };
    let desk = Desk::new(ports.desk(), with, reconciler);
    (gate, desk)
}

/// Cells whose scripts can be made to fail in any way, also by a panic.
pub(crate) struct Wild {
    inner: Arc<Engine<Embedded>>,
    calls: AtomicU64,
    rule: Box<dyn Fn(&'static str, u64) -> bool + Send + Sync>,
}

#[async_trait]
impl Runner for Wild {
    async fn run(&self, cell: &CellId, call: Call) -> CellResult<cells::value::Value> {
        if !(self.rule)(call.script.name, self.calls.fetch_add(1, Ordering::SeqCst)) {
            return Err(CellError::NotSent(cell.clone(), "it was made to fail".to_owned()));
        }
        self.inner.runner().run(cell, call).await
    }
    async fn ping(&self) -> bool {
        self.inner.runner().ping().await
    }
}

/// The metrics of this process.
pub(crate) fn metrics() -> PrometheusHandle {
    static ONE: std::sync::OnceLock<PrometheusHandle> = std::sync::OnceLock::new();
    ONE.get_or_init(|| PrometheusBuilder::new().install_recorder().unwrap()).clone()
}

/// A counter with these labels as the exporter writes it; 0 before its first.
pub(crate) fn counter(line: &str) -> u64 {
    let text = metrics().render();
    let found = text.lines().find_map(|l| l.strip_prefix(line)?.trim().parse().ok());
    found.unwrap_or(0)
}

impl Stand {
    pub(crate) async fn new(site: Site) -> Self {
        let ports = site.ports.clone();
        Self::over(site, ports).await
    }

    /// A gate over other ports than the site's own.
    async fn over(site: Site, ports: Ports) -> Self {
        let (gate, admin) = gate_over(&site, ports).await;
        Self { site, gate, admin }
    }

    /// Another process's admin listener.
    pub(crate) async fn another(&self) -> Arc<Desk> {
        gate_over(&self.site, self.site.ports.clone()).await.1
    }

    /// A stand whose scripts run past `rule`, which hears each one's name and number.
    pub(crate) async fn wild(
        site: Site,
        rule: impl Fn(&'static str, u64) + Send + Sync + 'static,
    ) -> Self {
        Self::ruled(site, move |script, n| {
            rule(script, n);
            true
        })
        .await
    }

    /// A stand without this script: it is never sent.
    pub(crate) async fn down(site: Site, without: &'static str) -> Self {
        Self::ruled(site, move |script, _| script != without).await
    }

    /// A stand whose scripts run where `rule` says so.
    pub(crate) async fn ruled(
        site: Site,
        rule: impl Fn(&'static str, u64) -> bool + Send + Sync + 'static,
    ) -> Self {
        let wild =
            Wild { inner: site.cells.clone(), calls: AtomicU64::new(0), rule: Box::new(rule) };
        let ports = Ports { cells: Arc::new(Engine::new(wild)), ..site.ports.clone() };
        Self::over(site, ports).await
    }

    pub(crate) async fn buy(&self, buyer: &str, key: &str, offer: &str) -> Heard {
        self.buys(buyer, key, offer, r#"{"quantity":1}"#).await
    }

    pub(crate) async fn buys(&self, buyer: &str, key: &str, offer: &str, body: &str) -> Heard {
        let request = Request::builder()
            .method(Method::POST)
            .uri(format!("/v1/offers/{offer}/orders"))
            .header(AUTHORIZATION, self.token(buyer))
            .header("idempotency-key", key)
            .header(CONTENT_TYPE, "application/json");
        self.ask(request.body(Full::new(Bytes::copy_from_slice(body.as_bytes()))).unwrap()).await
    }

    pub(crate) async fn get(&self, buyer: &str, path: &str) -> Heard {
        let request = Request::builder().uri(path).header(AUTHORIZATION, self.token(buyer));
        self.ask(request.body(Full::default()).unwrap()).await
    }

    /// An operator's call.
    pub(crate) async fn operate(&self, method: Method, path: &str, body: &str) -> Heard {
        self.operate_at(&self.admin, method, path, body).await
    }

    /// An operator's call to this process.
    pub(crate) async fn operate_at(
        &self,
        at: &Desk,
        method: Method,
        path: &str,
        body: &str,
    ) -> Heard {
        let who =
            Operator { role: Role::Operator, tenant: Tenant::default(), name: "olga".to_owned() };
        let token = self.gate.tokens().mint_operator(&who, 3600).unwrap();
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(AUTHORIZATION, format!("Bearer {token}"))
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::copy_from_slice(body.as_bytes())))
            .unwrap();
        heard(desk::respond(at, request).await).await
    }

    async fn ask(&self, request: Request<Full<Bytes>>) -> Heard {
        heard(gate::respond(self.gate.clone(), HOME, request).await).await
    }

    fn token(&self, buyer: &str) -> String {
        let buyer: Buyer = buyer.parse().unwrap();
        format!("Bearer {}", self.gate.tokens().mint_buyer(&buyer, 86_400 * 30).unwrap())
    }

    /// A writer that works until the stand ends.
    pub(crate) fn writer(&self) {
        let settings = (&WriterConfig::default()).into();
        writer::spawn(&self.site.tasks, &self.site.ports.writer(), &settings);
    }

    /// Until nothing waits in the log.
    pub(crate) async fn written(&self) {
        for _ in 0..1000 {
            if self.site.ports.log.backlog().await.unwrap() == 0 {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        panic!("the log is not empty after 10 s");
    }

    /// The next order of a main partition, as its frame has it.
    pub(crate) async fn published(&self, partition: u16) -> Payload {
        let consumer = self.site.ports.log.consumer(Partition::Main(partition)).await;
        let frame = consumer.unwrap().next().await.unwrap().frame;
        match domain::frame::decode(&frame).unwrap().remove(0) {
            domain::frame::Item::Order(_, sealed) => Payload::decode(&sealed.payload).unwrap(),
            other @ (domain::frame::Item::Barrier(_)
            | domain::frame::Item::Tick(_)
            | domain::frame::Item::News(_)) => {
                panic!("{other:?}")
            }
        }
    }
}

async fn heard(reply: web::answer::Reply) -> Heard {
    let (parts, body) = reply.into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    Heard {
        status: parts.status.as_u16(),
        body: serde_json::from_slice(&bytes).unwrap_or(Value::Null),
        headers: parts.headers,
        text: String::from_utf8_lossy(&bytes).into_owned(),
    }
}
