//! `sluicegate reconciler money`: a provider's statement against the books here.

use std::fs::File;
use std::io::{self, Read};

use domain::life::ProviderId;
use life::statement::{MoneyBooks, Period, Statement};
use runtime::{clock, telemetry};
use store::CatalogRead;

use crate::cli::MoneyArgs;
use crate::config::Config;
use crate::exit::{Exit, told};
use crate::secrets;
use crate::wire;

/// Payments and refunds of one file, some 100 bytes of memory each.
const MOST_LINES: usize = 10_000_000;

/// Only reads, beside everything else.
pub(crate) async fn run(mut config: Config, args: &MoneyArgs) -> Result<(), Exit> {
    let provider: ProviderId = args
        .provider
        .parse()
        .map_err(|e| Exit::usage(format!("--provider {}: {e}", args.provider)))?;
    let times = (time("--from", args.from.as_deref())?, time("--to", args.to.as_deref())?);
    let shown = args.statement.display();
    let file: Box<dyn Read> = if args.statement.as_os_str() == "-" {
        Box::new(io::stdin())
    } else {
        let file = File::open(&args.statement);
        Box::new(file.map_err(|e| Exit::usage(format!("--statement {shown}: {e}")))?)
    };
    let statement = Statement::read(io::BufReader::new(file), MOST_LINES)
        .map_err(|e| Exit::usage(format!("--statement {shown}: {e}")))?;
    secrets::fill(&mut config)?;
    telemetry::logs(&config.telemetry).map_err(Exit::usage)?;
    let store = wire::store(&config, &clock::system_clock())?;
    let away = |e: store::StoreError| Exit::unavailable(e.to_string());
    let known = store.providers().await.map_err(away)?;
    if !known.iter().any(|p| p.id == provider) {
        return Err(Exit::usage(format!("--provider {provider}: there is no such provider")));
    }
    let period = Period::of(&statement, times.0, times.1);
    let period = period.map_err(|why| Exit::usage(format!("--from, --to: {why}")))?;
    let books = MoneyBooks { store: &*store, identity: &wire::identity(&config), provider };
    let report = books.compare(&statement, period).await.map_err(away)?;
    let text = serde_json::to_string_pretty(&report).map_err(|e| Exit::bug(e.to_string()))?;
    told(format_args!("{text}"))?;
    if report.is_same() { Ok(()) } else { Err(Exit::no("the books differ")) }
}

fn time(flag: &str, text: Option<&str>) -> Result<Option<u64>, Exit> {
    let Some(text) = text else { return Ok(None) };
    let ms = contract::parse_time(text).and_then(|ms| u64::try_from(ms).ok());
    let wrong = || Exit::usage(format!("{flag} {text}: RFC 3339 with an offset"));
    ms.map(Some).ok_or_else(wrong)
}
