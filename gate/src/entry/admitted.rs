//! Who was let in: made once per request and handed on, so that nobody asks a second time whose a
//! request is, and no limit is charged twice.

use std::net::IpAddr;
use std::sync::Arc;

use contract::{Problem, Reason};
use domain::limit::Dimension;
use domain::{Buyer, Identity};
use runtime::Phase;
use tokio::time::Instant;
use web::Verified;

use crate::entry::admission::Asked;
use crate::state::Gate;

/// From where a request came, and when.
#[derive(Clone, Copy)]
pub(crate) struct Arrival {
    pub ip: IpAddr,
    pub at: Instant,
}

/// A request within the limits of everybody and of its address, while requests are served.
pub(crate) struct Stranger(Arrival);

/// The same with a buyer's token, within the buyer's limits.
pub(crate) struct Admitted(Arc<Verified>);

impl Stranger {
    /// What every request is asked first.
    pub(crate) fn new(gate: &Gate, arrival: Arrival) -> Result<Self, Problem> {
        if !gate.is_open() || gate.tasks.is_at(Phase::FlushLog) {
            return Err(Problem::new(gate.not_serving()));
        }
        let asked = Asked { ip: arrival.ip, tenant: "", buyer: "", offer: "" };
        gate.admission.admit(Dimension::STRANGER, &asked, arrival.at)?;
        Ok(Self(arrival))
    }

    /// Lets a buyer in to what is about no offer.
    pub(crate) fn buyer(
        self,
        gate: &Gate,
        authorization: Option<&[u8]>,
    ) -> Result<Admitted, Problem> {
        self.known(gate, authorization, Dimension::BUYER, "")
    }

    /// Lets a buyer in to buy of an offer.
    pub(crate) fn buyer_of(
        self,
        gate: &Gate,
        authorization: Option<&[u8]>,
        offer: &str,
    ) -> Result<Admitted, Problem> {
        self.known(gate, authorization, Dimension::PURCHASE, offer)
    }

    fn known(
        self,
        gate: &Gate,
        authorization: Option<&[u8]>,
        limits: &[Dimension],
        offer: &str,
    ) -> Result<Admitted, Problem> {
        let verified = authorization.and_then(|h| gate.tokens.buyer(h));
        let verified = verified
            .ok_or_else(|| Problem::with(Reason::Unauthenticated, "send a valid Bearer token"))?;
        let asked = Asked::by(&verified.buyer, self.0.ip, offer);
        gate.admission.admit(limits, &asked, self.0.at)?;
        Ok(Admitted(verified))
    }
}

impl Admitted {
    /// Who it is.
    pub(crate) fn buyer(&self) -> &Buyer {
        &self.0.buyer
    }

    /// [`Identity::buyer_hash`], made once for as long as the token is remembered.
    pub(crate) fn hash(&self, identity: &Identity) -> u64 {
        self.0.hash(identity)
    }
}
