//! The few calls of the broker's admin API that `init`, `ready` and `backlog` need.
//!
//! These are rare. Every call is bounded in time and in size.

use std::time::Duration;

use crate::config::LogConfig;
use bytes::Bytes;
use http_body_util::Full;
use hyper::header::HeaderValue;
use hyper::{Method, StatusCode};
use runtime::Secret;
use runtime::tls::Files;
use serde_json::json as json_of;
use web::Client;

use crate::port::LogError;

const TIMEOUT: Duration = Duration::from_secs(10);

/// Where a frame lies in a topic.
#[derive(Debug, Clone, Copy)]
pub(super) struct BrokerPosition {
    pub ledger: u64,
    pub entry: u64,
}

/// The admin API of one namespace.
pub(super) struct BrokerAdmin {
    url: String,
    namespace: String,
    files: Files,
    secret: Secret,
}

impl BrokerAdmin {
    pub(super) fn new(cfg: &LogConfig) -> Result<Self, LogError> {
        let (url, namespace) = (cfg.admin_url.clone(), cfg.namespace.clone());
        let (files, secret) = (cfg.files(), cfg.secret());
        Client::new(&url, &files).map_err(|e| unavailable("log.admin_url", e))?;
        Ok(Self { url, namespace, files, secret })
    }

    /// Makes the namespace unless it is there.
    pub(super) async fn namespace(&self) -> Result<(), LogError> {
        self.put(&format!("/admin/v2/namespaces/{}", self.namespace), "").await
    }

    /// Makes a topic with partitions; one that exists must have as many.
    pub(super) async fn partitioned_topic(
        &self,
        topic: &str,
        partitions: u16,
    ) -> Result<(), LogError> {
        let path = format!("{}/partitions", self.path(topic));
        self.put(&path, &partitions.to_string()).await?;
        match self.has_partitions(topic, partitions).await? {
            true => Ok(()),
            false => Err(unavailable(topic, "made, and not there")),
        }
    }

    /// False when there is no such topic; one with another number of partitions is an error.
    pub(super) async fn has_partitions(
        &self,
        topic: &str,
        partitions: u16,
    ) -> Result<bool, LogError> {
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
    pub(super) async fn topic(&self, topic: &str) -> Result<(), LogError> {
        self.put(&self.path(topic), "").await
    }

    /// Makes a durable subscription from the first message on, unless it is there.
    pub(super) async fn subscription(&self, topic: &str, name: &str) -> Result<(), LogError> {
        let path = format!("{}/subscription/{name}", self.path(topic));
        self.put(&path, r#"{"ledgerId":-1,"entryId":-1}"#).await
    }

    /// Keeps the acked messages of a topic for so many minutes, at most so many MiB of each of its
    /// partitions (-1: any number).
    pub(super) async fn retention(
        &self,
        topic: &str,
        minutes: i64,
        mib: i64,
    ) -> Result<(), LogError> {
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
    pub(super) async fn retained(
        &self,
        topic: &str,
        minutes: i64,
        mib: i64,
    ) -> Result<(), LogError> {
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
    pub(super) async fn position_at(
        &self,
        topic: &str,
        ms: u64,
    ) -> Result<BrokerPosition, LogError> {
        let found = self.json(&format!("{}/messageid/{ms}", self.path(topic))).await?;
        // An empty ledger's entry is -1.
        let number = |name: &str| found[name].as_i64().map(|n| n as u64);
        let at = number("ledgerId").zip(number("entryId"));
        let at = at.map(|(ledger, entry)| BrokerPosition { ledger, entry });
        at.ok_or_else(|| unavailable(topic, format!("no position of the time {ms}: {found}")))
    }

    /// An error unless the topic has the subscription.
    pub(super) async fn has_subscription(&self, topic: &str, name: &str) -> Result<(), LogError> {
        let list = self.json(&format!("{}/subscriptions", self.path(topic))).await?;
        let found = list.as_array().is_some_and(|l| l.iter().any(|n| n == name));
        if found {
            return Ok(());
        }
        Err(unavailable(topic, format!("no subscription {name:?}; run init")))
    }

    /// Messages of the subscription that are not acked.
    pub(super) async fn backlog(&self, topic: &str, name: &str) -> Result<u64, LogError> {
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
        let call = format!("{method} {}{path}", self.url);
        // A connection per call, so certificates that were replaced are taken at once.
        let client = Client::new(&self.url, &self.files).map_err(|e| unavailable(&call, e))?;
        let mut request =
            client.request(method.as_str(), path).header("content-type", "application/json");
        if let Some(token) = self.secret.read().map_err(|e| unavailable("log.token_file", e))? {
            request = request.header("authorization", bearer(&token)?);
        }
        let request = request
            .body(Full::new(Bytes::copy_from_slice(body.as_bytes())))
            .map_err(|e| unavailable(path, e))?;
        let reply = client.send(request, TIMEOUT).await.map_err(|e| unavailable(&call, e))?;
        Ok((reply.status, reply.body))
    }
}

fn json(path: &str, answer: (StatusCode, Bytes)) -> Result<serde_json::Value, LogError> {
    match answer {
        (StatusCode::OK, text) => serde_json::from_slice(&text).map_err(|e| unavailable(path, e)),
        (status, text) => Err(answered(path, status, &text)),
    }
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
