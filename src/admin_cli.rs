//! `sluicegate admin`: init and tokens.

use domain::{Buyer, Tenant};
use runtime::{Tasks, clock};
use web::{Operator, Role, Tokens};

use crate::cli::{AdminCommand, TokenArgs};
use crate::config::Config;
use crate::exit::Exit;
use crate::exit::told;
use crate::{secrets, wire};

pub(crate) async fn run(mut config: Config, what: AdminCommand) -> Result<(), Exit> {
    match what {
        AdminCommand::Init => {
            let _lock = match config.is_embedded() {
                true => Some(wire::own_data_dir(&config.data_dir)?),
                false => None,
            };
            secrets::fill(&mut config)?;
            let tasks = Tasks::new();
            let ports = wire::ports(&config, &tasks, wire::RedisClient::Tools).await?;
            // A service that may not look at it goes on; who sets up has to know.
            ports.log.retained().await.map_err(|e| Exit::unavailable(e.to_string()))?;
            runtime::say!("databases, topics and subscriptions are there");
            Ok(())
        }
        AdminCommand::Token(args) => {
            secrets::fill(&mut config)?;
            told(format_args!("{}", token(&config, &args)?))
        }
    }
}

fn token(config: &Config, args: &TokenArgs) -> Result<String, Exit> {
    let tokens = Tokens::new(&config.auth, &config.admin.token, clock::system_clock());
    let tokens = tokens.map_err(Exit::usage)?;
    let ttl = ttl_seconds(&args.ttl)?;
    let tenant: Tenant = args.tenant.parse().map_err(|e| Exit::usage(format!("--tenant: {e}")))?;
    let operator = |role: Role| {
        let (tenant, name) = (tenant.clone(), role.as_str().to_owned());
        tokens.mint_operator(&Operator { role, tenant, name }, ttl)
    };
    let minted = match (&args.buyer, args.role.as_deref()) {
        (Some(buyer), _) => {
            let buyer = Buyer::of(&tenant, buyer);
            tokens.mint_buyer(&buyer.map_err(|e| Exit::usage(format!("--buyer: {e}")))?, ttl)
        }
        (None, Some("operator")) => operator(Role::Operator),
        (None, Some("viewer")) => operator(Role::Viewer),
        (None, _) => return Err(Exit::usage("--role is operator or viewer")),
    };
    minted.ok_or_else(|| Exit::usage("auth.hs256_secret is needed to mint tokens"))
}

fn ttl_seconds(text: &str) -> Result<u64, Exit> {
    let fail = || Exit::usage(format!("--ttl {text}: a number and s, m, h or d, such as 1h"));
    let (digits, unit) = text.split_at_checked(text.len().saturating_sub(1)).ok_or_else(fail)?;
    let scale = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return Err(fail()),
    };
    let n: u64 = digits.parse().map_err(|_| fail())?;
    n.checked_mul(scale).filter(|s| (1..=315_360_000).contains(s)).ok_or_else(fail)
}
