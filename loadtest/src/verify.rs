//! Gathers the facts: from the stores when they can be opened, otherwise from the API.
//!
//! With `cells.backend = "redis"` ledger, rows, cells, holds and buyers are read directly. The
//! embedded cells live in the running process, so there the SQLite file is read beside it (WAL
//! allows that) and the view is what the admin listener shows. Nothing is written anywhere.

use anyhow::{Context, bail};
use domain::{Status, Totals};

use crate::admin::OfferView;
use crate::args::VerifySource;
use crate::crowd::Crowd;
use crate::deployment::Deployment;
use crate::evidence::{CellFacts, Facts, RowFact};
use crate::settle::Settled;
use crate::stores::{open, shown};
use crate::track::Fate;

/// The facts and where they are from.
pub(crate) async fn gather(
    to: &Deployment,
    crowd: &Crowd,
    settled: &Settled,
    source: VerifySource,
) -> anyhow::Result<(Facts, String)> {
    let direct = to.cells.is_some() && source != VerifySource::Api;
    // Read directly, the cells need no admin listener but for their names.
    let before = direct.then(|| crowd.ground.before.clone());
    let view = settled.view.clone().or(before);
    let view = view.with_context(|| format!("the offer cannot be read: {}", settled.why))?;
    let mut facts = Facts {
        quantity: i64::from(crowd.bounds.quantity),
        own_offer: crowd.ground.own_offer,
        quiet: settled.quiet,
        ..Facts::default()
    };
    let stores = match source {
        VerifySource::Api => Err("--verify=api".to_owned()),
        VerifySource::Auto | VerifySource::Stores => open(to, crowd).await,
    };
    match stores {
        Ok(stores) => {
            stores.read_still(crowd, view, &mut facts).await?;
            let what = if stores.cells.is_some() { "and Redis" } else { "and the admin view" };
            Ok((facts, format!("ledger and rows read directly, {what}")))
        }
        Err(why) if source == VerifySource::Stores => bail!("--verify: {why}"),
        Err(why) => {
            from_api(crowd, &view, &mut facts);
            Ok((facts, format!("API only ({why}): the ledger's entries were not checked")))
        }
    }
}

fn from_api(crowd: &Crowd, view: &OfferView, facts: &mut Facts) {
    for row in &view.cells {
        let head = Totals {
            supply: row.ledger_supply,
            net: row.ledger_net,
            seq: row.ledger_seq,
            ..Totals::default()
        };
        let cell = row.cell.clone();
        facts.cells.push(CellFacts { cell, head, ledger: None, view: shown(row) });
    }
    for track in &crowd.tracks {
        let track = track.lock();
        if let Some(fate) = &track.fate
            && let Fate::Order(order, Status::Row(status), reason) = fate
        {
            facts
                .rows
                .insert(*order, RowFact { status: *status, reason: *reason, key: String::new() });
        }
    }
}
