//! The buyers' listener.

use super::{Answers, Field, LIVES, NAME, SERVES, SERVES_NOT, Shape, Takes, Who, routes};
use crate::buyers::{Offer, Order, Purchase, Taken};
use crate::reason::Reason;

/// The key of a purchase.
const KEY: Field = Field {
    name: "Idempotency-Key",
    about: "1 to 128 visible ASCII characters. The same key with the same content is the same \
            request, however often it is sent.",
    pattern: "^[!-~]{1,128}$",
    is_required: true,
};

/// An offer's name.
const OFFER: Field =
    Field::optional("offer", "The offer of the order; finds one that has no row yet.", NAME);

routes! {
    /// Calls of the buyers' listener.
    Buyers {
        /// Buys units of one offer.
        ///
        /// 202 `accepted` becomes exactly one order, for ever; 202 `unconfirmed` will be told at
        /// `links.self`. A refusal stores nothing. Sending the same key again is always safe.
        Buy = POST "/v1/offers/{offer}/orders" {
            label: "buy",
            who: Who::Buyer,
            headers: &[KEY],
            body: Some(Takes {
                most: 4096,
                is_required: false,
                shape: Shape::of::<Purchase<'static>>(),
            }),
            answers: &[
                Answers::json::<Taken<'static>>(202, "It is in the log, or may be."),
                Answers::json::<Order<'static>>(200, "The same request was decided before."),
            ],
            refuses: &[
                Reason::MissingIdempotencyKey,
                Reason::BadQuantity,
                Reason::UnknownOffer,
                Reason::SoldOut,
                Reason::NotOpen,
                Reason::Paused,
                Reason::LimitReached,
                Reason::Closed,
                Reason::KeyConflict,
                Reason::EarlyData,
            ],
        }
        /// Shows an offer.
        ///
        /// Needs no token; with a valid one it is the offer of the token's tenant.
        Offer = GET "/v1/offers/{offer}" {
            label: "offer",
            who: Who::Anyone,
            answers: &[Answers::json::<Offer<'static>>(200, "The offer.")],
            refuses: &[Reason::UnknownOffer],
        }
        /// Shows an order of the buyer.
        ///
        /// Another buyer's order is as unknown as one that was never sent.
        Order = GET "/v1/orders/{order}" {
            label: "order",
            who: Who::Buyer,
            query: &[
                OFFER,
                Field::optional(
                    "receipt",
                    "From `links.self` of an accepted order: proves that it was accepted.",
                    "",
                ),
                Field::optional(
                    "wait",
                    "How long to wait until it is decided, such as `500ms` or `5s`; more than 30 \
                     s is 30 s.",
                    "^[0-9]+(ms|s)$",
                ),
            ],
            answers: &[Answers::json::<Order<'static>>(200, "The order.")],
            refuses: &[Reason::UnknownOrder],
        }
        /// Shows the order of an idempotency key of the buyer.
        OrderOfKey = GET "/v1/orders" {
            label: "orders",
            who: Who::Buyer,
            query: &[Field { name: "idempotency_key", ..KEY }, OFFER],
            answers: &[Answers::json::<Order<'static>>(200, "The order.")],
            refuses: &[Reason::BadId, Reason::UnknownOrder],
        }
        /// Tells whether the process lives.
        Live = GET "/livez" {
            label: "probe",
            who: Who::Probe,
            answers: LIVES,
        }
        /// Tells whether requests are served now; for balancers.
        Ready = GET "/readyz" {
            label: "probe",
            who: Who::Probe,
            answers: SERVES,
            refuses: SERVES_NOT,
        }
    }
}
