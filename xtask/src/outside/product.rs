//! The product as outsiders' tools find it.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

/// The embedded product under test, on ports of its own; killed when dropped.
pub(super) struct Product {
    child: Child,
    log: PathBuf,
    pub gate: SocketAddr,
    pub admin: SocketAddr,
}

impl Product {
    pub(super) fn start(built: &Path, folder: &Path, base: u16) -> Result<Self> {
        let at = |offset: u16| SocketAddr::from((Ipv4Addr::LOCALHOST, base + offset));
        let (gate, admin, data) = (at(80), at(90), folder.join("data"));
        let _ = fs::remove_dir_all(&data);
        let path = folder.join("product.log");
        let log = fs::File::create(&path).context("cannot write a log")?;
        let child = Command::new(built.join("sluicegate"))
            .args(["dev", "--set", &format!("gate.listen={gate}")])
            .args(["--set", &format!("admin.listen={admin}"), "--data-dir"])
            .arg(data)
            .stdout(log.try_clone().context("cannot write a log")?)
            .stderr(log)
            .stdin(Stdio::null())
            .spawn()
            .context("cannot start the product")?;
        let mut product = Self { child, log: path, gate, admin };
        let until = Instant::now() + Duration::from_secs(30);
        while let Err(e) = product.ready() {
            let ended = product.child.try_wait().context("cannot wait for the product")?;
            ensure!(ended.is_none(), "the product ended; see target/outside/product.log");
            ensure!(Instant::now() < until, "the product is not ready: {e:#}");
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(product)
    }

    pub(super) fn ready(&self) -> Result<()> {
        get(self.admin, "/readyz").map(drop)
    }

    /// A token, as the product printed it when it started.
    pub(super) fn token(&self, of: &str) -> Result<String> {
        let log = fs::read_to_string(&self.log).context("cannot read the product's log")?;
        let line = log.lines().find(|l| l.trim_start().starts_with(of));
        let token = line.and_then(|l| l.split_whitespace().last()).map(str::to_owned);
        token.with_context(|| format!("the product printed no {of}"))
    }

    /// Open connections of the buyers' listener, as the product counts them.
    pub(super) fn connections(&self) -> Result<u32> {
        let text = get(self.admin, "/metrics")?;
        let line = text.lines().find_map(|l| l.strip_prefix("sluicegate_connections "));
        line.and_then(|n| n.trim().parse().ok()).context("no sluicegate_connections in /metrics")
    }
}

/// The answer to a GET, which must be 200.
pub(super) fn get(from: SocketAddr, path: &str) -> Result<String> {
    let mut stream = TcpStream::connect_timeout(&from, Duration::from_secs(5))?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let request = format!("GET {path} HTTP/1.1\r\nhost: t\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    ensure!(answer.starts_with("HTTP/1.1 200"), "GET {path}: {answer}");
    Ok(answer)
}

impl Drop for Product {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a program said, and whether it was content.
pub(super) fn output(command: &mut Command) -> Result<(String, bool)> {
    let out = command.stdin(Stdio::null()).output();
    let out = out.with_context(|| format!("cannot run {:?}", command.get_program()))?;
    let text = [out.stdout, out.stderr].concat();
    Ok((String::from_utf8_lossy(&text).into_owned(), out.status.success()))
}
