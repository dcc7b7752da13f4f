//! Databases of one test alone, one on each server.

use anyhow::{Context, Result};
use runtime::unique::{RandomUnique, Unique};
use sea_orm::{ConnectionTrait, Database};

/// Two databases, number 1 on `mariadb-2`.
pub struct Own {
    /// Their URLs.
    pub urls: Vec<String>,
    admin: Vec<(String, String)>,
}

impl Own {
    /// Makes them.
    pub async fn create() -> Result<Self> {
        let stack = testkit::stack::config()?.store.databases;
        let (first, last) = (stack.first(), stack.last());
        let tag = RandomUnique::new().next();
        let mut own = Self { urls: Vec::new(), admin: Vec::new() };
        for (n, url) in first.into_iter().chain(last).enumerate() {
            let name = format!("sluice_test_{tag:x}_{n}");
            run(url, &format!("CREATE DATABASE {name}")).await?;
            let (server, _) = url.rsplit_once('/').context("a database URL has a name")?;
            own.urls.push(format!("{server}/{name}"));
            own.admin.push((url.clone(), name));
        }
        Ok(own)
    }

    /// Drops them.
    pub async fn drop_all(self) -> Result<()> {
        for (url, name) in self.admin {
            run(&url, &format!("DROP DATABASE {name}")).await?;
        }
        Ok(())
    }
}

async fn run(url: &str, sql: &str) -> Result<()> {
    let conn = Database::connect(url).await.context("run `cargo xtask stack up`")?;
    conn.execute_unprepared(sql).await.with_context(|| sql.to_owned())?;
    conn.close().await?;
    Ok(())
}
