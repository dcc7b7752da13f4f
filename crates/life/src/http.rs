//! Payment providers over HTTP: JSON, signed like their callbacks with the newest secret, each call
//! within its deadline, so many at once, and a provider that does not answer is left alone for a
//! while. What is no clear answer is unknown: it may have been done.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use contract::show_time;
use domain::OrderId;
use domain::life::{PaymentId, Provider, ProviderId, session_key};
use http_body_util::Full;
use parking_lot::Mutex;
use runtime::Clock;
use runtime::tls::Files;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::time::Instant;
use web::Client;

use crate::breaker::Breaker;
use crate::callback::{Amount, MAX_MINOR};
use crate::calls::{
    CallError, CapturedSoFar, CloseAnswer, OpenedSession, ProviderCalls, RefundCall, RefundPage,
    RefundTold, SessionAsk, StatedRefund,
};
use crate::signature;

/// Calls of one provider at once.
const AT_ONCE: usize = 64;
/// The most bytes of an answer.
const MOST: usize = 64 * 1024;
/// The longest place where a page of refunds ends.
const MAX_PLACE: usize = 256;
/// The longest address of a buyer's way to pay.
const MAX_REDIRECT: usize = 2048;

/// All providers of a process.
pub struct HttpProviders {
    clock: Arc<dyn Clock>,
    known: Mutex<HashMap<ProviderId, Arc<ProviderLine>>>,
}

/// The way to one provider, as it is configured now.
struct ProviderLine {
    base_url: String,
    client: Client,
    /// What stands before the paths of its calls.
    prefix: String,
    breaker: Mutex<Breaker>,
    room: Semaphore,
}

impl HttpProviders {
    /// Nobody is called yet.
    pub fn new(clock: Arc<dyn Clock>) -> Arc<Self> {
        Arc::new(Self { clock, known: Mutex::default() })
    }

    fn line(&self, provider: &Provider) -> Result<Arc<ProviderLine>, CallError> {
        let base_url = provider.base_url.as_ref().ok_or(CallError::Nobody)?;
        let mut known = self.known.lock();
        if let Some(line) = known.get(&provider.id).filter(|l| l.base_url == *base_url) {
            return Ok(line.clone());
        }
        let (server, prefix) = split_url(base_url);
        let client = Client::new(server, &Files::default()).map_err(CallError::Unknown)?;
        let line = Arc::new(ProviderLine {
            base_url: base_url.clone(),
            client: client.reading(MOST),
            prefix: prefix.to_owned(),
            breaker: Mutex::default(),
            room: Semaphore::new(AT_ONCE),
        });
        known.insert(provider.id.clone(), line.clone());
        Ok(line)
    }

    /// One call; `None` for 404.
    async fn call(&self, p: &Provider, ask: ProviderAsk<'_>) -> Result<Option<Bytes>, CallError> {
        let line = self.line(p)?;
        let full = || CallError::NotCalled("too many calls are under way");
        let limit = Duration::from_millis(p.timeout_ms.into());
        let room = tokio::time::timeout(limit, line.room.acquire()).await;
        let _room = room.map_err(|_| full())?.map_err(|_| full())?;
        if !line.breaker.lock().enter(Instant::now()) {
            return Err(CallError::NotCalled("the last calls had no answer"));
        }
        let told = self.sent(p, &line, ask).await;
        // One that refuses answers: its calls are wrong, not it.
        let answered = !matches!(told, Err(Unsaid::Silence(_)));
        line.breaker.lock().ended(answered, Instant::now());
        told.map_err(|(Unsaid::Silence(what) | Unsaid::Refused(what))| CallError::Unknown(what))
    }

    async fn sent(
        &self,
        p: &Provider,
        line: &ProviderLine,
        ask: ProviderAsk<'_>,
    ) -> Result<Option<Bytes>, Unsaid> {
        let body = ask.body.map(|b| b.to_string()).unwrap_or_default();
        let secret = p.secrets.last().map_or("", String::as_str);
        let signed = signature::sign(secret, self.clock.now_ms() / 1000, body.as_bytes());
        let mut request = line.client.request(ask.method, &format!("{}{}", line.prefix, ask.path));
        request = request.header("sluicegate-signature", signed);
        if let Some(key) = ask.key {
            request = request.header("idempotency-key", key);
        }
        if !body.is_empty() {
            request = request.header("content-type", "application/json");
        }
        let request = request.body(Full::new(body.into()));
        let request = request.map_err(|e| Unsaid::Refused(e.to_string()))?;
        let limit = Duration::from_millis(p.timeout_ms.into());
        let answer = line.client.send(request, limit).await;
        let answer = answer.map_err(|e| Unsaid::Silence(e.to_string()))?;
        match answer.status.as_u16() {
            200..300 => Ok(Some(answer.body)),
            404 => Ok(None),
            status @ 400..500 => Err(Unsaid::Refused(format!("it answered {status}"))),
            status => Err(Unsaid::Silence(format!("it answered {status}"))),
        }
    }
}

/// What is no clear answer.
enum Unsaid {
    /// None, or that of a server in trouble.
    Silence(String),
    /// The call is not to its liking; whatever was asked may have been done before.
    Refused(String),
}

/// A call.
struct ProviderAsk<'a> {
    method: &'static str,
    path: String,
    key: Option<&'a str>,
    body: Option<Value>,
}

impl<'a> ProviderAsk<'a> {
    fn post(path: String, key: Option<&'a str>, body: Value) -> Self {
        Self { method: "POST", path, key, body: Some(body) }
    }
}

/// The server, and the path in front of those of calls.
fn split_url(base_url: &str) -> (&str, &str) {
    let from = base_url.find("://").map_or(0, |at| at + 3);
    let at = base_url[from..].find('/').map_or(base_url.len(), |at| from + at);
    (&base_url[..at], base_url[at..].trim_end_matches('/'))
}

/// Why an address is none that a provider can be called at; the text is for operators.
pub fn wrong_url(base_url: &str) -> Option<String> {
    let scheme = ["http://", "https://"].iter().any(|s| base_url.starts_with(s));
    if !scheme || base_url.len() > 500 || !base_url.bytes().all(|b| (0x21..=0x7e).contains(&b)) {
        return Some("http://host[:port][/path] or https://..., at most 500 characters".to_owned());
    }
    let (server, prefix) = split_url(base_url);
    if prefix.contains(['?', '#']) {
        return Some("a path, without a query".to_owned());
    }
    Client::new(server, &Files::default()).err()
}

fn read<'a, T: Deserialize<'a>>(body: &'a Option<Bytes>) -> Result<T, CallError> {
    let body = body.as_ref().ok_or_else(|| CallError::Unknown("it answered 404".to_owned()))?;
    serde_json::from_slice(body).map_err(|e| CallError::Unknown(format!("its answer: {e}")))
}

fn money(currency: &str, minor: i64) -> Value {
    json!({"currency": currency, "minor": minor})
}

#[derive(Deserialize)]
struct SessionBody {
    payment_id: String,
    redirect: Option<String>,
}

#[derive(Deserialize)]
struct ResultBody {
    result: String,
    captured: Option<CapturedBody>,
}

/// A number of minor units, or an amount.
#[derive(Deserialize)]
#[serde(untagged)]
enum CapturedBody {
    Minor(i64),
    Amount { currency: String, minor: i64 },
}

impl ResultBody {
    fn captured(&self) -> Result<CapturedSoFar, CallError> {
        let (minor, currency) = match &self.captured {
            Some(CapturedBody::Minor(minor)) => (*minor, None),
            Some(CapturedBody::Amount { minor, currency }) => (*minor, Some(currency.clone())),
            None => (0, None),
        };
        let wrong = || CallError::Unknown(format!("its answer: captured {minor}"));
        let so_far = CapturedSoFar { minor, currency };
        (0..=MAX_MINOR).contains(&minor).then_some(so_far).ok_or_else(wrong)
    }

    fn refund(&self) -> Result<RefundTold, CallError> {
        let other = || CallError::Unknown(format!("its answer: result {:?}", self.result));
        told(&self.result).ok_or_else(other)
    }
}

#[derive(Deserialize)]
struct PageBody {
    refunds: Vec<StatedBody>,
    next: Option<String>,
}

#[derive(Deserialize)]
struct StatedBody {
    refund_id: String,
    payment_id: String,
    order_id: Option<String>,
    amount: Amount,
    result: String,
}

impl PageBody {
    /// The page after a place; one that does not go on would be read for ever.
    fn page(self, after: Option<&str>) -> Result<RefundPage, CallError> {
        let wrong = |what: String| CallError::Unknown(format!("its answer: {what}"));
        let next = self.next.filter(|next| !next.is_empty());
        if next.as_deref().is_some_and(|n| n.len() > MAX_PLACE || Some(n) == after) {
            return Err(wrong("next".to_owned()));
        }
        let refunds = self.refunds.into_iter().map(|body| body.stated().map_err(wrong));
        Ok(RefundPage { refunds: refunds.collect::<Result<_, _>>()?, next })
    }
}

impl StatedBody {
    fn stated(self) -> Result<StatedRefund, String> {
        let Amount { currency, minor } = self.amount.checked()?;
        let told = told(&self.result).ok_or_else(|| format!("result {:?}", self.result))?;
        if self.refund_id.is_empty() || self.refund_id.len() > MAX_PLACE {
            return Err("refund_id is 1 to 256 bytes".to_owned());
        }
        Ok(StatedRefund {
            key: self.refund_id,
            payment: self.payment_id.parse().map_err(|e| format!("payment_id: {e}"))?,
            // Other systems use the account too, and call their orders as they like.
            order: self.order_id.and_then(|id| id.parse().ok()),
            amount: minor,
            currency,
            told,
        })
    }
}

/// What became of a refund, in a provider's words.
fn told(result: &str) -> Option<RefundTold> {
    match result {
        "succeeded" => Some(RefundTold::Succeeded),
        "failed" => Some(RefundTold::Failed),
        "pending" => Some(RefundTold::Pending),
        _ => None,
    }
}

#[async_trait]
impl ProviderCalls for HttpProviders {
    fn is_called(&self, provider: &Provider) -> bool {
        let closed = |line: Arc<ProviderLine>| line.breaker.lock().is_closed(Instant::now());
        self.line(provider).is_ok_and(closed)
    }

    async fn open(&self, p: &Provider, ask: &SessionAsk) -> Result<OpenedSession, CallError> {
        let key = session_key(ask.order, ask.attempt);
        let body = json!({
            "order_id": ask.order.to_string(),
            "amount": money(&ask.currency, ask.amount),
            "expires_at": ask.expires_at.map(show_time),
        });
        let answer =
            self.call(p, ProviderAsk::post("/payments".to_owned(), Some(&key), body)).await?;
        let told: SessionBody = read(&answer)?;
        let redirect = told.redirect.unwrap_or_default();
        if redirect.len() > MAX_REDIRECT {
            return Err(CallError::Unknown("its answer: redirect is too long".to_owned()));
        }
        let payment = told.payment_id.parse();
        let payment = payment.map_err(|e| CallError::Unknown(format!("its answer: {e}")))?;
        Ok(OpenedSession { payment, redirect })
    }

    async fn close(
        &self,
        p: &Provider,
        payment: &PaymentId,
        order: OrderId,
    ) -> Result<CloseAnswer, CallError> {
        let path = format!("/payments/{}/close", web::segment(payment.as_str()));
        let body = json!({"order_id": order.to_string()});
        let answer = self.call(p, ProviderAsk::post(path, None, body)).await?;
        let told: ResultBody = read(&answer)?;
        match told.result.as_str() {
            "closed" => Ok(CloseAnswer::Closed(told.captured()?)),
            // How much nobody knows is no answer: the payment would be closed at nothing.
            "captured" => match told.captured()? {
                CapturedSoFar { minor: 0, .. } => Ok(CloseAnswer::Unknown),
                so_far => Ok(CloseAnswer::Captured(so_far)),
            },
            "unknown" => Ok(CloseAnswer::Unknown),
            other => Err(CallError::Unknown(format!("its answer: result {other:?}"))),
        }
    }

    async fn refund(&self, p: &Provider, ask: &RefundCall) -> Result<RefundTold, CallError> {
        let body = json!({
            "refund_id": ask.key,
            "payment_id": ask.payment.as_str(),
            "order_id": ask.order.to_string(),
            "amount": money(&ask.currency, ask.amount),
        });
        let answer =
            self.call(p, ProviderAsk::post("/refunds".to_owned(), Some(&ask.key), body)).await?;
        read::<ResultBody>(&answer)?.refund()
    }

    async fn query(&self, p: &Provider, key: &str) -> Result<Option<RefundTold>, CallError> {
        let path = format!("/refunds/{}", web::segment(key));
        let ask = ProviderAsk { method: "GET", path, key: None, body: None };
        let answer = self.call(p, ask).await?;
        if answer.is_none() {
            return Ok(None);
        }
        read::<ResultBody>(&answer)?.refund().map(Some)
    }

    async fn refunds(
        &self,
        p: &Provider,
        since_ms: u64,
        after: Option<&str>,
    ) -> Result<RefundPage, CallError> {
        let mut path = format!("/refunds?since={}", web::segment(&show_time(since_ms)));
        if let Some(after) = after {
            path.push_str(&format!("&after={}", web::segment(after)));
        }
        let ask = ProviderAsk { method: "GET", path, key: None, body: None };
        let answer = self.call(p, ask).await?;
        read::<PageBody>(&answer)?.page(after)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_a_server_and_a_path() {
        for (url, parts) in [
            ("http://pay:1", ("http://pay:1", "")),
            ("http://pay:1/", ("http://pay:1", "")),
            ("https://pay/v1/x/", ("https://pay", "/v1/x")),
        ] {
            assert_eq!(split_url(url), parts);
            assert_eq!(wrong_url(url), None, "{url}");
        }
        let long = format!("http://{}", "x".repeat(500));
        for url in ["", "pay", "ftp://pay", "http://", "http://a b", "http://pay/?x", &long] {
            assert!(wrong_url(url).is_some(), "{url}");
        }
        assert!(wrong_url("http://me:secret@pay/").is_some());
    }

    #[test]
    fn refunds_are_stated_page_by_page() {
        let page =
            |text: &str, after| serde_json::from_str::<PageBody>(text).ok()?.page(after).ok();
        let one = |key: &str, order: &str, minor: &str, result: &str| {
            format!(
                r#"{{"refunds":[{{"refund_id":"{key}","payment_id":"p","order_id":{order},
                "amount":{{"currency":"eur","minor":{minor}}},"result":"{result}","more":1}}],
                "next":"n","x":[]}}"#
            )
        };
        let id = "\"00000104-d000-8000-8000-00160000000a\"";
        let known = page(&one("k", id, "5", "pending"), None).unwrap();
        assert_eq!(known.next.as_deref(), Some("n"));
        let refund = &known.refunds[0];
        assert_eq!(
            (refund.key.as_str(), refund.amount, refund.told),
            ("k", 5, RefundTold::Pending)
        );
        assert_eq!(
            (refund.currency.as_str(), refund.order),
            ("EUR", id.trim_matches('"').parse().ok())
        );
        // Other systems use the account too.
        for order in ["null", "\"#1001\"", "\"\""] {
            assert_eq!(page(&one("k", order, "5", "failed"), None).unwrap().refunds[0].order, None);
        }
        assert_eq!(page(r#"{"refunds":[],"next":""}"#, None), Some(RefundPage::default()));
        assert_eq!(page(r#"{"refunds":[]}"#, Some("n")), Some(RefundPage::default()));
        let long = "k".repeat(257);
        for bad in [
            "[]".to_owned(),
            "{}".to_owned(),
            one("", id, "5", "failed"),
            one(&long, id, "5", "failed"),
            one("k", "7", "5", "failed"),
            one("k", id, "-5", "failed"),
            one("k", id, "5.5", "failed"),
            one("k", id, "5", "moved"),
            one("k", id, "5", "failed").replace("\"p\"", "\"\""),
            one("k", id, "5", "failed").replace("\"n\"", &format!("\"{long}\"")),
        ] {
            assert_eq!(page(&bad, None), None, "{bad}");
        }
        assert_eq!(page(&one("k", id, "5", "failed"), Some("n")), None, "it does not go on");
    }

    #[test]
    fn what_is_captured_is_a_number_or_an_amount() {
        let read = |text: &str| serde_json::from_str::<ResultBody>(text).ok()?.captured().ok();
        let so_far = |minor, currency: Option<&str>| {
            Some(CapturedSoFar { minor, currency: currency.map(str::to_owned) })
        };
        assert_eq!(read(r#"{"result":"closed"}"#), so_far(0, None));
        assert_eq!(read(r#"{"result":"closed","captured":5}"#), so_far(5, None));
        let amount = r#"{"result":"closed","captured":{"currency":"EUR","minor":7}}"#;
        assert_eq!(read(amount), so_far(7, Some("EUR")));
        for bad in ["-1", "1.5", "\"1\"", "99999999999999999999", "10000000000000001"] {
            assert_eq!(read(&format!(r#"{{"result":"closed","captured":{bad}}}"#)), None, "{bad}");
        }
    }
}
