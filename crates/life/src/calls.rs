//! What this product asks of payment providers.

use async_trait::async_trait;
use domain::OrderId;
use domain::life::{PaymentId, Provider};

/// A session that is to be opened; the provider's idempotency key follows from order and attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionAsk {
    /// For which order.
    pub order: OrderId,
    /// Which try, from 1.
    pub attempt: u32,
    /// What is to be paid, minor units.
    pub amount: i64,
    /// ISO 4217.
    pub currency: String,
    /// When it is to end, UTC ms; `None` for never.
    pub expires_at: Option<u64>,
}

/// A session that a provider has opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenedSession {
    /// What the provider calls it.
    pub payment: PaymentId,
    /// Where the buyer pays; empty for nowhere.
    pub redirect: String,
}

/// Money that is to go back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefundCall {
    /// The idempotency key, and what the provider calls the refund.
    pub key: String,
    /// Of which payment.
    pub payment: PaymentId,
    /// Of which order.
    pub order: OrderId,
    /// How much, minor units.
    pub amount: i64,
    /// ISO 4217.
    pub currency: String,
}

/// All that was captured of a payment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CapturedSoFar {
    /// Minor units.
    pub minor: i64,
    /// ISO 4217, where the provider says it.
    pub currency: Option<String>,
}

/// What a provider says after it was asked to close a payment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CloseAnswer {
    /// Nothing more will be captured than this.
    Closed(CapturedSoFar),
    /// It was captured before: so much.
    Captured(CapturedSoFar),
    /// The provider does not know yet.
    Unknown,
}

/// What a provider says of a refund.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefundTold {
    /// The money moved.
    Succeeded,
    /// It will not.
    Failed,
    /// It will be told.
    Pending,
}

/// A refund in a provider's books, whoever asked for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatedRefund {
    /// What the provider calls it: the key that it was given with, or a name of its own.
    pub key: String,
    /// Of which payment.
    pub payment: PaymentId,
    /// Of which order, where the provider says it and it is one of ours.
    pub order: Option<OrderId>,
    /// How much, minor units.
    pub amount: i64,
    /// ISO 4217.
    pub currency: String,
    /// What became of it.
    pub told: RefundTold,
}

/// Some of them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RefundPage {
    /// In the provider's order.
    pub refunds: Vec<StatedRefund>,
    /// Where the next page begins; `None` at the end.
    pub next: Option<String>,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The provider has no address: it only calls us.
    #[error("it has no base_url")]
    Nobody,
    /// Nothing was sent: too many calls are under way, or the last ones had no answer.
    #[error("not called: {0}")]
    NotCalled(&'static str),
    /// Whatever was asked may have been done.
    #[error("{0}")]
    Unknown(String),
}

/// Calls of payment providers. Each ends within the provider's time limit.
#[async_trait]
pub trait ProviderCalls: Send + Sync {
    /// True when a call would be sent now.
    fn is_called(&self, provider: &Provider) -> bool;
    /// Opens a session, or answers the one that was opened under the same order and attempt.
    async fn open(&self, p: &Provider, ask: &SessionAsk) -> Result<OpenedSession, CallError>;
    /// Closes a payment, so that nothing more is captured.
    async fn close(
        &self,
        p: &Provider,
        payment: &PaymentId,
        order: OrderId,
    ) -> Result<CloseAnswer, CallError>;
    /// Sends money back, once per key.
    async fn refund(&self, p: &Provider, ask: &RefundCall) -> Result<RefundTold, CallError>;
    /// What became of a refund; `None`: it never arrived.
    async fn query(&self, p: &Provider, key: &str) -> Result<Option<RefundTold>, CallError>;
    /// Refunds that were made or changed since a time, UTC ms: a page after the place where the
    /// last one ended.
    async fn refunds(
        &self,
        p: &Provider,
        since_ms: u64,
        after: Option<&str>,
    ) -> Result<RefundPage, CallError>;
}
