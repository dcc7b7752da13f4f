//! Databases of one test alone, one on each server.

use anyhow::{Context, Result};
use runtime::unique::{RandomUnique, Unique};
use sea_orm::{
    ConnectOptions, ConnectionTrait, Database, DatabaseConnection, DbBackend, Statement,
};

/// Two databases, number 1 on `mariadb-2`.
pub struct Own {
    /// Their URLs.
    pub urls: Vec<String>,
    /// The stack's own URL and the name of each.
    admin: Vec<(String, String)>,
}

impl Own {
    /// Makes them.
    pub async fn create() -> Result<Self> {
        Self::create_as("").await
    }

    /// Makes them with more to say, as ` CHARACTER SET latin1`.
    pub async fn create_as(how: &str) -> Result<Self> {
        let stack = crate::stack::config()?.store.databases;
        let (first, last) = (stack.first(), stack.last());
        let tag = RandomUnique::new().next();
        let mut own = Self { urls: Vec::new(), admin: Vec::new() };
        for (n, url) in first.into_iter().chain(last).enumerate() {
            let name = format!("sluice_test_{tag:x}_{n}");
            run(url, &format!("CREATE DATABASE {name}{how}")).await?;
            let (_, old) = crate::mariadb::Server::of(url)?;
            own.urls.push(url.replacen(&format!("/{old}"), &format!("/{name}"), 1));
            own.admin.push((url.clone(), name));
        }
        Ok(own)
    }

    /// Runs a statement in database `n` of these.
    pub async fn sql(&self, n: usize, statement: &str) -> Result<()> {
        run(&self.urls[n], statement).await
    }

    /// Runs a statement as the administrator of the server of database `n`.
    pub async fn root(&self, n: usize, statement: &str) -> Result<()> {
        run(&self.root_url(n)?, statement).await
    }

    /// The first value that a query of the administrator answers, as text.
    pub async fn root_value(&self, n: usize, query: &str) -> Result<String> {
        let text = format!("SELECT CAST(({query}) AS CHAR) AS v");
        let conn = Database::connect(self.root_url(n)?).await?;
        let statement = Statement::from_string(DbBackend::MySql, text);
        let row = conn.query_one_raw(statement).await?.context("no row")?;
        conn.close().await?;
        Ok(row.try_get("", "v")?)
    }

    /// Kills all sessions of a user; how many there were.
    pub async fn kill_sessions(&self, n: usize, user: &str) -> Result<usize> {
        let conn = Database::connect(self.root_url(n)?).await?;
        let text = format!("SELECT id FROM information_schema.processlist WHERE user = '{user}'");
        let rows = conn.query_all_raw(Statement::from_string(DbBackend::MySql, text)).await?;
        for row in &rows {
            let id: i64 = row.try_get("", "id")?;
            // It may have ended by itself.
            let _ = conn.execute_unprepared(&format!("KILL CONNECTION {id}")).await;
        }
        conn.close().await?;
        Ok(rows.len())
    }

    /// A connection that has run this in a transaction which it does not end.
    pub async fn holds(&self, n: usize, statement: &str) -> Result<DatabaseConnection> {
        let mut options = ConnectOptions::new(&self.urls[n]);
        options.max_connections(1).sqlx_logging(false);
        let conn = Database::connect(options).await?;
        conn.execute_unprepared("SET autocommit = 0").await?;
        conn.execute_unprepared(statement).await?;
        Ok(conn)
    }

    fn root_url(&self, n: usize) -> Result<String> {
        self.url_as(n, "root")
    }

    /// The name of database `n`.
    pub fn name(&self, n: usize) -> &str {
        &self.admin[n].1
    }

    /// The URL of database `n` for another user than the product's.
    pub fn url_as(&self, n: usize, login: &str) -> Result<String> {
        let (_, place) = self.urls[n].split_once('@').context("user@host")?;
        Ok(format!("mysql://{login}@{place}"))
    }

    /// Drops them.
    pub async fn drop_all(self) -> Result<()> {
        for (url, name) in self.admin {
            // The product has no right to do this.
            let (_, place) = url.split_once('@').context("user@host")?;
            run(&format!("mysql://root@{place}"), &format!("DROP DATABASE {name}")).await?;
        }
        Ok(())
    }
}

/// Changes a SQLite database behind the product's back. Blocks the thread.
pub fn on_file(file: &std::path::Path, statement: &str) -> Result<()> {
    let url = format!("sqlite://{}", file.display());
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(run(&url, statement))
}

async fn run(url: &str, sql: &str) -> Result<()> {
    let conn = Database::connect(url).await.context("run `cargo xtask stack up`")?;
    conn.execute_unprepared(sql).await.with_context(|| sql.to_owned())?;
    conn.close().await?;
    Ok(())
}
