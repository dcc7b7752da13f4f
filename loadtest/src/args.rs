//! The flags of `sluicegate loadtest`; their help is meant to teach.
//!
//! Nothing is decided here: `setup` turns flags and configuration into a target.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

const AFTER: &str = "\
What it does: a fixed schedule of arrivals (open loop) is set before the first request leaves; a \
slow server does not slow the crowd down, and latency counts from the moment a request was due. \
Then it waits until nothing is on its way any more, reads what became of every order, and says \
`verdict: conserved` or `verdict: BROKEN`.

Conserved means: every accepted order has exactly one row (none lost), no key has two live orders \
(none doubled), the ledger and the view never gave more than the supply (none oversold), and a \
refusal left nothing behind. An accepted order that ended `rejected` because Redis lost data is \
allowed, counted and shown.

Examples:
  sluicegate dev                                   in one terminal, and in another:
  sluicegate loadtest                              20,000 requests for 10,000 units
  sluicegate loadtest --rate 5000 --requests 100000 --units 1000 --report run.html
  sluicegate loadtest --duplicates 0.3 --retries 50 --history run.jsonl --json run.json
Kill and restart the server while it runs: the verdict must stay the same.

--scenario life follows orders through their money. Beside the crowd runs a payment provider that \
tells late, twice, out of order or not at all, and keeps books of its own: 80 % of the orders are \
paid (of them 10 % are refunded whole and 5 % in part), 5 % late, 2 % twice, 2 % with a wrong \
amount, 1 % in another currency, 5 % are cancelled and paid all the same, the rest expires. \
Conserved means: each order is where that puts it, each cell has the units of living orders, each \
payment and refund stands in both books with the same sum, and money in = money kept + money back. \
It reads the databases directly (--config, or --data-dir of `dev`), takes two to three minutes at \
least, since an unpaid order has its minute, and needs the provider, at a port of this machine \
(--provider-listen, --provider-url), to be reached by the clerk. --connections buyers go on at \
once, as fast as they are answered; of the other flags --requests, --timeout, --give-up, --settle, \
--seed, --gate, --admin, --ca-file, --json and --quiet matter.
  sluicegate loadtest --scenario life --requests 2000 --settle 3m

Exit code: 0 conserved, 1 broken, 64 asked for wrongly, 69 the gate or the admin listener is not \
there.

--json FILE, one object: run, offer, started_ms, seconds, interrupted, requests, sends, retries, \
answers {outcome: count}, rates {accepted_per_s, peak_accepted_per_s}, latency_ms {definite, \
accepted, refused, late_start: {count, mean, p50, p90, p99, p999, max}}, table {supply, claimed, \
released (both null = not read), net, held, available, rows_pending, \
rows_live, rows_rejected, rows_dead, rows_foreign, accepted, lost, doubled, oversold}, \
accepted_rejected {reason: count}, fates {fate: count}, \
quiet, checked, verdict (conserved|broken), violations [text]. Of --scenario life: run, seconds, \
interrupted, orders {role: {status: count}}, bought_again, money {in, kept, back} (minor units), \
tasks, verdict, violations.";

/// Where the verdict takes its facts from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum VerifySource {
    /// The stores when they can be opened from here, otherwise the API.
    Auto,
    /// Ledger, rows and (with Redis) cells, read directly; an error when they cannot be opened.
    Stores,
    /// Only what the gate and the admin listener answer.
    Api,
}

/// What a run is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LoadScenario {
    /// Buys, and proves that no order was lost or doubled.
    Buy,
    /// Buys, pays, pays wrongly or late, cancels, wants money back, with a payment provider of its
    /// own; proves that units and money add up. Reads the databases directly.
    Life,
}

/// `sluicegate loadtest`: buys like a crowd, then proves that nothing was lost or doubled.
#[derive(Debug, Clone, Args)]
#[command(after_long_help = AFTER)]
pub struct LoadtestArgs {
    /// What the crowd does.
    #[arg(long, value_name = "NAME", default_value = "buy")]
    pub scenario: LoadScenario,
    /// Distinct requests, each with its own idempotency key.
    #[arg(long, default_value_t = 20_000,
          value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    pub requests: u32,
    /// Arrivals per second; the schedule never waits for answers.
    #[arg(long, default_value_t = 2_000.0, value_parser = positive)]
    pub rate: f64,
    /// Keep-alive connections = requests in flight at most; more wait, and the wait counts.
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=60_000))]
    pub connections: u32,
    /// A request without an answer after this counts as unknown.
    #[arg(long, default_value = "10s", value_parser = duration)]
    pub timeout: Duration,
    /// Distinct buyers; one per request when left out.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    pub buyers: Option<u32>,
    /// Units of each order.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub quantity: u32,
    /// Fraction of the requests that is sent twice at once with the same key.
    #[arg(long, default_value_t = 0.05, value_parser = fraction)]
    pub duplicates: f64,
    /// How often one request is sent again (same key, growing pauses) after no answer,
    /// `unconfirmed`, or a 5xx or 408 whose problem says `same_key`.
    #[arg(long, default_value_t = 50)]
    pub retries: u16,
    /// Nothing is sent again later than this after its first sending.
    #[arg(long, default_value = "60s", value_parser = duration)]
    pub give_up: Duration,
    /// How long to wait, after the last answer, until everything is written and applied.
    #[arg(long, default_value = "60s", value_parser = duration)]
    pub settle: Duration,
    /// Waits for this file to exist before it settles and asks what became of the orders: for a
    /// script that breaks something and has it repaired, such as a rewind. Ctrl-C ends the wait.
    #[arg(long, value_name = "FILE")]
    pub settle_after: Option<PathBuf>,
    /// The gate, http://host:port or https://host:port; `gate.listen` of the configuration when
    /// left out.
    #[arg(long, value_name = "URL")]
    pub gate: Option<String>,
    /// The admin listener, in the same way; `admin.listen` when left out.
    #[arg(long, value_name = "URL")]
    pub admin: Option<String>,
    /// Whom https trusts, PEM; whom browsers trust when left out.
    #[arg(long, value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
    /// Where the payment provider of --scenario life listens.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    pub provider_listen: SocketAddr,
    /// Where the product reaches that provider, when that is not where it listens: another name of
    /// this machine, or something in between.
    #[arg(long, value_name = "URL")]
    pub provider_url: Option<String>,
    /// Buys this existing offer, which nobody else may buy meanwhile; when left out, a new one is
    /// made in the campaign `evergreen`.
    #[arg(long, value_name = "ID")]
    pub offer: Option<String>,
    /// Units of the new offer.
    #[arg(long, default_value_t = 10_000, conflicts_with = "offer")]
    pub units: u64,
    /// Buckets of the new offer.
    #[arg(long, conflicts_with = "offer")]
    pub buckets: Option<u8>,
    /// The most units one buyer may have of the new offer.
    #[arg(long, conflicts_with = "offer")]
    pub limit_per_buyer: Option<u32>,
    /// Where the verdict takes its facts from; `--verify` alone means `stores`.
    #[arg(long, value_name = "SOURCE", num_args = 0..=1, require_equals = true,
          default_value = "auto", default_missing_value = "stores")]
    pub verify: VerifySource,
    /// Makes names and the choice of duplicates repeatable; random when left out.
    #[arg(long)]
    pub seed: Option<u64>,
    /// Writes an HTML report with plots, one file, nothing loaded from elsewhere.
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
    /// Writes a summary as JSON; its fields are listed below.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Writes every call, answer and final read as one JSON line each, for outside checkers.
    #[arg(long, value_name = "FILE")]
    pub history: Option<PathBuf>,
    /// No progress on standard error.
    #[arg(long)]
    pub quiet: bool,
}

fn positive(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(n) if n > 0.0 && n <= 1e7 => Ok(n),
        _ => Err("a number above 0".to_owned()),
    }
}

fn fraction(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(n) if (0.0..=1.0).contains(&n) => Ok(n),
        _ => Err("a number from 0 to 1".to_owned()),
    }
}

/// `500ms`, `10s`, `2m`, `1h`.
fn duration(text: &str) -> Result<Duration, String> {
    let fail = || format!("{text:?}: a number and ms, s, m or h, such as 10s");
    let split = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(fail)?;
    let (number, unit) = text.split_at(split);
    let number: u64 = number.parse().map_err(|_| fail())?;
    let factor = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err(fail()),
    };
    let ms = number.checked_mul(factor).filter(|ms| *ms <= 86_400_000).ok_or_else(fail)?;
    Ok(Duration::from_millis(ms))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        args: LoadtestArgs,
    }

    #[test]
    fn flags_parse_and_verify_alone_means_stores() {
        let parse = |list: &[&str]| {
            Cli::try_parse_from([&["x"], list].concat()).map(|c| c.args).map_err(|e| e.to_string())
        };
        let plain = parse(&[]).unwrap();
        assert_eq!((plain.requests, plain.verify), (20_000, VerifySource::Auto));
        assert_eq!(parse(&["--verify"]).unwrap().verify, VerifySource::Stores);
        assert_eq!(parse(&["--verify=api"]).unwrap().verify, VerifySource::Api);
        assert_eq!(parse(&["--timeout", "500ms"]).unwrap().timeout, Duration::from_millis(500));
        assert!(parse(&["--timeout", "5"]).is_err());
        assert!(parse(&["--duplicates", "2"]).is_err());
        assert!(parse(&["--offer", "x", "--units", "5"]).is_err());
    }
}
