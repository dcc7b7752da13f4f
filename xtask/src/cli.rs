//! The command line: every command, its flags and its help.
//!
//! Server names are parsed here, so a name that does not exist is a usage error (exit 64) which
//! lists the names that do.

use std::str::FromStr;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::stack::layout::Server;

/// Runs Sluicegate's servers, tests and benchmarks on this machine.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", version, after_help = EXAMPLES)]
pub(crate) struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

const EXAMPLES: &str = "Examples:
  cargo xtask stack up              install what is missing, start what is down, wait for all
  cargo xtask test -- -p sluicegate-store   arguments after -- go to cargo test
  cargo xtask ci                    everything that a change must pass
  cargo xtask chaos --schedules 5           real faults against real processes
  cargo xtask stack kill redis-2 && cargo xtask stack up";

const STACK_HELP: &str = "Servers: redis-1 to redis-6 (a cluster of 3 primaries and 3 replicas),
mariadb-1 and mariadb-2 (two databases each), pulsar (one broker with its bookie).

Under target/stack/ (target/stack-BASE with another --port-base):
  sluicegate.toml     the configuration with which the product runs on this stack
  NAME.pid, NAME.log  of every server; NAME/ is its data
  NAME.img            its disk, after `up --small-disks`
  secure/             certificates, passwords and tokens, after `up --secure`
  operator.toml       the same servers as their operator reaches them, after `up --secure`
Ports, counted from the base: redis +1..+6 (bus +11..+16), mariadb +21 and +22,
pulsar +50 (broker) and +51 (admin) and +52 (bookie); the product gets +80 (gate) and +90 (admin).
The first `up` needs apt (as root or through sudo) and Maven Central; later ones need no network.";

/// The commands of `cargo xtask`.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Runs Redis Cluster, MariaDB and Pulsar natively, without containers.
    #[command(after_help = STACK_HELP)]
    Stack {
        /// What to do with the servers.
        #[command(subcommand)]
        command: StackCommand,
        /// Where the servers listen.
        #[command(flatten)]
        port: PortBase,
    },
    /// Brings the stack up and runs all tests against it (SLUICEGATE_STACK names its config);
    /// without arguments also a secure one, 100 ports higher (SLUICEGATE_SECURE_STACK).
    Test {
        /// Where the servers listen.
        #[command(flatten)]
        port: PortBase,
        /// Passed on to `cargo test` as they are.
        #[arg(last = true)]
        args: Vec<String>,
    },
    /// Checks formatting, runs clippy with warnings denied, the simulator, its mutants, `test` and
    /// some schedules of `chaos`; prints the time of each. The suites of all servers run once more
    /// on a secure stack.
    Ci {
        /// Where the servers listen.
        #[command(flatten)]
        port: PortBase,
    },
    /// Brings the stack up and runs seeded schedules of real faults against real processes on it.
    Chaos {
        /// Where the servers listen.
        #[command(flatten)]
        port: PortBase,
        /// Passed on to the chaos run as they are, behind --port-base; `-- --help` explains them.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Brings the stack up and lets a deployment endure constant load with a fault each minute.
    Soak {
        /// Where the servers listen.
        #[command(flatten)]
        port: PortBase,
        /// How long.
        #[arg(long, default_value_t = 30,
              value_parser = clap::value_parser!(u64).range(1..=10_000))]
        minutes: u64,
    },
    /// Simulates schedules of faults in one thread each: production services, real scripts.
    #[command(disable_help_flag = true)]
    Sim {
        /// Passed on to the simulator as they are; --help explains them.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Runs h2spec, h2load and slowhttptest, which are installed where they are missing, against
    /// the product on its embedded default. What is known to fail is listed with its reason.
    Outside {
        /// The product listens at +80 (gate) and +90 (admin).
        #[command(flatten)]
        port: PortBase,
    },
    /// Runs the benchmark on a stack of its own and writes target/bench/report.json.
    Bench {
        /// Where its servers listen. A stack that is there is wiped, before and after: what others
        /// left in it would be measured too.
        #[arg(long, value_name = "N", default_value_t = crate::stack::layout::BENCH_BASE,
              value_parser = clap::value_parser!(u16).range(1024..=65_400))]
        port_base: u16,
        /// Passed on to the benchmark as they are.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
}

/// The first of the hundred ports that a stack takes.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct PortBase {
    /// All ports are counted from this one, so two stacks can live side by side.
    #[arg(
        long,
        global = true,
        value_name = "N",
        default_value_t = crate::stack::layout::DEFAULT_BASE,
        value_parser = clap::value_parser!(u16).range(1024..=65_300)
    )]
    pub port_base: u16,
}

/// What can be done with the stack.
#[derive(Debug, Subcommand)]
pub(crate) enum StackCommand {
    /// Installs what is missing, starts what is down, resumes what is paused, waits for all.
    Up {
        /// Wipe all data first: servers that have never seen anything.
        #[arg(long)]
        fresh: bool,
        /// MariaDB and Pulsar each on a small disk of its own (a mounted image; needs root), which
        /// `fill` can fill. Stays so until the stack is wiped.
        #[arg(long)]
        small_disks: bool,
        /// TLS alone, and nobody without a password or token, on every server: what the product's
        /// users may do there is what docs/operations.md names. Stays so until the stack is wiped.
        #[arg(long)]
        secure: bool,
    },
    /// Ends the servers that this stack started, and nothing else.
    Down {
        /// Also delete their data, logs and configuration.
        #[arg(long)]
        wipe: bool,
    },
    /// One line per server: name, pid, port, up|starting|paused|down. Exit 1 unless none is down.
    Status,
    /// Prints a server's log.
    Logs {
        /// Which server.
        #[arg(value_parser = Server::from_str)]
        name: Server,
        /// Only the last N lines.
        #[arg(short = 'n', long, value_name = "N")]
        lines: Option<usize>,
    },
    /// Kills a server (SIGKILL): what a crash does. Its data stays.
    Kill {
        /// Which server.
        #[arg(value_parser = Server::from_str)]
        name: Server,
    },
    /// Starts a server that is down, with its data, and waits until it answers.
    Start {
        /// Which server.
        #[arg(value_parser = Server::from_str)]
        name: Server,
    },
    /// Stops a server in its tracks (SIGSTOP): its connections stay open and nothing answers.
    Pause {
        /// Which server.
        #[arg(value_parser = Server::from_str)]
        name: Server,
    },
    /// Lets a paused server go on (SIGCONT).
    Resume {
        /// Which server.
        #[arg(value_parser = Server::from_str)]
        name: Server,
    },
    /// Fills the small disk of a server to the last byte; see `up --small-disks`.
    Fill {
        /// Which server.
        #[arg(value_parser = Server::from_str)]
        name: Server,
    },
    /// Takes away what `fill` put on a server's disk.
    Empty {
        /// Which server.
        #[arg(value_parser = Server::from_str)]
        name: Server,
    },
    /// Copies the data of all servers of a kind aside while they run.
    Keep {
        /// Which kind.
        kind: Kind,
    },
    /// Kills all servers of a kind and starts them again with the data that `keep` copied.
    RestartKept {
        /// Which kind.
        kind: Kind,
    },
    /// Kills all servers of a kind, deletes their data but not their topology, starts them again.
    RestartEmpty {
        /// Which kind.
        kind: Kind,
    },
}

/// Kinds of server that can come back empty.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Kind {
    /// The six nodes of the cluster.
    Redis,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn an_unknown_server_is_refused_with_the_names_that_exist() {
        let error = Cli::try_parse_from(["xtask", "stack", "kill", "redis-7"]).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("redis-6") && text.contains("pulsar"), "{text}");
    }

    #[test]
    fn the_port_base_may_stand_behind_the_subcommand() {
        let cli = Cli::try_parse_from(["xtask", "stack", "up", "--port-base", "18000"]).unwrap();
        let Command::Stack { port, .. } = cli.command else { unreachable!() };
        assert_eq!(port.port_base, 18_000);
    }

    #[test]
    fn flags_of_a_run_need_no_dashes_before_them() {
        for args in [["--seed", "5"].as_slice(), &["--", "--seed", "5"]] {
            let line = ["xtask", "chaos", "--port-base", "18000"].iter().chain(args);
            let Command::Chaos { port, args } = Cli::try_parse_from(line).unwrap().command else {
                panic!("chaos");
            };
            assert_eq!((port.port_base, args), (18_000, vec!["--seed".to_owned(), "5".to_owned()]));
        }
    }

    #[test]
    fn arguments_after_the_dashes_are_forwarded() {
        let cli = Cli::try_parse_from(["xtask", "test", "--", "-p", "x", "--", "--ignored"]);
        let Command::Test { args, .. } = cli.unwrap().command else { unreachable!() };
        assert_eq!(args, ["-p", "x", "--", "--ignored"]);
    }
}
