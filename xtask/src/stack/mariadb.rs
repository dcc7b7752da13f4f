//! MariaDB: servers with durable defaults, two empty databases each, one user for the product.
//!
//! The product makes its own tables. The user may create further databases whose names begin with
//! `sluice_`, so that a test can have one of its own. Nothing is reachable from outside, hence
//! the passwords of a development machine.

use std::fs;
use std::process::{Command, Output};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use super::layout::{Layout, Server};
use super::proc::{self, Launch};
use super::secure;
use super::tools::Tools;
use crate::programs::am_root;

/// The product's user and its password.
pub(super) const USER: &str = "sluice";

const GRANTS: &str = include_str!("../../../deploy/native/secure/grants.sql");

/// From start to first answer; recovery of a killed server included.
const LIMIT: Duration = Duration::from_secs(60);

/// How a server is started. The socket's name is relative to the data folder, because socket
/// paths are limited to 107 bytes.
pub(super) fn launch(layout: &Layout, tools: &Tools, n: u8) -> Launch {
    let server = Server::Mariadb(n);
    let home = layout.home(server);
    let mut args = vec![
        "--no-defaults".to_owned(),
        format!("--datadir={}", home.join("data").display()),
        format!("--port={}", layout.port(server)),
        format!("--pid-file={}", home.join("mariadbd.pid").display()),
        format!("--tmpdir={}", home.join("tmp").display()),
    ];
    let fixed = [
        "--bind-address=127.0.0.1",
        "--socket=mysql.sock",
        "--skip-name-resolve",
        "--character-set-server=utf8mb4",
        "--max-connections=500",
        "--innodb-buffer-pool-size=512M",
    ];
    args.extend(fixed.map(str::to_owned));
    if let Some(secure) = secure::of(layout) {
        for (key, file) in [("ca", "ca.pem"), ("cert", "shown.pem"), ("key", "shown.key")] {
            args.push(format!("--ssl-{key}={}", secure.path(file)));
        }
        args.push("--require-secure-transport=ON".to_owned());
    }
    if am_root() {
        args.push("--user=root".to_owned());
    }
    Launch { program: tools.mariadbd.clone(), args }
}

/// Makes the data folder if there is none. It appears under its name only when it is complete.
pub(super) fn prepare(layout: &Layout, tools: &Tools, n: u8) -> Result<()> {
    let home = layout.home(Server::Mariadb(n));
    let (data, partial) = (home.join("data"), home.join("data.partial"));
    // A server that starts clears its temporary folder, also of what another one needs: each has
    // its own.
    let tmp = home.join("tmp");
    fs::create_dir_all(&tmp).with_context(|| format!("cannot create {}", tmp.display()))?;
    if data.exists() {
        return Ok(());
    }
    if partial.exists() {
        fs::remove_dir_all(&partial).context("cannot delete a broken-off installation")?;
    }
    let mut command = Command::new(&tools.mariadb_install_db);
    command
        .env("TMPDIR", &tmp)
        .arg("--no-defaults")
        .arg(format!("--datadir={}", partial.display()))
        .args(["--auth-root-authentication-method=normal", "--skip-test-db"]);
    if am_root() {
        command.arg("--user=root");
    }
    let output = command.output().context("cannot run mariadb-install-db")?;
    ensure!(output.status.success(), "mariadb-install-db failed:\n{}", said(&output));
    fs::rename(&partial, &data).context("cannot put the data folder in its place")
}

/// Waits until the server answers the product's user, giving it databases and rights it lacks.
pub(super) fn wait_ready(layout: &Layout, tools: &Tools, n: u8) -> Result<()> {
    let setup = setup_sql(&layout.databases(n), secure::of(layout).is_some());
    proc::wait_until(layout, Server::Mariadb(n), LIMIT, || {
        if check(layout, tools, n).is_ok() {
            return Ok(());
        }
        sql(layout, tools, n, ["--user=root", "--execute", &setup])?;
        check(layout, tools, n)
    })
}

/// SELECT through the client as the product's user, with every database in sight.
fn check(layout: &Layout, tools: &Tools, n: u8) -> Result<()> {
    let names = layout.databases(n);
    let seen = format!(
        "SELECT COUNT(*) FROM information_schema.schemata WHERE schema_name IN ('{}')",
        names.join("','")
    );
    let user = format!("--user={USER}");
    let count = sql(layout, tools, n, [&user, "--execute", &seen])?;
    ensure!(count.trim() == names.len().to_string(), "a database is missing");
    Ok(())
}

fn setup_sql(databases: &[String], is_secure: bool) -> String {
    let mut sql = match is_secure {
        true => GRANTS.replace("{{user}}", USER).replace("{{password}}", secure::MARIADB_PASSWORD),
        false => format!(
            "CREATE USER IF NOT EXISTS '{USER}'@'127.0.0.1' IDENTIFIED BY '{USER}';\n\
             GRANT ALL PRIVILEGES ON `sluice\\_%`.* TO '{USER}'@'127.0.0.1';\n"
        ),
    };
    for name in databases {
        sql.push_str(&format!("CREATE DATABASE IF NOT EXISTS `{name}`;\n"));
    }
    sql
}

/// Runs the client over TCP. Root has no password and is refused with one, so the password goes
/// with the product's user alone.
fn sql(layout: &Layout, tools: &Tools, n: u8, args: [&str; 3]) -> Result<String> {
    let port = layout.port(Server::Mariadb(n));
    let secure = secure::of(layout);
    let password = match (args[0], &secure) {
        ("--user=root", _) => "",
        (_, Some(_)) => secure::MARIADB_PASSWORD,
        (_, None) => USER,
    };
    let ca = secure.map(|s| format!("--ssl-ca={}", s.path("ca.pem")));
    // `timeout` bounds what the client's own timeout does not: a server that accepts and freezes.
    let output = Command::new("timeout")
        .arg("10")
        .arg(&tools.mariadb)
        .args(["--no-defaults", "--protocol=tcp", "--host=127.0.0.1", "--batch"])
        .args(["--skip-column-names", "--connect-timeout=5"])
        .arg(format!("--port={port}"))
        .arg(format!("--password={password}"))
        .args(ca.iter().flat_map(|ca| [ca.as_str(), "--ssl-verify-server-cert"]))
        .args(args)
        .output()
        .context("cannot run the mariadb client")?;
    if !output.status.success() {
        bail!("the mariadb client says: {}", said(&output));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn said(output: &Output) -> String {
    let text = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
    proc::last_lines(String::from_utf8_lossy(&text).trim(), 15)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_setup_may_run_any_number_of_times() {
        for secure in [false, true] {
            let sql = setup_sql(&["sluice_2".to_owned()], secure);
            assert!(
                sql.lines().all(|line| line.starts_with("GRANT") || line.contains("IF NOT EXISTS"))
            );
            assert!(sql.contains("`sluice\\_%`.*") && sql.contains("`sluice_2`"));
            assert_eq!(sql.contains("GRANT ALL"), !secure);
        }
    }
}
