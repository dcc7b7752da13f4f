//! Reconcile and rebuild, on behalf of an operator.

use domain::Reason;
use serde::Serialize;
use view::{Drift, OperateError, Report};

use super::{Shop, input};
use crate::answer::{self, Answer, Problem};
use crate::failed;

#[derive(Serialize)]
struct DriftBody<'a> {
    cell: String,
    kind: &'static str,
    ledger: &'a str,
    redis: &'a str,
    repair: &'static str,
    applied: bool,
}

#[derive(Serialize)]
struct ReportBody<'a> {
    cells: u64,
    compared: u64,
    rows: u64,
    drift: Vec<DriftBody<'a>>,
    #[serde(skip_serializing_if = "<[u16]>::is_empty")]
    unread_databases: &'a [u16],
}

fn drift(d: &Drift) -> DriftBody<'_> {
    DriftBody {
        cell: d.cell.to_string(),
        kind: d.kind.as_str(),
        ledger: &d.ledger,
        redis: &d.redis,
        repair: d.repair.as_str(),
        applied: d.applied,
    }
}

/// A report as JSON text, the same over HTTP and from `reconciler --once`.
pub fn report_json(report: &Report) -> String {
    let body = ReportBody {
        cells: report.cells,
        compared: report.compared,
        rows: report.rows,
        drift: report.drift.iter().map(drift).collect(),
        unread_databases: &report.unread,
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
    let wire: input::ReconcileBody = match bytes {
        [] => input::ReconcileBody { offer: None, dry_run: false },
        bytes => crate::body::json(bytes)?,
    };
    let offer = match &wire.offer {
        Some(id) => Some(super::offers::known(shop, id).await?.offer.id.clone()),
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
