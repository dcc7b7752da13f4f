//! The programs that the stack runs.

use std::path::PathBuf;

use anyhow::Result;

use crate::jars;
use crate::programs::program;

/// Where they are, found once.
#[derive(Debug)]
pub(super) struct Tools {
    pub redis_server: PathBuf,
    pub redis_cli: PathBuf,
    pub mariadbd: PathBuf,
    pub mariadb: PathBuf,
    pub mariadb_install_db: PathBuf,
    pub java: PathBuf,
    pub pulsar_lib: PathBuf,
}

impl Tools {
    /// Looks for each of them.
    pub(super) fn find() -> Result<Self> {
        Ok(Self {
            redis_server: program("redis-server")?,
            redis_cli: program("redis-cli")?,
            mariadbd: program("mariadbd")?,
            mariadb: program("mariadb")?,
            mariadb_install_db: program("mariadb-install-db")?,
            java: program("java")?,
            pulsar_lib: jars::folder()?.join("lib"),
        })
    }
}
