//! Apache Pulsar: one real broker with one real bookie, started from its jars.
//!
//! The namespace is made here, with a retention that bounds how much a machine keeps; topics and
//! subscriptions are the product's own business.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use super::layout::{Layout, Server};
use super::proc::{self, Launch};
use super::tools::Tools;
use super::{net, secure};

/// The namespace of the product's topics.
pub(super) const NAMESPACE: &str = "public/sluice";

/// From start to the first healthy answer; recovery of a long journal included.
const LIMIT: Duration = Duration::from_secs(120);

const STANDALONE_CONF: &str = include_str!("../../../deploy/native/pulsar/standalone.conf");
const SECURE_CONF: &str = include_str!("../../../deploy/native/secure/standalone.conf");
const LOG4J2_XML: &str = include_str!("../../../deploy/native/pulsar/log4j2.xml");

const FORGET_DEAD_BOOKIE: &str =
    include_str!("../../../deploy/native/pulsar/ForgetDeadBookie.java");

/// Memory, and what Pulsar's own start script passes to the Java machine.
const JAVA_FLAGS: [&str; 13] = [
    "-Xms512m",
    "-Xmx1g",
    "-XX:MaxDirectMemorySize=1g",
    "-Dio.netty.tryReflectionSetAccessible=true",
    "-Dbookkeeper.metadata.bookie.drivers=\
     org.apache.pulsar.metadata.bookkeeper.PulsarMetadataBookieDriver",
    "-Dbookkeeper.metadata.client.drivers=\
     org.apache.pulsar.metadata.bookkeeper.PulsarMetadataClientDriver",
    "--add-opens=java.base/java.nio=ALL-UNNAMED",
    "--add-opens=java.base/jdk.internal.misc=ALL-UNNAMED",
    "--add-opens=java.base/sun.net=ALL-UNNAMED",
    "--add-opens=java.base/java.lang=ALL-UNNAMED",
    "--add-opens=java.management/sun.management=ALL-UNNAMED",
    "--add-opens=jdk.management/com.sun.management.internal=ALL-UNNAMED",
    "--add-opens=java.base/jdk.internal.platform=ALL-UNNAMED",
];

/// How the broker is started.
pub(super) fn launch(layout: &Layout, tools: &Tools) -> Launch {
    let home = layout.home(Server::Pulsar);
    let path = |name: &str| home.join(name).display().to_string();
    let mut args = JAVA_FLAGS.map(str::to_owned).to_vec();
    args.push(format!("-Dlog4j2.configurationFile={}", path("log4j2.xml")));
    args.extend(["-cp".to_owned(), format!("{}/*", tools.pulsar_lib.display())]);
    args.push("org.apache.pulsar.PulsarStandaloneStarter".to_owned());
    for (flag, value) in [
        ("--config", path("standalone.conf")),
        ("--metadata-dir", path("data/metadata")),
        ("--bookkeeper-dir", path("data/bookkeeper")),
        ("--bookkeeper-port", layout.bookie_port().to_string()),
        ("-a", "127.0.0.1".to_owned()),
    ] {
        args.extend([flag.to_owned(), value]);
    }
    // No functions worker, no stream storage: the product uses neither.
    args.extend(["-nfw".to_owned(), "-nss".to_owned()]);
    Launch { program: tools.java.clone(), args }
}

/// Writes the broker's configuration into its folder and removes what a kill left behind.
pub(super) fn prepare(layout: &Layout, tools: &Tools) -> Result<()> {
    let home = layout.home(Server::Pulsar);
    fs::create_dir_all(&home).with_context(|| format!("cannot create {}", home.display()))?;
    fs::write(home.join("standalone.conf"), conf(layout))
        .context("cannot write standalone.conf")?;
    fs::write(home.join("log4j2.xml"), LOG4J2_XML).context("cannot write log4j2.xml")?;
    forget_dead_bookie(&home, tools)
}

fn conf(layout: &Layout) -> String {
    let mut conf = STANDALONE_CONF.to_owned();
    if let Some(secure) = secure::of(layout) {
        let plain = |line: &&str| !line.contains("_port}}");
        conf = conf.lines().filter(plain).collect::<Vec<_>>().join("\n");
        conf.push('\n');
        conf.push_str(&SECURE_CONF.replace("{{folder}}", secure.path("").trim_end_matches('/')));
    }
    conf.replace("{{broker_port}}", &layout.port(Server::Pulsar).to_string())
        .replace("{{web_port}}", &layout.pulsar_admin_port().to_string())
}

/// Deletes the registration of a bookie that was killed; why is told in the Java file. A second
/// of work, and nothing to do before the first start.
fn forget_dead_bookie(home: &Path, tools: &Tools) -> Result<()> {
    let metadata = home.join("data/metadata");
    if !metadata.join("CURRENT").exists() {
        return Ok(());
    }
    let source = home.join("ForgetDeadBookie.java");
    fs::write(&source, FORGET_DEAD_BOOKIE).context("cannot write ForgetDeadBookie.java")?;
    let output = Command::new(&tools.java)
        .args(["-Xmx128m", "-XX:TieredStopAtLevel=1", "-cp"])
        .arg(format!("{}/*", tools.pulsar_lib.display()))
        .arg(&source)
        .arg(&metadata)
        .output()
        .context("cannot run java")?;
    ensure!(
        output.status.success(),
        "the dead bookie's registration cannot be deleted: {}",
        proc::last_lines(&String::from_utf8_lossy(&output.stderr), 10)
    );
    Ok(())
}

/// Waits until the broker calls itself healthy and has the namespace.
pub(super) fn wait_ready(layout: &Layout) -> Result<()> {
    let port = layout.pulsar_admin_port();
    proc::wait_until(layout, Server::Pulsar, LIMIT, || {
        let (status, body) = net::http(layout, port, ("GET", "/admin/v2/brokers/health"), "")?;
        ensure!(status == 200 && body.trim() == "ok", "the broker's health is {status} {body}");
        ensure_namespace(layout)
    })
}

/// A week, and little enough for a laptop's disk.
fn retention() -> Value {
    json!({"retentionTimeInMinutes": 10_080, "retentionSizeInMB": 2_048})
}

fn ensure_namespace(layout: &Layout) -> Result<()> {
    let namespace = format!("/admin/v2/namespaces/{NAMESPACE}");
    let policy = format!("{namespace}/retention");
    let (_, current) = net::http(layout, layout.pulsar_admin_port(), ("GET", &policy), "")?;
    if serde_json::from_str::<Value>(&current).is_ok_and(|found| found == retention()) {
        return Ok(());
    }
    // The tenant `public` is the broker's own work; until it is there, this fails and is repeated.
    create(layout, "PUT", &namespace, "")?;
    if secure::of(layout).is_some() {
        permit(layout, &namespace)?;
    }
    create(layout, "POST", &policy, &retention().to_string())
}

/// Who makes topics is an admin of the tenant; the product's services write and read.
fn permit(layout: &Layout, namespace: &str) -> Result<()> {
    let [_, deployer, service] = secure::ROLES;
    let (tenant, _) = NAMESPACE.split_once('/').context("tenant/namespace")?;
    let admins = json!({"adminRoles": [deployer], "allowedClusters": ["standalone"]});
    create(layout, "POST", &format!("/admin/v2/tenants/{tenant}"), &admins.to_string())?;
    let may = json!(["produce", "consume"]);
    create(layout, "POST", &format!("{namespace}/permissions/{service}"), &may.to_string())
}

/// A request that makes something; fine when it is there already.
fn create(layout: &Layout, method: &str, path: &str, body: &str) -> Result<()> {
    match net::http(layout, layout.pulsar_admin_port(), (method, path), body)? {
        (200..=299 | 409, _) => Ok(()),
        (status, text) => bail!("{method} {path} answered {status}: {text}"),
    }
}
