//! Reconcile and rebuild, on behalf of an operator.

use contract::{Problem, Reason, operators as wire};
use view::failed;
use view::{Drift, OperateError, Report};
use web::answer::{self, Answer};

use super::{Shop, input};

fn drift(d: &Drift) -> wire::Drift<'_> {
    wire::Drift {
        cell: d.cell.to_string(),
        kind: d.kind.as_str().into(),
        ledger: d.ledger.as_str().into(),
        redis: d.redis.as_str().into(),
        repair: d.repair.as_str().into(),
        applied: d.applied,
    }
}

/// A report as JSON text, the same over HTTP and from `reconciler --once`.
pub fn report_json(report: &Report) -> String {
    let body = wire::Report {
        cells: report.cells,
        compared: report.compared,
        rows: report.rows,
        drift: report.drift.iter().map(drift).collect(),
        unread_databases: report.unread.clone(),
    };
    serde_json::to_string_pretty(&body).unwrap_or_default()
}

fn problem(e: OperateError) -> Problem {
    match e {
        OperateError::UnknownCell => Problem::new(Reason::UnknownCell),
        e @ OperateError::Down(_) => {
            failed::reconciler(e);
            let text = "not all of it could be done; the log says why, repeat this";
            Problem::with(Reason::DependencyDown, text)
        }
    }
}

/// `POST /admin/reconcile`.
pub(super) async fn reconcile(shop: &Shop<'_>, bytes: &[u8]) -> Result<Answer, Problem> {
    let wire: wire::Reconcile = match bytes {
        [] => wire::Reconcile::default(),
        bytes => web::body::json(bytes)?,
    };
    let offer = match &wire.offer {
        // The text form: it is for who may see all tenants.
        Some(id) => {
            let id = id.parse().map_err(|_| Problem::new(Reason::BadId))?;
            Some(super::offers::of(shop, &id).await?.offer.id.clone())
        }
        None => None,
    };
    let report = shop.reconciler.reconcile(offer.as_ref(), wire.dry_run).await.map_err(problem)?;
    Ok(answer::raw(200, "application/json", report_json(&report).into()))
}

/// `POST /admin/cells/{cell}/rebuild`.
pub(super) async fn rebuild(shop: &Shop<'_>, cell: &str) -> Result<Answer, Problem> {
    let cell = input::cell_id(shop.tenant, cell)?;
    shop.reconciler.rebuild(&cell).await.map_err(problem)?;
    super::offers::show(shop, cell.offer.name(), 200).await
}
