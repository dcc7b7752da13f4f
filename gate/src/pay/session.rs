//! A buyer begins to pay: a session at a provider, once per order and attempt.

use bytes::Bytes;
use contract::paying::{SessionShown, SessionWanted};
use contract::{Problem, Reason};
use domain::life::{LifeWish, PaySession, PaymentKey, ProviderId, SessionAnswer};
use life::calls::{CallError, OpenedSession, SessionAsk};
use store::port::OrderRow;
use web::{answer, body as read};

use super::{OrderPath, ask, unexpected};
use crate::edge::answer::Handled;
use crate::entry::admitted::Admitted;
use crate::metrics::Outcome;
use crate::show::orders;
use crate::state::Gate;

/// `POST /v1/orders/{id}/payments`.
pub(crate) async fn open(gate: &Gate, who: &Admitted, at: OrderPath<'_>, body: &Bytes) -> Handled {
    let wanted: SessionWanted<'_> = read::json(body)?;
    let provider: Option<ProviderId> = wanted.provider.parse().ok();
    let row = orders::row_of(gate, who, at).await?;
    let known = provider.and_then(|id| gate.catalog.provider(&id));
    let provider = known.ok_or_else(|| Problem::new(Reason::UnknownProvider).about(row.order))?;
    let begin = LifeWish::BeginSession(row.order, provider.id.clone());
    let told = ask(gate, begin).await?.session().ok_or_else(unexpected)?;
    let SessionAnswer::Ask { attempt, amount, currency, expires_at } = told else {
        return shown(&row, &provider.id, told);
    };
    let wants = SessionAsk { order: row.order, attempt, amount, currency, expires_at };
    let opened = gate.calls.open(&provider, &wants).await.map_err(|e| {
        tracing::warn!(provider = %provider.id, order = %row.order, error = %e, "no session");
        not_opened(&e).about(row.order)
    })?;
    let OpenedSession { payment, redirect } = opened;
    let key = PaymentKey { provider: provider.id.clone(), payment };
    let opened = PaySession { attempt: wants.attempt, payment: None, redirect };
    let told = ask(gate, LifeWish::SessionOpened(row.order, key, opened)).await?;
    shown(&row, &provider.id, told.session().ok_or_else(unexpected)?)
}

/// The same call again asks under the same key.
fn not_opened(e: &CallError) -> Problem {
    match e {
        CallError::Nobody => Problem::with(
            Reason::UnknownProvider,
            "this provider opens no sessions here: it has no base_url",
        ),
        CallError::NotCalled(_) => {
            Problem::with(Reason::Overloaded, "the payment provider is left alone for a moment")
        }
        CallError::Unknown(_) => {
            Problem::with(Reason::DependencyDown, "the payment provider gave no clear answer")
        }
    }
}

fn shown(row: &OrderRow, provider: &ProviderId, told: SessionAnswer) -> Handled {
    match told {
        SessionAnswer::Open { payment, state, redirect } => {
            let body = SessionShown {
                provider: provider.as_str().into(),
                payment_id: payment.as_str().into(),
                state,
                redirect: (!redirect.is_empty()).then(|| redirect.as_str().into()),
            };
            Ok((answer::json(200, &body), Outcome::Answered))
        }
        SessionAnswer::Illegal => {
            let text = "the order does not wait for a payment";
            Err(Problem::with(Reason::IllegalTransition, text).about(row.order))
        }
        SessionAnswer::NoRow => Err(Problem::new(Reason::NotYet).about(row.order)),
        SessionAnswer::Ask { .. } => Err(Problem::new(Reason::Internal).about(row.order)),
    }
}
