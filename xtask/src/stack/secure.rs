//! The secure stack: TLS alone, and nobody without a name. Every server asks for TLS and for
//! credentials, and the product's have the rights that docs/operations.md names and no more.
//!
//! The folder with the certificates decides: a stack that has it is secure until it is wiped. What
//! is in it is worth nothing outside of a development machine. Beside what the servers need there
//! is what a test shows them: a certificate that is over, and a CA that nobody trusts.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use anyhow::{Context, Result, bail, ensure};

use super::layout::{Layout, Server};
use crate::install;
use crate::programs::program;
use crate::progress::Progress;

/// The product's user at Redis and its password.
pub(super) const REDIS_USER: &str = "sluicegate";
const REDIS_PASSWORD: &str = "stack-redis-password";
/// The operator's password at Redis.
pub(super) const OPERATOR_PASSWORD: &str = "stack-redis-operator";
/// The password of the product's user at MariaDB.
pub(super) const MARIADB_PASSWORD: &str = "stack-mariadb-password";

/// Who has a token for Pulsar: may do everything, may make topics, may use them.
pub(super) const ROLES: [&str; 3] = ["operator", "deployer", "sluicegate"];

const USERS: &str = include_str!("../../../deploy/native/secure/users.acl");

/// Where things of a secure stack are.
#[derive(Debug, Clone)]
pub(super) struct Secure {
    folder: PathBuf,
}

/// That of a stack, if it is a secure one.
pub(super) fn of(layout: &Layout) -> Option<Secure> {
    let folder = layout.folder().join("secure");
    folder.is_dir().then_some(Secure { folder })
}

impl Secure {
    /// A file's full name.
    pub(super) fn path(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }

    /// A role's token for Pulsar.
    pub(super) fn token(&self, role: &str) -> Result<String> {
        let file = self.path(&format!("{role}.token"));
        fs::read_to_string(&file).with_context(|| format!("cannot read {file}"))
    }

    /// The arguments of `redis-cli` for the operator.
    pub(super) fn redis_cli(&self) -> Vec<String> {
        let args = ["--tls", "--cacert", &self.path("ca.pem"), "--no-auth-warning"];
        let login = ["--user", "operator", "--pass", OPERATOR_PASSWORD];
        args.iter().chain(&login).map(|s| (*s).to_owned()).collect()
    }

    /// One Redis command and its answer; an error that the node answers is an error.
    pub(super) fn redis(&self, port: u16, command: &str) -> Result<String> {
        let mut cli = Command::new("timeout");
        cli.arg("5").arg(program("redis-cli")?).args(self.redis_cli());
        cli.args(["-e", "-p", &port.to_string()]).args(command.split(' '));
        said(cli.output().context("cannot run redis-cli")?)
    }

    /// One request to Pulsar's admin API as the operator: status and body.
    pub(super) fn http(
        &self,
        port: u16,
        method: &str,
        path: &str,
        body: &str,
    ) -> Result<(u16, String)> {
        let bearer = format!("Authorization: Bearer {}", self.token("operator")?);
        let mut curl = Command::new("curl");
        curl.args(["-s", "-S", "-m", "20", "--cacert", &self.path("ca.pem"), "-H", &bearer]);
        curl.args(["-H", "Content-Type: application/json", "-X", method, "-d", body]);
        curl.args(["-w", "\n%{http_code}", &format!("https://127.0.0.1:{port}{path}")]);
        let text = said(curl.output().context("cannot run curl")?)?;
        let (body, status) = text.rsplit_once('\n').context("curl says no status")?;
        Ok((status.trim().parse().context("curl's status")?, body.to_owned()))
    }
}

fn said(output: Output) -> Result<String> {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{}{}", text.trim(), errors.trim());
    Ok(text)
}

/// Makes everything; fine when it is there already. It appears under its name when it is complete.
pub(super) fn make(layout: &Layout, progress: &Progress) -> Result<()> {
    if of(layout).is_some() {
        return Ok(());
    }
    ensure!(
        Server::all().into_iter().all(|server| !layout.home(server).exists()),
        "this stack is not a secure one: `stack up --secure --fresh` begins anew"
    );
    install::packages(progress)?;
    let (complete, partial) = (layout.folder().join("secure"), layout.folder().join("secure.new"));
    if partial.exists() {
        fs::remove_dir_all(&partial).context("cannot delete a broken-off attempt")?;
    }
    fs::create_dir_all(&partial).context("cannot create the stack's folder")?;
    let new = Secure { folder: partial.clone() };
    for ca in ["ca", "other-ca"] {
        new.authority(ca)?;
    }
    new.certificate("server", "ca", None)?;
    new.certificate("client", "ca", None)?;
    new.certificate("other", "other-ca", None)?;
    new.certificate("expired", "ca", Some("-10d"))?;
    // The databases show a copy, so that a test can let them show another one for a while.
    for end in ["pem", "key"] {
        fs::copy(new.path(&format!("server.{end}")), new.path(&format!("shown.{end}")))?;
    }
    new.openssl(None, &["rand", "-out", &new.path("token.key"), "32"])?;
    for role in ROLES {
        fs::write(new.path(&format!("{role}.token")), new.signed(role)?)?;
    }
    fs::write(new.path("redis.password"), REDIS_PASSWORD)?;
    let users = USERS.replace("{{operator}}", OPERATOR_PASSWORD);
    fs::write(new.path("users.acl"), users.replace("{{password}}", REDIS_PASSWORD))?;
    fs::rename(&partial, &complete).context("cannot put the certificates in their place")?;
    progress.say("secure", "made certificates, passwords and tokens");
    Ok(())
}

impl Secure {
    fn openssl(&self, at: Option<&str>, args: &[&str]) -> Result<()> {
        let openssl = program("openssl")?;
        let mut command = match at {
            Some(time) => {
                let mut command = Command::new(program("faketime")?);
                command.args(["-f", time]).arg(openssl);
                command
            }
            None => Command::new(openssl),
        };
        let output = command.args(args).output().context("cannot run openssl")?;
        said(output).with_context(|| format!("openssl {}", args.join(" "))).map(drop)
    }

    fn key(&self, name: &str) -> Result<String> {
        let key = self.path(&format!("{name}.key"));
        let curve = ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"];
        self.openssl(None, &[&["genpkey", "-out", &key], &curve[..]].concat())?;
        Ok(key)
    }

    fn authority(&self, name: &str) -> Result<()> {
        let (key, pem) = (self.key(name)?, self.path(&format!("{name}.pem")));
        let subject = format!("/CN=stack {name}");
        let about = ["-new", "-x509", "-days", "3650", "-subj", &subject];
        self.openssl(None, &[&["req", "-key", &key, "-out", &pem], &about[..]].concat())
    }

    /// For this machine's address and no name; made now or at another time, for five years or, if
    /// made in the past, for a day.
    fn certificate(&self, name: &str, ca: &str, at: Option<&str>) -> Result<()> {
        let key = self.key(name)?;
        let path = |of: &str, end: &str| self.path(&format!("{of}.{end}"));
        let (request, extensions) = (path(name, "csr"), path(name, "ext"));
        fs::write(&extensions, "subjectAltName=IP:127.0.0.1\nbasicConstraints=CA:FALSE\n")?;
        let subject = format!("/CN=stack {name}");
        self.openssl(None, &["req", "-new", "-key", &key, "-subj", &subject, "-out", &request])?;
        let (ca_pem, ca_key, out) = (path(ca, "pem"), path(ca, "key"), path(name, "pem"));
        let days = if at.is_some() { "1" } else { "1825" };
        let by = ["-CA", &ca_pem, "-CAkey", &ca_key, "-CAcreateserial", "-days", days];
        let what = ["x509", "-req", "-in", &request, "-extfile", &extensions, "-out", &out];
        self.openssl(at, &[&what[..], &by].concat())
    }

    /// A token of the role, signed with the broker's key.
    fn signed(&self, role: &str) -> Result<String> {
        let head = self.base64(br#"{"alg":"HS256","typ":"JWT"}"#)?;
        let body = self.base64(format!(r#"{{"sub":"{role}"}}"#).as_bytes())?;
        let signed = format!("{head}.{body}");
        let key = fs::read(self.path("token.key")).context("the token's key")?;
        let hex: String = key.iter().map(|b| format!("{b:02x}")).collect();
        let (plain, mac) = (self.path("token.txt"), self.path("token.mac"));
        fs::write(&plain, &signed)?;
        let how = ["dgst", "-sha256", "-mac", "HMAC", "-macopt", &format!("hexkey:{hex}")];
        self.openssl(None, &[&how[..], &["-binary", "-out", &mac, &plain]].concat())?;
        let mac = fs::read(&mac).context("the token's signature")?;
        Ok(format!("{signed}.{}", self.base64(&mac)?))
    }

    /// As tokens write it: without padding, and safe in a URL.
    fn base64(&self, bytes: &[u8]) -> Result<String> {
        let (from, to) = (self.path("base64.in"), self.path("base64.out"));
        fs::write(&from, bytes)?;
        self.openssl(None, &["base64", "-A", "-in", &from, "-out", &to])?;
        let text = fs::read_to_string(&to).context("base64")?;
        if text.is_empty() {
            bail!("openssl made no base64");
        }
        Ok(text.trim().trim_end_matches('=').replace('+', "-").replace('/', "_"))
    }
}
