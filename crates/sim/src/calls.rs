//! How a process calls the provider: over the network, like any store.

use std::sync::Arc;

use async_trait::async_trait;
use domain::OrderId;
use domain::life::{PaymentId, Provider};
use futures::FutureExt;
use life::calls::{
    CallError, CloseAnswer, OpenedSession, ProviderCalls, RefundCall, RefundPage, RefundTold,
    SessionAsk,
};

use crate::bank::Bank;
use crate::net::{Failed, Trip, Work, trip};
use crate::node::Node;
use crate::plan::{LivesPlan, Target};
use crate::rng::mix;
use crate::tell;
use crate::world::World;

/// The provider's time limit, ms.
const LIMIT: u64 = 200;

/// The provider as one process reaches it.
pub struct NodeCalls {
    /// Whose.
    pub node: Arc<Node>,
}

impl NodeCalls {
    async fn call<T: std::fmt::Debug + Send + 'static>(
        &self,
        (name, about): (&'static str, String),
        work: impl Fn(&Bank, &Arc<World>) -> T + Send + Sync + 'static,
    ) -> Result<T, CallError> {
        let (node, work) = (self.node.clone(), Arc::new(work));
        let work: Work<T> = Box::new(move || {
            let (node, work, about) = (node.clone(), work.clone(), about.clone());
            async move {
                let told = work(&node.world.bank, &node.world);
                node.world.tell(&node.name, || format!("provider {name} {about} -> {told:?}"));
                told
            }
            .boxed()
        });
        let at = Trip { target: Target::Provider, name, limit: LIMIT };
        trip(&self.node, at, work).await.map_err(|failed| match failed {
            Failed::NotSent => CallError::NotCalled("refused"),
            Failed::Unknown => CallError::Unknown("no answer".to_owned()),
        })
    }
}

/// True in so many of a thousand cases, as long as faults last.
fn chance(world: &World, parts: [u64; 2], share: impl Fn(&LivesPlan) -> u64) -> bool {
    let dice = mix(&[world.plan.seed, parts[0], parts[1]]);
    !world.is_healed() && world.plan.lives.is_some_and(|l| dice % 1000 < share(&l))
}

#[async_trait]
impl ProviderCalls for NodeCalls {
    fn is_called(&self, _: &Provider) -> bool {
        true
    }

    async fn open(&self, _: &Provider, ask: &SessionAsk) -> Result<OpenedSession, CallError> {
        let (ask, about) = (ask.clone(), format!("{} {}", ask.order, ask.attempt));
        self.call(("open", about), move |bank, _| bank.open(&ask)).await
    }

    async fn close(
        &self,
        _: &Provider,
        payment: &PaymentId,
        _: OrderId,
    ) -> Result<CloseAnswer, CallError> {
        let (payment, about) = (payment.clone(), payment.to_string());
        let close = move |bank: &Bank, world: &Arc<World>| {
            let unclear = chance(world, [43, bank.next_event()], |l| l.unclear);
            bank.close(&payment, unclear)
        };
        self.call(("close", about), close).await
    }

    async fn refund(&self, _: &Provider, ask: &RefundCall) -> Result<RefundTold, CallError> {
        let (ask, about) = (ask.clone(), format!("{} of {}", ask.amount, ask.payment));
        let refund = move |bank: &Bank, world: &Arc<World>| {
            let later = chance(world, [47, bank.next_event()], |l| l.pending);
            match bank.refund(&ask, later) {
                Ok(RefundTold::Pending) => {
                    world.met("provider", "pending");
                    tell::moves_later(world, &ask);
                    Some(RefundTold::Pending)
                }
                Ok(told) => Some(told),
                Err(why) => {
                    world.check(|oracle, _| oracle.provider_refuses(why));
                    None
                }
            }
        };
        let told = self.call(("refund", about), refund).await?;
        told.ok_or_else(|| CallError::Unknown("it answered 409".to_owned()))
    }

    async fn query(&self, _: &Provider, key: &str) -> Result<Option<RefundTold>, CallError> {
        let (key, about) = (key.to_owned(), key.chars().take(8).collect());
        self.call(("query", about), move |bank, _| bank.query(&key)).await
    }

    async fn refunds(
        &self,
        _: &Provider,
        since_ms: u64,
        after: Option<&str>,
    ) -> Result<RefundPage, CallError> {
        let (after, about) = (after.map(str::to_owned), since_ms.to_string());
        self.call(("refunds", about), move |bank, _| bank.stated(after.as_deref())).await
    }
}
