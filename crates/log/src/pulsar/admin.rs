//! The few calls of the broker's admin API that `init`, `ready` and `backlog` need.
//!
//! One connection per call: these are rare. Every call is bounded in time and in size.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::header::HeaderValue;
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use runtime::Secret;
use runtime::config::LogConfig;
use runtime::tls::Files;
use serde_json::json as json_of;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use super::line::{self, Place};
use crate::port::LogError;

const TIMEOUT: Duration = Duration::from_secs(10);
const MAX_ANSWER: usize = 4 * 1024 * 1024;

/// The admin API of one namespace.
pub struct Admin {
    place: Place,
    authority: String,
    namespace: String,
    files: Files,
    secret: Secret,
}

impl Admin {
    pub fn new(cfg: &LogConfig) -> Result<Self, LogError> {
        let place = Place::of(&cfg.admin_url, &[("http", 80, false), ("https", 443, true)]);
        let place = place.map_err(|e| unavailable("log.admin_url", e))?;
        let (authority, namespace) = (place.authority(), cfg.namespace.clone());
        Ok(Self { place, authority, namespace, files: cfg.files(), secret: cfg.secret() })
    }

    /// Makes the namespace unless it is there.
    pub async fn namespace(&self) -> Result<(), LogError> {
        self.put(&format!("/admin/v2/namespaces/{}", self.namespace), "").await
    }

    /// Makes a topic with partitions; one that exists must have as many.
    pub async fn partitioned_topic(&self, topic: &str, partitions: u16) -> Result<(), LogError> {
        let path = format!("{}/partitions", self.path(topic));
        self.put(&path, &partitions.to_string()).await?;
        match self.has_partitions(topic, partitions).await? {
            true => Ok(()),
            false => Err(unavailable(topic, "made, and not there")),
        }
    }

    /// False when there is no such topic; one with another number of partitions is an error.
    pub async fn has_partitions(&self, topic: &str, partitions: u16) -> Result<bool, LogError> {
        let path = format!("{}/partitions", self.path(topic));
        let found = match self.call(Method::GET, &path, "").await? {
            (StatusCode::NOT_FOUND, _) => 0,
            answer => json(&path, answer)?["partitions"].as_u64().unwrap_or(0),
        };
        if found == u64::from(partitions) || found == 0 {
            return Ok(found != 0);
        }
        let what = format!("has {found} partitions, the configuration says {partitions}");
        Err(unavailable(topic, what))
    }

    /// Makes a topic without partitions unless it is there.
    pub async fn topic(&self, topic: &str) -> Result<(), LogError> {
        self.put(&self.path(topic), "").await
    }

    /// Makes a durable subscription from the first message on, unless it is there.
    pub async fn subscription(&self, topic: &str, name: &str) -> Result<(), LogError> {
        let path = format!("{}/subscription/{name}", self.path(topic));
        self.put(&path, r#"{"ledgerId":-1,"entryId":-1}"#).await
    }

    /// Keeps the acked messages of a topic for so many minutes, at most so many MiB of each of its
    /// partitions (-1: any number).
    pub async fn retention(&self, topic: &str, minutes: i64, mib: i64) -> Result<(), LogError> {
        let path = format!("{}/retention", self.path(topic));
        let wanted = policy(minutes, mib);
        match self.call(Method::GET, &path, "").await? {
            (StatusCode::OK, text)
                if serde_json::from_slice(&text)
                    .is_ok_and(|is: serde_json::Value| is == wanted) =>
            {
                return Ok(());
            }
            // A service's token needs no right to look at policies; whose who runs init does.
            (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN, _) => {
                tracing::info!(topic, "whether its retention is as configured, `admin init` tells");
                return Ok(());
            }
            _ => {}
        }
        match self.call(Method::POST, &path, &wanted.to_string()).await? {
            (status, _) if status.is_success() => Ok(()),
            (status, text) => {
                let refused = answered(&path, status, &text);
                let what = "log.retention_hours and log.retention_gib: the broker refuses them \
                            (topicLevelPoliciesEnabled, rights of a tenant's admin)";
                Err(LogError::Unavailable(format!("{what}: {refused}")))
            }
        }
    }

    /// An error unless a topic keeps its acked messages as said. A policy that was set a moment ago
    /// is not read by everybody at once, so it is waited for.
    pub async fn retained(&self, topic: &str, minutes: i64, mib: i64) -> Result<(), LogError> {
        let path = format!("{}/retention", self.path(topic));
        let until = tokio::time::Instant::now() + TIMEOUT;
        loop {
            let (status, text) = self.call(Method::GET, &path, "").await?;
            let found: Option<serde_json::Value> = serde_json::from_slice(&text).ok();
            if status.is_success() && found == Some(policy(minutes, mib)) {
                return Ok(());
            }
            let refused = [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN].contains(&status);
            if refused || tokio::time::Instant::now() > until {
                return Err(answered(&path, status, &text));
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// (ledger, entry) of the first message published at this time or later, UTC ms.
    pub async fn position_at(&self, topic: &str, ms: u64) -> Result<(u64, u64), LogError> {
        let found = self.json(&format!("{}/messageid/{ms}", self.path(topic))).await?;
        // An empty ledger's entry is -1.
        let number = |name: &str| found[name].as_i64().map(|n| n as u64);
        let at = number("ledgerId").zip(number("entryId"));
        at.ok_or_else(|| unavailable(topic, format!("no position of the time {ms}: {found}")))
    }

    /// An error unless the topic has the subscription.
    pub async fn has_subscription(&self, topic: &str, name: &str) -> Result<(), LogError> {
        let list = self.json(&format!("{}/subscriptions", self.path(topic))).await?;
        let found = list.as_array().is_some_and(|l| l.iter().any(|n| n == name));
        if found {
            return Ok(());
        }
        Err(unavailable(topic, format!("no subscription {name:?}; run init")))
    }

    /// Messages of the subscription that are not acked.
    pub async fn backlog(&self, topic: &str, name: &str) -> Result<u64, LogError> {
        let path = format!("{}/stats?getPreciseBacklog=true", self.path(topic));
        let stats = self.json(&path).await?;
        let backlog = &stats["subscriptions"][name]["msgBacklog"];
        backlog.as_u64().ok_or_else(|| unavailable(topic, "no backlog in its stats"))
    }

    fn path(&self, topic: &str) -> String {
        format!("/admin/v2/persistent/{}/{topic}", self.namespace)
    }

    async fn put(&self, path: &str, body: &str) -> Result<(), LogError> {
        match self.call(Method::PUT, path, body).await? {
            (s, _) if s.is_success() || s == StatusCode::CONFLICT => Ok(()),
            (status, text) => Err(answered(path, status, &text)),
        }
    }

    async fn json(&self, path: &str) -> Result<serde_json::Value, LogError> {
        json(path, self.call(Method::GET, path, "").await?)
    }

    async fn call(
        &self,
        method: Method,
        path: &str,
        body: &str,
    ) -> Result<(StatusCode, Bytes), LogError> {
        let mut request = Request::builder()
            .method(&method)
            .uri(path)
            .header("host", &self.authority)
            .header("content-type", "application/json")
            .header("connection", "close");
        if let Some(token) = self.secret.read().map_err(|e| unavailable("log.token_file", e))? {
            request = request.header("authorization", bearer(&token)?);
        }
        let request = request
            .body(Full::new(Bytes::copy_from_slice(body.as_bytes())))
            .map_err(|e| unavailable(path, e))?;
        match tokio::time::timeout(TIMEOUT, self.exchange(request)).await {
            Ok(done) => done.map_err(|e| unavailable(&format!("{}{path}", self.authority), e)),
            Err(_) => {
                let call = format!("{method} {}{path}", self.authority);
                Err(unavailable(&call, format!("no answer within {} s", TIMEOUT.as_secs())))
            }
        }
    }

    async fn exchange(
        &self,
        request: Request<Full<Bytes>>,
    ) -> Result<(StatusCode, Bytes), Box<dyn std::error::Error + Send + Sync>> {
        let tcp = TcpStream::connect(&self.authority).await?;
        if self.place.tls {
            return ask(line::secure(tcp, &self.place, &self.files).await?, request).await;
        }
        ask(tcp, request).await
    }
}

fn json(path: &str, answer: (StatusCode, Bytes)) -> Result<serde_json::Value, LogError> {
    match answer {
        (StatusCode::OK, text) => serde_json::from_slice(&text).map_err(|e| unavailable(path, e)),
        (status, text) => Err(answered(path, status, &text)),
    }
}

/// Sends the request; the connection does the work and closes after the one answer.
async fn ask<S>(
    stream: S,
    request: Request<Full<Bytes>>,
) -> Result<(StatusCode, Bytes), Box<dyn std::error::Error + Send + Sync>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (mut sender, conn) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let answer = async move {
        let response = sender.send_request(request).await?;
        let status = response.status();
        let body = Limited::new(response.into_body(), MAX_ANSWER).collect().await?;
        Ok((status, body.to_bytes()))
    };
    let (answer, _) = tokio::join!(answer, conn);
    answer
}

fn policy(minutes: i64, mib: i64) -> serde_json::Value {
    json_of!({"retentionTimeInMinutes": minutes, "retentionSizeInMB": mib})
}

fn bearer(token: &str) -> Result<HeaderValue, LogError> {
    let value = HeaderValue::try_from(format!("Bearer {token}"));
    let mut value = value.map_err(|_| unavailable("log.token", "no header can carry it"))?;
    value.set_sensitive(true);
    Ok(value)
}

fn unavailable(what: &str, why: impl std::fmt::Display) -> LogError {
    LogError::Unavailable(format!("{what}: {why}"))
}

fn answered(path: &str, status: StatusCode, text: &Bytes) -> LogError {
    let text = match status {
        // Their bodies are pages for browsers.
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            "log.token is not known, or has no right to do this".to_owned()
        }
        _ => String::from_utf8_lossy(text).split_whitespace().collect::<Vec<_>>().join(" "),
    };
    let text: String = text.chars().take(300).collect();
    unavailable(path, format!("{status} {text}"))
}
