//! The buyers' listener.

use super::{Answers, Content, Field, LIVES, NAME, SERVES, SERVES_NOT, Shape, Takes, Who, routes};
use crate::buyers::{Offer, Order, Purchase, Taken};
use crate::paying::{
    OrderDetails, OrderHistory, ParcelTold, PaymentTold, ReceivedNews, RefundList, RefundTaken,
    RefundWanted, SessionShown, SessionWanted,
};
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

/// Proves an order that has no row yet.
const RECEIPT: Field = Field::optional(
    "receipt",
    "From `links.self` of an accepted order: proves that it was accepted.",
    "",
);

/// What finds an order that has no row yet.
const HINTS: &[Field] = &[OFFER, RECEIPT];

/// What any call about an order of the buyer refuses.
const OF_ORDER: &[Reason] = &[Reason::UnknownOrder, Reason::NotYet, Reason::IllegalTransition];

const fn takes(most: usize, shape: Shape) -> Option<Takes> {
    Some(Takes { most, is_required: true, content: Content::Json(shape) })
}

/// The most bytes of what is kept with an order.
const MOST_DETAILS: usize = 16 * 1024;

/// The most bytes of a callback's body.
const MOST_NEWS: usize = 256 * 1024;
/// What a callback answers.
const RECEIVED: &[Answers] = &[Answers::json::<ReceivedNews>(
    200,
    "It is durable, or of no concern; also when it came before, late, for nobody.",
)];

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
                content: Content::Json(Shape::of::<Purchase<'static>>()),
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
                Reason::PriceChanged,
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
                RECEIPT,
                Field::optional(
                    "v",
                    "From `links.self`: no older version than this is shown.",
                    "^[0-9]{1,10}$",
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
        /// Opens a session at a payment provider.
        ///
        /// Once per order and provider, whoever asks and how often; again only when the one before
        /// failed or was closed.
        OpenPayment = POST "/v1/orders/{order}/payments" {
            label: "pay",
            who: Who::Buyer,
            query: HINTS,
            body: takes(4096, Shape::of::<SessionWanted<'static>>()),
            answers: &[Answers::json::<SessionShown<'static>>(200, "There is one.")],
            refuses: &[
                Reason::UnknownOrder,
                Reason::NotYet,
                Reason::IllegalTransition,
                Reason::UnknownProvider,
            ],
        }
        /// Takes what a payment provider tells.
        ///
        /// Signed by the provider's own scheme; the body shown is that of `generic`. What is
        /// authentic and durable is answered 200, whatever it is.
        PaymentCallback = POST "/v1/payments/{provider}/callback" {
            label: "callback",
            who: Who::Signed,
            body: takes(MOST_NEWS, Shape::of::<PaymentTold<'static>>()),
            answers: RECEIVED,
        }
        /// Takes what a warehouse tells; signed as `generic`.
        ParcelCallback = POST "/v1/fulfilments/{system}/callback" {
            label: "callback",
            who: Who::Signed,
            body: takes(MOST_NEWS, Shape::of::<ParcelTold<'static>>()),
            answers: RECEIVED,
        }
        /// Cancels an order.
        ///
        /// A paid one is refunded where its offer says so.
        Cancel = POST "/v1/orders/{order}/cancel" {
            label: "cancel",
            who: Who::Buyer,
            query: HINTS,
            answers: &[
                Answers::json::<Order<'static>>(200, "It is cancelled, now or before."),
                Answers::json::<RefundTaken<'static>>(202, "It was paid: its money goes back."),
            ],
            refuses: OF_ORDER,
        }
        /// Keeps an object with an order, such as an address or an invoice's, in place of the one
        /// before.
        ///
        /// Only here does personal data belong: it can be erased. Elsewhere it is never seen.
        PutDetails = PUT "/v1/orders/{order}/details" {
            label: "details",
            who: Who::Buyer,
            query: HINTS,
            body: takes(MOST_DETAILS, Shape::of::<OrderDetails<'static>>()),
            answers: &[Answers::json::<OrderDetails<'static>>(200, "It is kept.")],
            refuses: &[Reason::UnknownOrder, Reason::NotYet],
        }
        /// Shows what is kept with an order; an empty object when nothing is.
        Details = GET "/v1/orders/{order}/details" {
            label: "details",
            who: Who::Buyer,
            query: HINTS,
            answers: &[Answers::json::<OrderDetails<'static>>(200, "As it was given.")],
            refuses: &[Reason::UnknownOrder, Reason::NotYet],
        }
        /// Asks for money of an order back: all of it, some lines, or an amount.
        AskRefund = POST "/v1/orders/{order}/refund" {
            label: "refund",
            who: Who::Buyer,
            query: HINTS,
            body: takes(16 * 1024, Shape::of::<RefundWanted<'static>>()),
            answers: &[Answers::json::<RefundTaken<'static>>(
                202,
                "It is under way; also when it was asked for before.",
            )],
            refuses: &[
                Reason::UnknownOrder,
                Reason::NotYet,
                Reason::IllegalTransition,
                Reason::RefundTooLarge,
                Reason::RefundNotAllowed,
                Reason::KeyConflict,
            ],
        }
        /// Shows the refunds of an order: those that were asked for, and what went back by itself.
        Refunds = GET "/v1/orders/{order}/refunds" {
            label: "refunds",
            who: Who::Buyer,
            query: HINTS,
            answers: &[Answers::json::<RefundList<'static>>(200, "All of them.")],
            refuses: &[Reason::UnknownOrder, Reason::NotYet],
        }
        /// Shows what became of an order, version by version.
        History = GET "/v1/orders/{order}/history" {
            label: "history",
            who: Who::Buyer,
            query: HINTS,
            answers: &[Answers::json::<OrderHistory<'static>>(200, "From its second version on.")],
            refuses: &[Reason::UnknownOrder, Reason::NotYet],
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
