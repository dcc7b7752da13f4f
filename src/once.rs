//! `sluicegate reconciler --once`: one pass, a report, an exit code.

use std::time::Duration;

use contract::ProblemBody;
use contract::operators::{self, Report};
use domain::OfferId;
use http_body_util::Full;
use hyper::body::Bytes;
use reconciler::Reconciler;
use runtime::tls::Files;
use view::{Ports, Reconcile};
use web::Client;

use crate::cli::ReconcilerArgs;
use crate::config::Config;
use crate::exit::Exit;

/// Against Redis and the databases of the configuration.
pub(crate) async fn here(config: &Config, ports: Ports, args: &ReconcilerArgs) -> Result<(), Exit> {
    let offer = match &args.offer {
        Some(id) => Some(known(&ports, id).await?),
        None => None,
    };
    let settings = config.of_reconciler();
    let reconciler = Reconciler::new(&ports.reconciler(), &settings);
    let report = reconciler.reconcile(offer.as_ref(), args.dry_run).await;
    let report = report.map_err(|e| Exit::unavailable(e.to_string()))?;
    runtime::say!("{}", desk::report_json(&report));
    verdict(report.has_open_drift(), !report.is_bad())
}

/// A misspelt offer has no drift either; "fine" would be a lie.
async fn known(ports: &Ports, id: &str) -> Result<OfferId, Exit> {
    let parsed: OfferId = id.parse().map_err(|e| Exit::usage(format!("--offer {id}: {e}")))?;
    match ports.store.offer(&parsed).await {
        Ok(Some(_)) => Ok(parsed),
        Ok(None) => Err(Exit::usage(format!("--offer {id}: there is no such offer"))),
        Err(e) => Err(Exit::unavailable(e.to_string())),
    }
}

/// Drift that is left is a no; what could not be looked at is a server that is away.
fn verdict(open_drift: bool, whole: bool) -> Result<(), Exit> {
    match (open_drift, whole) {
        (true, _) => Err(Exit::no("drift was found and not repaired")),
        (false, false) => Err(Exit::unavailable("some cells or databases gave no answer")),
        (false, true) => Ok(()),
    }
}

/// The embedded cells live in the running process: ask its admin listener.
pub(crate) async fn over_http(config: &Config, args: &ReconcilerArgs) -> Result<(), Exit> {
    let asked = operators::Reconcile { offer: args.offer.clone(), dry_run: args.dry_run };
    let fail = |e: serde_json::Error| Exit::unavailable(e.to_string());
    let body = serde_json::to_string(&asked).map_err(fail)?;
    let (status, text) = post(config, "/admin/reconcile", body).await?;
    if status != 200 {
        let problem: ProblemBody<'_> = serde_json::from_str(&text).map_err(fail)?;
        let line = format!("the admin listener answered {status}: {}", problem.detail);
        return Err(if status < 500 { Exit::usage(line) } else { Exit::unavailable(line) });
    }
    let report: Report<'_> = serde_json::from_str(&text).map_err(fail)?;
    runtime::say!("{text}");
    let unrepaired = report.drift.iter().any(|d| !d.applied);
    let whole = report.cells == report.compared && report.unread_databases.is_empty();
    verdict(unrepaired, whole)
}

async fn post(config: &Config, path: &str, body: String) -> Result<(u16, String), Exit> {
    let address = &config.admin.listen;
    let fail = |e: &dyn std::fmt::Display| {
        Exit::unavailable(format!(
            "no answer from http://{address}: {e}; the embedded default is asked through the \
             running process: start `sluicegate dev`"
        ))
    };
    let client = Client::new(address, &Files::default()).map_err(|e| fail(&e))?;
    // A report has a part for each difference.
    let client = client.reading(256 << 20);
    let request = client
        .request_as(&config.admin.token, "POST", path)
        .header("content-type", "application/json")
        .body(Full::new(Bytes::from(body)))
        .map_err(|e| fail(&e))?;
    let reply = client.send(request, Duration::from_secs(300)).await.map_err(|e| fail(&e))?;
    Ok((reply.status.as_u16(), String::from_utf8_lossy(&reply.body).into_owned()))
}
