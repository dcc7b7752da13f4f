//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use runtime::config::Sources;

/// Flash-sale edge gate: never oversold, never an accepted order lost, never one doubled.
///
/// Without a command it runs everything in one process on the embedded default (`dev`): no
/// server is needed, the data lives in `--data-dir` and survives kill -9.
#[derive(Parser)]
#[command(version, after_help = EXIT_CODES)]
pub(crate) struct Cli {
    /// Configuration file (TOML); `sluicegate.toml` in the repository lists every key.
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Overrides one key, wins over file and environment; may be given many times.
    #[arg(long = "set", global = true, value_name = "KEY.PATH=VALUE")]
    pub set: Vec<String>,
    /// Folder of the embedded backends.
    #[arg(long, global = true, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Checks the configuration and ends.
    #[arg(long, global = true)]
    pub check_config: bool,
    /// Prints the configuration in force, secrets redacted, and ends.
    #[arg(long, global = true)]
    pub print_config: bool,
    /// What to run; `dev` when left out.
    #[command(subcommand)]
    pub command: Option<Command>,
}

const EXIT_CODES: &str = "Environment: SLUICEGATE__GATE__LISTEN=127.0.0.1:8080 sets gate.listen.\n\
Exit codes: 0 fine, 1 a check said no, 64 bad usage or configuration, \
69 a dependency is not there, 70 bug.";

impl Cli {
    pub(crate) fn sources(&self) -> Sources {
        Sources {
            file: self.config.clone(),
            sets: self.set.clone(),
            data_dir: self.data_dir.clone(),
        }
    }
}

/// What to run.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Gate, writer, clerk and reconciler in one process, with a demo offer and a demo provider.
    Dev,
    /// The HTTP edge and the admin listener.
    Gate,
    /// Consumes the order log and writes ledger and orders.
    Writer,
    /// Moves orders through their lives: joins what payment providers tell, lets orders expire,
    /// sends refunds, gives units back.
    Clerk,
    /// Compares Redis with the ledger and repairs, on schedule or once.
    Reconciler(ReconcilerArgs),
    /// Buys like a crowd and verifies every answer against the stores.
    Loadtest(Box<loadtest::LoadtestArgs>),
    /// Init and tokens.
    #[command(subcommand)]
    Admin(AdminCommand),
}

/// `sluicegate reconciler`.
#[derive(Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct ReconcilerArgs {
    /// Instead of the service.
    #[command(subcommand)]
    pub what: Option<ReconcilerCommand>,
    /// One pass, a report as JSON on standard output, and an exit code: 1 when drift was found
    /// and not repaired.
    #[arg(long)]
    pub once: bool,
    /// Finds and explains, changes nothing; with `--once`.
    #[arg(long, requires = "once")]
    pub dry_run: bool,
    /// Only the cells of this offer; with `--once`.
    #[arg(long, requires = "once", value_name = "ID")]
    pub offer: Option<String>,
}

/// `sluicegate reconciler ...`.
#[derive(Subcommand)]
pub(crate) enum ReconcilerCommand {
    /// After a database lost commits: gives the orders of the log since a time to it again.
    ///
    /// Orders, rows and verdicts that the database lost come back; what it still has stays. A
    /// pending order whose units were sold again becomes `rejected` (`sold_out`). It runs beside
    /// everything else, may be stopped anywhere and begun again, and tells what it did.
    #[command(after_long_help = REWIND)]
    Rewind(RewindArgs),
    /// Compares a payment provider's statement with the payments and refunds here, both ways, and
    /// prints what differs.
    #[command(after_long_help = MONEY)]
    Money(MoneyArgs),
}

const MONEY: &str = "\
FILE is CSV with a header line; columns may stand in any order, and others are ignored:
  type        payment or refund; lines of other types, such as fees, are passed over
  payment_id  as the provider calls the payment
  refund_id   of a refund, the key that the provider got with it; empty for a payment
  currency    ISO 4217
  minor       what moved, minor units, not negative; several lines of one payment are added up
  at          RFC 3339

Every line is looked up, whatever its time. What is booked here from --from on and before --to must
be in the file: say both for a day, so that nothing lies between two days. Clocks disagree at the
edges: let the file reach some minutes beyond the period on both sides. Left out, the period begins
five minutes after the first line and ends five minutes before the last one. A payment that is
captured in parts is compared with the sum of its lines, so the file must have them all.

The answer is JSON: matched, missing_here (only in the file), missing_there (only here), different;
each list ends after 1,000, and unlisted counts the rest.

Examples:
  sluicegate reconciler money --provider bank --statement day.csv \\
    --from 2026-11-27T00:00:00Z --to 2026-11-28T00:00:00Z
  sluicegate reconciler money --provider bank --statement - < week.csv

Exit codes: 0 both say the same, 1 something differs, 64 the file or a flag is wrong, 69 a database
did not answer.";

/// `sluicegate reconciler money`.
#[derive(Args)]
pub(crate) struct MoneyArgs {
    /// The statement; `-` is standard input.
    #[arg(long, value_name = "FILE")]
    pub statement: std::path::PathBuf,
    /// Whose it is.
    #[arg(long, value_name = "ID")]
    pub provider: String,
    /// What is booked here from this time on must be in it, RFC 3339.
    #[arg(long, value_name = "TIME")]
    pub from: Option<String>,
    /// And before this time, RFC 3339.
    #[arg(long, value_name = "TIME")]
    pub to: Option<String>,
}

const REWIND: &str = "\
First, because the log has no copy of them: repeat what operators changed since TIME (offers,
supply, pause, close; the same request ids are safe).

TIME lies before the first lost commit: the time of the backup, or of the failover minus what the
replica was behind. The log is read from an hour before it, because orders were published before
they were committed; if the writers lagged more than that, say an earlier TIME. Earlier is safe and
only takes longer; log.retention_hours is how far back the log goes. On the embedded default stop
the process first.

Examples:
  sluicegate reconciler rewind --database 0 --since 2026-11-27T09:55:00Z
  sluicegate reconciler --once --dry-run          is anything left?

Exit codes: 0 everything is back, 1 orders are left (they are named), 64 bad usage, 69 the log or a
database did not answer: begin it again.";

/// `sluicegate reconciler rewind`.
#[derive(Args)]
pub(crate) struct RewindArgs {
    /// The number of the database that lost commits: its place in `store.databases`, from 0.
    #[arg(long, value_name = "N")]
    pub database: u16,
    /// RFC 3339, such as 2026-11-27T09:55:00Z.
    #[arg(long, value_name = "TIME")]
    pub since: String,
}

/// `sluicegate admin`.
#[derive(Subcommand)]
pub(crate) enum AdminCommand {
    /// Migrations, topics and subscriptions; idempotent, every service does the same at start.
    Init,
    /// Mints a token from the configured secret and prints it.
    Token(TokenArgs),
}

/// `sluicegate admin token`.
#[derive(Args)]
#[group(skip)]
#[command(group = clap::ArgGroup::new("who").required(true).args(["buyer", "role"]))]
pub(crate) struct TokenArgs {
    /// A buyer's token for this buyer.
    #[arg(long, value_name = "ID")]
    pub buyer: Option<String>,
    /// An operator's token: `operator` or `viewer`.
    #[arg(long, value_name = "ROLE")]
    pub role: Option<String>,
    /// Whose shop it is for: 1 to 32 of a-z, 0-9 and '-'. Left out, the default tenant's. Offers,
    /// campaigns, buyers and orders of one tenant are not another's; what is about the whole
    /// deployment (reconcile, status, tasks) is for operators of the default one.
    #[arg(long, value_name = "TENANT", default_value = "", hide_default_value = true)]
    pub tenant: String,
    /// How long it is valid: a number and s, m, h or d.
    #[arg(long, default_value = "1h")]
    pub ttl: String,
}
