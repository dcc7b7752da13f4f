//! How an offer goes on sale: the one way of a new offer's cells into ledger and view.

use domain::{Identity, Offer};
use store::{LedgerRead, LedgerWrite, StoreError};

use crate::operate::{OperateError, Reconcile};

/// Who opened an offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opened {
    /// This call; or another that wrote its ledgers between this one's look and its own write.
    Here,
    /// Another one, before or right now: its views may still be on their way.
    Elsewhere,
}

/// How far a call came that could not open an offer. Any of them may be repeated.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Its database gave no answer.
    #[error(transparent)]
    Database(#[from] StoreError),
    /// No ticket could be taken: it has no cells yet.
    #[error(transparent)]
    NoTicket(OperateError),
    /// It has its cells, and the reconciler will load them.
    #[error(transparent)]
    NotLoaded(OperateError),
}

/// Opens an offer that the catalog has: a ticket, then supply and flag(open) in all its ledgers,
/// then the views at once, for nothing can be outstanding yet (INV-13, INV-14). Nothing where it is
/// open; of several calls at once one does it.
pub async fn open_offer(
    store: &(impl LedgerRead + LedgerWrite + ?Sized),
    identity: &Identity,
    reconciler: &dyn Reconcile,
    offer: &Offer,
) -> Result<Opened, OpenError> {
    let cells = offer.cells();
    // All cells of an offer are created in one transaction: the first speaks for all.
    if store.head(&offer.id.cell(0)).await?.is_some() {
        return Ok(Opened::Elsewhere);
    }
    let ticket = reconciler.first_ticket(&cells).await.map_err(OpenError::NoTicket)?;
    let Some(ticket) = ticket else { return Ok(Opened::Elsewhere) };
    let created = store.create_cells(&offer.split(), identity.opening(&offer.id)).await?;
    if created.iter().any(|c| !c.entries.is_empty()) {
        reconciler.first_load(&cells, &ticket).await.map_err(OpenError::NotLoaded)?;
    }
    Ok(Opened::Here)
}
