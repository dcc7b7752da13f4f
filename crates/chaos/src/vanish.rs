//! A writer that vanishes in the middle of a transaction: the server learns nothing of it and keeps
//! the locks until it loses patience with the session.

use std::time::{Duration, Instant};

use anyhow::Result;

use crate::deployment::{COPIES, Deployment};
use crate::occupied;
use crate::proxy::Mode;

/// What a piece takes longer while a transaction is looked for, so that there are more of them.
const SLOWLY: Duration = Duration::from_millis(10);
/// A server looks at its transactions no more often than every 100 ms.
const EVERY: Duration = Duration::from_millis(120);
/// How often somebody waited for a row's lock.
const WAITS: &str = "Innodb_row_lock_waits";
/// How long is looked.
const PATIENCE: Duration = Duration::from_secs(3);

impl Deployment {
    /// Stops the network of a writer until it is in the middle of a transaction that has locked
    /// rows, and lets it vanish then. It gets new connections at once; or it is killed, too.
    pub(crate) fn vanish(&mut self, pick: usize) -> Result<()> {
        let at = self.one_of("writer", pick)?;
        let reached: Vec<usize> = (0..self.mariadb.len())
            .filter(|s| self.mariadb[*s][at].mode() == Mode::Good)
            .filter(|s| self.server(*s).and_then(occupied::answers).is_ok())
            .collect();
        let until = Instant::now() + PATIENCE;
        let mut found = None;
        while found.is_none() && Instant::now() < until {
            reached.iter().for_each(|s| self.mariadb[*s][at].set(Mode::Delay(SLOWLY)));
            std::thread::sleep(EVERY);
            reached.iter().for_each(|s| self.mariadb[*s][at].set(Mode::HalfOpen));
            found = reached.iter().find_map(|s| Some((*s, self.locked(*s, at)?)));
        }
        if let Some((server, rows)) = found {
            let its = self.server(server)?;
            eprintln!("  process {} vanishes with {rows} rows locked on {}", at + 1, its.place());
            let waits = occupied::counter(&its.root(), WAITS).unwrap_or(0);
            self.mariadb[server][at].vanish();
            self.vanished = Some((server, waits));
        } else {
            eprintln!("  nobody vanished: no transaction was found");
        }
        reached.iter().for_each(|s| self.mariadb[*s][at].set(Mode::Good));
        if found.is_some() && pick / COPIES % 2 == 1 {
            eprintln!("  and is killed");
            self.kill("writer", pick)?;
        }
        Ok(())
    }

    /// Lets the servers know at last.
    pub(crate) fn bury(&mut self) {
        self.mariadb.iter().flatten().for_each(crate::proxy::Proxy::bury);
        if let Some((server, before)) = self.vanished.take()
            && let Ok(root) = self.server(server).map(testkit::mariadb::Server::root)
            && let Ok(waits) =
                occupied::answers(&root).and_then(|()| occupied::counter(&root, WAITS))
        {
            // A server that was started anew in between counts from 0.
            eprintln!("  {} times others waited for a lock", waits.saturating_sub(before));
        }
    }

    /// Rows that a process has locked on a server while it is the process's turn to speak.
    fn locked(&self, server: usize, process: usize) -> Option<u64> {
        let places = self.mariadb[server][process].places();
        // The empty one is nobody's.
        let places: Vec<String> =
            places.iter().map(|p| format!("'{p}'")).chain(["''".to_owned()]).collect();
        let ask = format!(
            "SELECT SUM(trx_rows_locked) FROM information_schema.innodb_trx t \
             JOIN information_schema.processlist p ON p.id = t.trx_mysql_thread_id \
             WHERE p.command = 'Sleep' AND p.host IN ({})",
            places.join(",")
        );
        let answer = self.server(server).ok()?.root().sql(&ask);
        answer.ok()?.trim().parse().ok().filter(|rows| *rows > 0)
    }
}
