//! What is kept of a person, erased.

use contract::desk::Erased;
use contract::{Problem, Reason};
use domain::Buyer;
use percent_encoding::percent_decode_str;
use web::answer::{self, Answer};

use super::{Shop, input};

/// `DELETE /admin/buyers/{id}/details`. A `sub` may be any text, so it is the one name of the API
/// that is decoded.
pub(super) async fn erase(shop: &Shop<'_>, name: &str) -> Result<Answer, Problem> {
    let bad =
        || Problem::with(Reason::BadId, "a buyer is 1 to 128 bytes of UTF-8, percent-encoded");
    let sub = percent_decode_str(name).decode_utf8().map_err(|_| bad())?;
    let buyer = Buyer::of(shop.tenant, &sub).map_err(|_| bad())?;
    let erased = shop.ports.store.erase_details(&buyer).await.map_err(input::down)?;
    tracing::info!(by = shop.name, erased, "details of a buyer are erased");
    Ok(answer::json(200, &Erased { erased }))
}
