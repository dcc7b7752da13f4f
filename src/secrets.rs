//! The secrets of an embedded deployment: made once, kept in its data folder, filled in where the
//! configuration leaves them empty.

use std::path::Path;

use rand::Rng;
use serde::{Deserialize, Serialize};

use crate::config::Config;
use crate::exit::Exit;

/// The secrets of an embedded deployment, made once, kept in the data folder.
#[derive(Serialize, Deserialize)]
struct Secrets {
    identity_secret: String,
    hs256_secret: String,
    admin_token: String,
}

fn random_hex(bytes: usize) -> String {
    let mut rng = rand::rng();
    (0..bytes).map(|_| format!("{:02x}", rng.random::<u8>())).collect()
}

fn secrets_file(dir: &Path) -> std::path::PathBuf {
    dir.join("secrets.toml")
}

/// Fills the secrets that the configuration leaves empty from the data folder's file. Does
/// nothing where there is no embedded deployment.
pub(crate) fn fill(config: &mut Config) -> Result<(), Exit> {
    if !config.is_embedded() {
        return Ok(());
    }
    let file = secrets_file(&config.data_dir);
    let Ok(text) = std::fs::read_to_string(&file) else { return Ok(()) };
    let fail = |e: &dyn std::fmt::Display| {
        Exit::unavailable(format!("data folder: {}: {e}", file.display()))
    };
    let secrets: Secrets = toml::from_str(&text).map_err(|e| fail(&e.message()))?;
    let fill = |to: &mut String, from: String| {
        if to.is_empty() {
            *to = from;
        }
    };
    fill(&mut config.identity.secret, secrets.identity_secret);
    fill(&mut config.auth.hs256_secret, secrets.hs256_secret);
    fill(&mut config.admin.token, secrets.admin_token);
    let checked = runtime::config::check(config);
    checked.map_err(|e| Exit::usage(format!("with {}: {e}", file.display())))
}

/// Makes the secrets on the first start; the file is for its owner only.
pub(crate) fn make(dir: &Path) -> Result<(), Exit> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let file = secrets_file(dir);
    if file.exists() {
        return Ok(());
    }
    let secrets = Secrets {
        identity_secret: random_hex(32),
        hs256_secret: random_hex(32),
        admin_token: random_hex(16),
    };
    let fail = |e: &dyn std::fmt::Display| {
        Exit::unavailable(format!("data folder: {}: {e}", file.display()))
    };
    let text = toml::to_string(&secrets).map_err(|e| fail(&e))?;
    // Written whole or not at all: a kill in between must not leave half a secret.
    let half = dir.join("secrets.toml.new");
    let mut options = std::fs::OpenOptions::new();
    let opened = options.create(true).truncate(true).write(true).mode(0o600).open(&half);
    let mut out = opened.map_err(|e| fail(&e))?;
    out.write_all(text.as_bytes()).and_then(|()| out.sync_all()).map_err(|e| fail(&e))?;
    std::fs::rename(&half, &file).map_err(|e| fail(&e))
}
