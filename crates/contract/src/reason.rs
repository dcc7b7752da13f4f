//! How a request ends: every reason the API may give, with its status and what a client may do.
//!
//! HTTP status, problem type, metric label, log field and the load test's tally all derive from
//! [`Reason`]; `docs/reasons.md` is checked against [`Reason::ALL`].

/// What a client may do after a problem.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Retry {
    /// Sending exactly this again is safe and may help.
    SameKey,
    /// Change the request and use a new key.
    NewRequest,
    /// It will not help.
    No,
}

impl Retry {
    /// All of them.
    pub const ALL: [Retry; 3] = [Retry::SameKey, Retry::NewRequest, Retry::No];
    /// The name in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Retry::SameKey => "same_key",
            Retry::NewRequest => "new_request",
            Retry::No => "no",
        }
    }
}

macro_rules! reasons {
    ($($variant:ident $name:literal $status:literal $retry:ident $title:literal;)*) => {
        /// The stable reason of a problem answer.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Reason { $(#[doc = $title] $variant,)* }
        impl Reason {
            /// Every reason, in the order of the table.
            pub const ALL: &'static [Reason] = &[$(Reason::$variant,)*];
            /// The stable snake_case code.
            pub fn as_str(self) -> &'static str { match self { $(Reason::$variant => $name,)* } }
            /// The HTTP status.
            pub fn status(self) -> u16 { match self { $(Reason::$variant => $status,)* } }
            /// What the client may do.
            pub fn retry(self) -> Retry { match self { $(Reason::$variant => Retry::$retry,)* } }
            /// One short sentence.
            pub fn title(self) -> &'static str { match self { $(Reason::$variant => $title,)* } }
        }
    };
}

reasons! {
    Malformed "malformed" 400 NewRequest "The request is not what this route takes.";
    MissingIdempotencyKey "missing_idempotency_key" 400 NewRequest "An Idempotency-Key is needed.";
    BadQuantity "bad_quantity" 400 NewRequest "The quantity is outside its range.";
    BadId "bad_id" 400 NewRequest "An id is 1 to 64 of a-z, 0-9 and '-'.";
    Unauthenticated "unauthenticated" 401 SameKey "A valid token is needed.";
    Forbidden "forbidden" 403 SameKey "This token does not open this route.";
    RefundNotAllowed "refund_not_allowed" 403 No "This offer has no refunds.";
    TicketRequired "ticket_required" 403 SameKey "This offer needs a ticket.";
    TicketInvalid "ticket_invalid" 403 SameKey "The ticket is not valid here.";
    UnknownOffer "unknown_offer" 404 No "No such offer.";
    UnknownOrder "unknown_order" 404 SameKey "Nothing is known of this order.";
    UnknownRoute "unknown_route" 404 No "No such route.";
    UnknownCampaign "unknown_campaign" 404 No "No such campaign.";
    UnknownCell "unknown_cell" 404 No "No such cell.";
    UnknownTask "unknown_task" 404 No "No such task.";
    UnknownProvider "unknown_provider" 404 No "No such payment provider.";
    MethodNotAllowed "method_not_allowed" 405 NewRequest "This route has other methods.";
    RequestTimeout "request_timeout" 408 SameKey "The request took too long to arrive.";
    SoldOut "sold_out" 409 SameKey "No units are left.";
    NotOpen "not_open" 409 SameKey "The sale has not opened yet.";
    Paused "paused" 409 SameKey "The sale is paused.";
    NotYet "not_yet" 409 SameKey "The order is not in the database yet.";
    PriceChanged "price_changed" 409 NewRequest "The price is another one.";
    RefundTooLarge "refund_too_large" 409 NewRequest "More than is left of the order.";
    LimitReached "limit_reached" 409 No "The buyer's limit is reached.";
    IllegalTransition "illegal_transition" 409 No "The state does not allow this.";
    BucketsFixed "buckets_fixed" 409 No "The number of buckets is fixed at creation.";
    AllotmentFixed "allotment_fixed" 409 No "The allotment is fixed at creation; use supply.";
    UnitsNotAvailable "units_not_available" 409 SameKey "Fewer unsold units are left.";
    Closed "closed" 410 No "The sale is over.";
    BodyTooLarge "body_too_large" 413 NewRequest "The body is too large.";
    UnsupportedMediaType "unsupported_media_type" 415 NewRequest "A body is application/json.";
    KeyConflict "key_conflict" 422 NewRequest "The key was used with other content.";
    EarlyData "early_data" 425 SameKey "Send this again after the handshake.";
    RateLimited "rate_limited" 429 SameKey "Too many requests.";
    HeadersTooLarge "headers_too_large" 431 NewRequest "The headers are too large.";
    Internal "internal" 500 SameKey "The server met a bug.";
    Overloaded "overloaded" 503 SameKey "The gate protects itself; try again.";
    DependencyDown "dependency_down" 503 SameKey "A part behind the gate does not answer.";
    Starting "starting" 503 SameKey "The gate is starting.";
    Draining "draining" 503 SameKey "The gate is shutting down.";
}
