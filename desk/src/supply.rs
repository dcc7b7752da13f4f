//! Supply in both directions: PROTOCOL 6.8.
//!
//! Units come by a supply entry. Units leave by a T hold (so that nobody is promised them
//! meanwhile) and a `transfer_out` entry; a plain negative entry would take what Redis has already
//! promised. A coordinator that dies after the hold is finished by the relay with the same id.

use cells::port::{Refusal, ReserveCall, Reserved};
use contract::operators::Supply;
use contract::{Problem, Reason};
use domain::supply::Transfer;
use domain::{CellId, EntryId, Kind, Nonce};
use mutants::Mutant;
use store::port::Change;
use web::answer::Answer;

use super::{Shop, input, offers};

/// `POST /admin/offers/{id}/supply`.
pub(super) async fn post(shop: &Shop<'_>, id: &str, bytes: &[u8]) -> Result<Answer, Problem> {
    let known = offers::known(shop, id).await?;
    let wire: Supply<'_> = web::body::json(bytes)?;
    input::supply(&wire)?;
    let ports = &shop.ports;
    let request = ports.identity.request_id(&known.offer.id, "supply", &wire.request_id);
    let cell = known.offer.id.cell(0);
    let change = if wire.units > 0 {
        add(shop, request, &cell, wire.units).await?
    } else {
        remove(shop, request, &cell, (-wire.units) as u32).await?
    };
    let refused = matches!(change, Change::Refused(_));
    offers::obeyed(shop, change, std::slice::from_ref(&cell)).await?;
    if refused {
        return Err(too_few());
    }
    offers::show(shop, id, 200).await
}

async fn add(
    shop: &Shop<'_>,
    request: EntryId,
    cell: &CellId,
    units: i64,
) -> Result<Change, Problem> {
    let store = &shop.ports.store;
    let e = match store.supply(&[(cell.clone(), units)], request).await {
        Err(e) if !e.is_transient() => e,
        done => return done.map_err(input::down),
    };
    // Asked after the ledger refused, so that what others added at the same time is in it.
    let head = store.head(cell).await.map_err(input::down)?.unwrap_or_default();
    if head.supply.saturating_add(units) <= input::MAX_UNITS {
        return Err(input::down(e));
    }
    let text = format!("an offer has at most {} units, this has {}", input::MAX_UNITS, head.supply);
    Err(Problem::with(Reason::IllegalTransition, text))
}

fn too_few() -> Problem {
    Problem::with(Reason::UnitsNotAvailable, "fewer unsold units are left; nothing was taken")
}

/// Hold, then transfer-out. A repeat finds its verdict first, so that it needs no second hold.
async fn remove(
    shop: &Shop<'_>,
    request: EntryId,
    cell: &CellId,
    units: u32,
) -> Result<Change, Problem> {
    let ports = &shop.ports;
    let found = ports.store.find_verdicts(cell, &[request]).await.map_err(input::down)?;
    let decided = found.first().is_some_and(Option::is_some);
    if needs_hold(decided) {
        hold(shop, request, cell, units).await?;
    }
    let change = ports.store.transfer(request, cell, None, units).await;
    let change = change.map_err(input::down)?;
    if matches!(change, Change::OtherUnits) {
        // The ledger rejected the request; folding that in drops the hold.
        shop.follow.catch_up(cell).await;
    }
    Ok(change)
}

/// Units leave a cell only while no order can take them (INV-1).
fn needs_hold(decided: bool) -> bool {
    if mutants::on(Mutant::TransferNoHold) {
        return false;
    }
    !decided
}

async fn hold(shop: &Shop<'_>, request: EntryId, cell: &CellId, units: u32) -> Result<(), Problem> {
    let ports = &shop.ports;
    let transfer = Transfer { from: cell.clone(), to: None, units };
    let nonce = Nonce(ports.unique.next());
    let call = ReserveCall::transfer(request, nonce, &transfer, shop.wait);
    let down = |text: &str| Problem::with(Reason::DependencyDown, text);
    let reply = ports.cells.reserve(cell, &call).await.map_err(input::cell_down)?;
    if !reply.replicated && reply.results.iter().any(Reserved::is_hold) {
        // A failover may lose this hold; its units must not leave while they can be sold again.
        return Err(down("the units are set aside, but replicas are behind; repeat"));
    }
    match reply.results.into_iter().next() {
        Some(Reserved::New { .. } | Reserved::Verdict(Kind::TransferOut | Kind::Reject)) => Ok(()),
        Some(Reserved::Held { payload: stored, .. }) if stored == transfer.encode() => Ok(()),
        Some(Reserved::Held { .. } | Reserved::Conflict(_) | Reserved::Verdict(_)) => {
            Err(Problem::with(Reason::KeyConflict, "request_id was used with other units"))
        }
        Some(Reserved::Refused { why: Refusal::SoldOut, .. }) => Err(too_few()),
        Some(Reserved::Missing) => Err(down("the cell is being rebuilt; repeat")),
        other => {
            tracing::warn!(%cell, ?other, "units could not be set aside");
            Err(down("the units could not be set aside now; repeat"))
        }
    }
}
