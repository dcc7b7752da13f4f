//! The operators' listener.

use super::{Answers, Content, Field, LIVES, SERVES, SERVES_NOT, Shape, TEXT, Takes, Who, routes};
use crate::desk::{
    Erased, MoneyReport, OrderNote, OrderStanding, ProviderSettings, ProviderShown, RefundOrdered,
    TaskResolution,
};
use crate::operators::{
    Campaign, CampaignSettings, OfferSettings, OfferStock, Reconcile, Report, Standing, Supply,
    Task, TaskPage,
};
use crate::paying::RefundWanted;
use crate::reason::Reason;

/// The most bytes of a body.
const MOST: usize = 64 * 1024;

const fn takes(shape: Shape, is_required: bool) -> Option<Takes> {
    Some(Takes { most: MOST, is_required, content: Content::Json(shape) })
}

/// What a change of an offer's flag answers.
const OBEYED: &[Answers] =
    &[Answers::json::<OfferStock<'static>>(200, "Every cell obeys; also when it was so before.")];

/// What a change of an offer's flag refuses.
const FLAG: &[Reason] = &[Reason::BadId, Reason::UnknownOffer, Reason::IllegalTransition];

/// A task: a parked frame's or order's id, or the place of another.
const TASK: &str = "^([0-9a-f]{64}|\
    [0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}|\
    life-[0-9]{1,5}-[0-9]{1,2}-([0-9a-f]{2}){1,300})$";

/// A time.
const TIME: &str = "^[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9:.]+([Zz]|[+-][0-9]{2}:[0-9]{2})$";

/// Kinds of tasks.
const KIND: &str = "^(parked_order|parked_frame|orphan|other_order|other_currency|refund_asked|\
    refund|bounced|taken_back|parcel|restock|giveback|unreadable)$";

/// What a change of an order answers.
const CHANGED: &[Answers] =
    &[Answers::json::<OrderStanding<'static>>(200, "It is so, now or before.")];

/// What a change of an order refuses.
const OF_ORDER: &[Reason] = &[Reason::UnknownOrder, Reason::IllegalTransition];

routes! {
    /// Calls of the operators' listener.
    Operators {
        /// Makes or changes a campaign.
        PutCampaign = PUT "/admin/campaigns/{campaign}" {
            label: "campaign",
            who: Who::Operator,
            body: takes(Shape::of::<CampaignSettings>(), true),
            answers: &[
                Answers::json::<Campaign<'static>>(201, "It is new."),
                Answers::json::<Campaign<'static>>(200, "It was changed."),
            ],
            refuses: &[Reason::BadId],
        }
        /// Shows an offer with its cells.
        GetOffer = GET "/admin/offers/{offer}" {
            label: "offer",
            who: Who::Operator,
            answers: &[Answers::json::<OfferStock<'static>>(200, "The offer.")],
            refuses: &[Reason::BadId, Reason::UnknownOffer],
        }
        /// Makes or changes an offer.
        ///
        /// A new one is open; its campaign's window decides when it sells. Sending it again
        /// finishes a creation that died half-way.
        PutOffer = PUT "/admin/offers/{offer}" {
            label: "offer",
            who: Who::Operator,
            body: takes(Shape::of::<OfferSettings<'static>>(), true),
            answers: &[
                Answers::json::<OfferStock<'static>>(201, "It is new."),
                Answers::json::<OfferStock<'static>>(200, "It was changed."),
            ],
            refuses: &[
                Reason::BadId,
                Reason::UnknownOffer,
                Reason::UnknownCampaign,
                Reason::BucketsFixed,
                Reason::AllotmentFixed,
                Reason::IllegalTransition,
            ],
        }
        /// Gives units to an offer, or takes unsold ones off sale.
        Supply = POST "/admin/offers/{offer}/supply" {
            label: "supply",
            who: Who::Operator,
            body: takes(Shape::of::<Supply<'static>>(), true),
            answers: &[Answers::json::<OfferStock<'static>>(
                200,
                "It is done, now or by the same `request_id` before.",
            )],
            refuses: &[
                Reason::BadId,
                Reason::UnknownOffer,
                Reason::IllegalTransition,
                Reason::UnitsNotAvailable,
                Reason::KeyConflict,
            ],
        }
        /// Stops the sale of an offer for a while.
        Pause = POST "/admin/offers/{offer}/pause" {
            label: "flag",
            who: Who::Operator,
            answers: OBEYED,
            refuses: FLAG,
        }
        /// Ends a pause.
        Resume = POST "/admin/offers/{offer}/resume" {
            label: "flag",
            who: Who::Operator,
            answers: OBEYED,
            refuses: FLAG,
        }
        /// Ends the sale of an offer.
        Close = POST "/admin/offers/{offer}/close" {
            label: "flag",
            who: Who::Operator,
            answers: OBEYED,
            refuses: FLAG,
        }
        /// Opens an offer that is paused or closed.
        Open = POST "/admin/offers/{offer}/open" {
            label: "flag",
            who: Who::Operator,
            answers: OBEYED,
            refuses: FLAG,
        }
        /// Compares Redis, ledger and rows, and repairs what differs.
        Reconcile = POST "/admin/reconcile" {
            label: "reconcile",
            who: Who::Deployment,
            body: takes(Shape::of::<Reconcile>(), false),
            answers: &[Answers::json::<Report<'static>>(200, "What was found and done.")],
            refuses: &[Reason::BadId, Reason::UnknownOffer, Reason::UnknownCell],
        }
        /// Builds a cell of Redis anew from its ledger.
        Rebuild = POST "/admin/cells/{cell}/rebuild" {
            label: "rebuild",
            who: Who::Operator,
            answers: &[Answers::json::<OfferStock<'static>>(200, "It is done.")],
            refuses: &[Reason::UnknownOffer, Reason::UnknownCell],
        }
        /// Tells how far behind the writers are, what waits for a person, which database answers.
        Status = GET "/admin/status" {
            label: "status",
            who: Who::Deployment,
            answers: &[Answers::json::<Standing>(200, "Also while parts are down.")],
        }
        /// Lists what waits for a person.
        ListTasks = GET "/admin/tasks" {
            label: "tasks",
            who: Who::Deployment,
            query: &[
                Field::optional("kind", "Only these.", KIND),
                Field::optional("state", "Only these; open ones when left out. Of parked ones, \
                     what is no longer open is not kept.", "^(open|retried|resolved)$"),
                Field::optional("cursor", "`next_cursor` of the page before.",
                    TASK),
                Field::optional("limit", "Tasks of a page, 1 to 100; 50 when left out.",
                    "^([1-9][0-9]?|100)$"),
            ],
            answers: &[Answers::json::<TaskPage<'static>>(200, "A page of them.")],
        }
        /// Does what a task waits for once more: a refund is sent again, a parked order or frame
        /// goes back to the log.
        RetryTask = POST "/admin/tasks/{id}/retry" {
            label: "retry",
            who: Who::Deployment,
            answers: &[Answers::json::<Task<'static>>(200, "It is on its way.")],
            refuses: &[Reason::UnknownTask, Reason::IllegalTransition],
        }
        /// Ends a task: a refund that was asked for is granted or refused, one that did not get
        /// through moved or did not, goods may be sold again or not.
        ResolveTask = POST "/admin/tasks/{id}/resolve" {
            label: "resolve",
            who: Who::Deployment,
            body: takes(Shape::of::<TaskResolution<'static>>(), true),
            answers: &[Answers::json::<Task<'static>>(200, "It is, now or before.")],
            refuses: &[Reason::UnknownTask, Reason::IllegalTransition],
        }
        /// Makes or changes a payment provider.
        PutProvider = PUT "/admin/providers/{provider}" {
            label: "provider",
            who: Who::Deployment,
            body: takes(Shape::of::<ProviderSettings<'static>>(), true),
            answers: &[
                Answers::json::<ProviderShown<'static>>(201, "It is new."),
                Answers::json::<ProviderShown<'static>>(200, "It was changed."),
            ],
            refuses: &[Reason::BadId],
        }
        /// Shows a payment provider, without its secrets.
        GetProvider = GET "/admin/providers/{provider}" {
            label: "provider",
            who: Who::Deployment,
            answers: &[Answers::json::<ProviderShown<'static>>(200, "The provider.")],
            refuses: &[Reason::BadId, Reason::UnknownProvider],
        }
        /// Compares a provider's statement with the payments and refunds here, both ways.
        ///
        /// CSV with a header: `type` (`payment` or `refund`; other lines are passed over),
        /// `payment_id`, `refund_id` (the key that the provider got with it), `currency`, `minor`
        /// and `at` (RFC 3339); other columns are ignored.
        CompareMoney = POST "/admin/money" {
            label: "money",
            who: Who::Deployment,
            query: &[
                Field {
                    name: "provider",
                    about: "Whose statement it is.",
                    pattern: "^[a-z0-9-]{1,32}$",
                    is_required: true,
                },
                Field::optional("from", "What is booked here from this time on must be in it, RFC \
                     3339; five minutes after its first line when left out.", TIME),
                Field::optional("to", "And before this time; five minutes before its last line \
                     when left out.", TIME),
            ],
            body: Some(Takes {
                most: 16 * 1024 * 1024,
                is_required: true,
                content: Content::Text("text/csv"),
            }),
            answers: &[Answers::json::<MoneyReport<'static>>(200, "What differs, if anything.")],
            refuses: &[Reason::BadId, Reason::UnknownProvider],
        }
        /// Erases what is kept of a buyer with all orders, such as addresses.
        ///
        /// The buyer is a token's `sub`, percent-encoded. Orders, payments and ledgers stay.
        EraseDetails = DELETE "/admin/buyers/{buyer}/details" {
            label: "details",
            who: Who::Operator,
            answers: &[Answers::json::<Erased>(200, "Nothing is kept, now or before.")],
            refuses: &[Reason::BadId],
        }
        /// Sends money of an order back.
        RefundOrder = POST "/admin/orders/{order}/refund" {
            label: "order",
            who: Who::Operator,
            body: takes(Shape::of::<RefundWanted<'static>>(), true),
            answers: &[Answers::json::<RefundOrdered<'static>>(
                202,
                "It is under way; also when it was before.",
            )],
            refuses: &[
                Reason::UnknownOrder,
                Reason::IllegalTransition,
                Reason::RefundTooLarge,
                Reason::KeyConflict,
            ],
        }
        /// Cancels an order; one that is paid is refunded.
        CancelOrder = POST "/admin/orders/{order}/cancel" {
            label: "order",
            who: Who::Operator,
            body: takes(Shape::of::<OrderNote<'static>>(), false),
            answers: CHANGED,
            refuses: OF_ORDER,
        }
        /// Says that an order left the warehouse.
        ShipOrder = POST "/admin/orders/{order}/ship" {
            label: "order",
            who: Who::Operator,
            body: takes(Shape::of::<OrderNote<'static>>(), false),
            answers: CHANGED,
            refuses: OF_ORDER,
        }
        /// Says that an order arrived.
        CompleteOrder = POST "/admin/orders/{order}/complete" {
            label: "order",
            who: Who::Operator,
            body: takes(Shape::of::<OrderNote<'static>>(), false),
            answers: CHANGED,
            refuses: OF_ORDER,
        }
        /// Gives a parked order or frame back to the log.
        RetryParked = POST "/admin/parked/{id}/retry" {
            label: "retry",
            who: Who::Deployment,
            answers: &[Answers::json::<Task<'static>>(200, "It is in the log.")],
            refuses: &[Reason::UnknownTask, Reason::IllegalTransition],
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
        /// Shows the metrics.
        Metrics = GET "/metrics" {
            label: "probe",
            who: Who::Probe,
            answers: &[Answers::text(200, TEXT, "In the text format of Prometheus.")],
        }
        /// Shows this document.
        OpenApi = GET "/openapi.json" {
            label: "probe",
            who: Who::Probe,
            answers: &[Answers {
                status: 200,
                when: "OpenAPI 3.1.",
                content: Content::Text("application/json"),
            }],
        }
    }
}
