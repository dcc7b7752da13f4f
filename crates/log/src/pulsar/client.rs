//! Connections to the broker: one that all producers share, replaced when making something through
//! it failed, and one for each consumer.
//!
//! A broker may finish a subscription long after the client gave it up. The client never closes
//! what it does not know of, and such a consumer stays the active one of its partition while its
//! connection lives: nobody reads the partition any more. So a consumer's connection is its own and
//! ends with it, whether the consumer came to be or not.
//!
//! Work with the client always runs in a task of its own to its end: dropped half-way it can
//! leave the client's connection table waiting for ever. Whoever asked stops waiting by time.

use std::future::Future;
use std::time::Duration;

use crate::config::LogConfig;
use async_trait::async_trait;
use parking_lot::Mutex;
use pulsar::authentication::Authentication;
use pulsar::error::AuthenticationError;
use pulsar::{ConnectionRetryOptions, OperationRetryOptions, Pulsar, TokioExecutor};
use runtime::config::without_password;
use runtime::tls::{self, Files};
use runtime::{Secret, Tasks};
use tokio::sync::oneshot;

use super::why::why;
use crate::port::{LogError, Partition};

/// The one durable subscription of a partition's topic: the service that reads it.
pub(super) fn subscription(of: Partition) -> &'static str {
    match of {
        Partition::Main(_) | Partition::Retry(_) => "writer",
        Partition::Life(_) => "clerk",
    }
}

/// The client with its generation.
#[derive(Clone)]
pub(super) struct PulsarClient {
    generation: u64,
    pub pulsar: Pulsar<TokioExecutor>,
}

/// Gives out the client of the present generation.
pub(super) struct Clients {
    url: String,
    files: Files,
    secret: Secret,
    operation: Duration,
    tasks: Tasks,
    state: Mutex<ClientState>,
}

#[derive(Default)]
struct ClientState {
    generation: u64,
    client: Option<PulsarClient>,
}

/// The most that connecting, making a producer or subscribing may take.
pub(super) const SETUP: Duration = Duration::from_secs(8);

impl Clients {
    /// Whatever is wrong with the files of the configuration is told now.
    pub(super) fn new(cfg: &LogConfig, timeout: Duration, tasks: &Tasks) -> Result<Self, LogError> {
        let (files, secret) = (cfg.files(), cfg.secret());
        let fail = |key: &str, e: String| LogError::Unavailable(format!("log.{key}: {e}"));
        files.trusted().map_err(|e| fail("ca_file", e))?;
        secret.read().map_err(|e| fail("token_file", e))?;
        tls::provide();
        // The client repeats a send by itself until this has passed.
        let operation = timeout.clamp(Duration::from_secs(1), Duration::from_secs(3));
        let (url, tasks, state) = (cfg.url.clone(), tasks.clone(), Mutex::default());
        Ok(Self { url, files, secret, operation, tasks, state })
    }

    /// The client; connects when there is none.
    pub(super) async fn get(&self) -> Result<PulsarClient, LogError> {
        if let Some(client) = self.state.lock().client.clone() {
            return Ok(client);
        }
        let pulsar = self.finish(self.connect()).await.map_err(|e| self.unreachable(&e))?;
        let mut state = self.state.lock();
        let generation = state.generation;
        // Two may have connected at once; the first one is used.
        Ok(state.client.get_or_insert(PulsarClient { generation, pulsar }).clone())
    }

    /// A connection that nobody else uses, with the token and certificates as they are now.
    pub(super) fn connect(
        &self,
    ) -> impl Future<Output = Result<Pulsar<TokioExecutor>, String>> + Send + 'static {
        let (url, files, secret) = (self.url.clone(), self.files.clone(), self.secret.clone());
        let mut builder = Pulsar::builder(self.url.clone(), TokioExecutor)
            .with_connection_retry_options(ConnectionRetryOptions {
                min_backoff: Duration::from_millis(50),
                max_backoff: Duration::from_millis(500),
                max_retries: 3,
                connection_timeout: Duration::from_secs(2),
                keep_alive: Duration::from_secs(10),
                connection_max_idle: Duration::from_secs(120),
            })
            .with_operation_retry_options(OperationRetryOptions {
                operation_timeout: self.operation,
                retry_delay: Duration::from_millis(300),
                max_retries: Some(3),
            });
        async move {
            if let Some(trusted) = files.trusted()? {
                builder = builder.with_certificate_chain(trusted);
            }
            if secret != Secret::None {
                builder = builder.with_auth_provider(Box::new(Token(secret.clone())));
            }
            match builder.build().await {
                Ok(pulsar) => Ok(pulsar),
                Err(e) => Err(why(text(e), &url, &files, &secret).await),
            }
        }
    }

    /// Makes the next `get` connect anew, unless somebody has done so already.
    pub(super) fn discard(&self, client: &PulsarClient) {
        let mut state = self.state.lock();
        if state.generation == client.generation {
            state.generation += 1;
            state.client = None;
        }
    }

    /// Runs a task of the log's own.
    pub(super) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn_replaceable("log consumer", work);
    }

    fn unreachable(&self, why: &str) -> LogError {
        LogError::Unavailable(format!("{}: {why}", without_password(&self.url)))
    }

    /// Runs something of the client's to its end in a task of its own, and waits for it at most
    /// [`SETUP`].
    pub(super) async fn finish<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, String>> + Send + 'static,
    ) -> Result<T, String> {
        let (tell, answer) = oneshot::channel();
        self.tasks.spawn_replaceable("pulsar client", async move {
            // Nobody listening any more is fine: what was made is dropped.
            let _ = tell.send(work.await);
        });
        match tokio::time::timeout(SETUP, answer).await {
            Ok(Ok(done)) => done,
            Ok(Err(_)) => Err("the client's task ended".into()),
            Err(_) => Err(format!("no answer within {} s", SETUP.as_secs())),
        }
    }
}

/// Read anew for every connection.
struct Token(Secret);

#[async_trait]
impl Authentication for Token {
    fn auth_method_name(&self) -> String {
        "token".to_owned()
    }

    async fn initialize(&mut self) -> Result<(), AuthenticationError> {
        Ok(())
    }

    async fn auth_data(&mut self) -> Result<Vec<u8>, AuthenticationError> {
        let token = self.0.read().map_err(AuthenticationError::Custom)?;
        Ok(token.unwrap_or_default().into_bytes())
    }
}

pub(super) fn text(e: impl std::fmt::Display) -> String {
    e.to_string()
}
