//! A database that loses its last commits, as after a failover to a replica that was behind, and
//! the operator who rewinds it.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::deployment::{DATABASES, Deployment};

/// How long an operator goes on.
const PATIENCE: Duration = Duration::from_secs(120);
/// Since so long before the copy: what waited then is behind it.
const BEFORE: u64 = 60;

/// A database of which there is a copy.
pub(crate) struct Lost {
    db: usize,
    copy: String,
    /// When it was copied, s since 1970.
    since: u64,
    /// The copy has taken the place of the database.
    put_back: bool,
}

impl Deployment {
    /// Copies a database. One whose server another fault keeps away loses nothing this time.
    pub(crate) fn copy(&mut self, pick: usize) -> Result<()> {
        let db = pick % DATABASES;
        let (server, name) = self.databases.get(db).context("a database")?;
        let copy = format!("{name}_copy");
        let since = runtime::clock::system_clock().now_ms() / 1000 - BEFORE;
        match server.copy(name, &copy) {
            Ok(()) => self.lost.push(Lost { db, copy, since, put_back: false }),
            Err(e) => eprintln!("  not copied: {e:#}"),
        }
        Ok(())
    }

    /// The database has what its copy has; later, if its server is away now.
    pub(crate) fn lose(&mut self, pick: usize) {
        let db = pick % DATABASES;
        for i in 0..self.lost.len() {
            if self.lost[i].db == db
                && let Err(e) = self.put_back(i)
            {
                eprintln!("  put back later: {e:#}");
            }
        }
    }

    fn put_back(&mut self, at: usize) -> Result<()> {
        let Lost { db, copy, put_back, .. } = &mut self.lost[at];
        let (server, name) = &self.databases[*db];
        if !*put_back {
            server.put_back(name, copy)?;
            *put_back = true;
        }
        Ok(())
    }

    /// What an operator does once everything works again: `reconciler rewind`, until it says that
    /// nothing is left.
    pub(crate) fn rewind(&mut self) -> Result<()> {
        for at in 0..self.lost.len() {
            let until = Instant::now() + PATIENCE;
            while let Err(e) = self.put_back(at).and_then(|()| self.rewind_one(at)) {
                ensure!(Instant::now() < until, "{e:#}");
                std::thread::sleep(Duration::from_secs(1));
            }
        }
        self.lost.clear();
        Ok(())
    }

    fn rewind_one(&self, at: usize) -> Result<()> {
        let Lost { db, since, .. } = &self.lost[at];
        let since = rfc3339(*since)?;
        let db = db.to_string();
        let args = ["reconciler", "rewind", "--database", &db, "--since", &since];
        let out = self.command(&args).output()?;
        let said = [out.stdout, out.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        ensure!(out.status.success(), "rewind of database {db}: {said}");
        eprintln!("  database {db}: {}", said.lines().next().unwrap_or_default());
        Ok(())
    }
}

fn rfc3339(seconds: u64) -> Result<String> {
    let at = format!("@{seconds}");
    let out = std::process::Command::new("date").args(["-u", "-d", &at, "+%FT%TZ"]).output()?;
    Ok(String::from_utf8_lossy(&out.stdout).trim().to_owned())
}
