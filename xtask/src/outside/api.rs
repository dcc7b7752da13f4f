//! The OpenAPI document against a linter, and the product against the document: requests that the
//! document allows and requests that it does not, made from it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::product::{Product, output};
use crate::programs::program;
use crate::progress::Progress;
use crate::stack::layout;

const SCHEMATHESIS: &str = "schemathesis==4.32.5";
const SPECTRAL: &str = "@stoplight/spectral-cli@6.16.3";

/// Names that the document allows, then names that are there.
const CONFIGS: [(&str, &str); 2] = [
    ("any names", include_str!("schemathesis-any.toml")),
    ("the demo offer", include_str!("schemathesis-demo.toml")),
];

/// Whose routes, where, and what else is said.
const LISTENERS: [(&str, &[&str]); 2] = [
    ("buyers", &[]),
    // It takes longer than the tool waits; who calls it often gets 503, as the document says.
    ("operators", &["--exclude-operation-id", "operatorsRebuild"]),
];

/// The programs, installed where they are missing.
pub(super) struct Tools {
    folder: PathBuf,
    document: PathBuf,
}

impl Tools {
    pub(super) fn install(folder: &Path, progress: &Progress) -> Result<Self> {
        let tools = Self {
            folder: folder.to_owned(),
            document: layout::workspace_root().join("docs/openapi.json"),
        };
        if !tools.schemathesis().is_file() {
            progress.say("pip", &format!("installing {SCHEMATHESIS}"));
            let python = program("python3")?;
            run(Command::new(python).args(["-m", "venv"]).arg(folder.join("venv")))
                .context("python3 -m venv (the package python3-venv?)")?;
            run(Command::new(folder.join("venv/bin/pip")).args(["install", "-q", SCHEMATHESIS]))?;
        }
        if !tools.spectral().is_file() {
            progress.say("npm", &format!("installing {SPECTRAL}"));
            let mut npm = Command::new(program("npm")?);
            run(npm
                .args(["install", "--no-audit", "--no-fund", "--prefix"])
                .arg(folder)
                .arg(SPECTRAL))?;
        }
        Ok(tools)
    }

    fn schemathesis(&self) -> PathBuf {
        self.folder.join("venv/bin/st")
    }

    fn spectral(&self) -> PathBuf {
        self.folder.join("node_modules/.bin/spectral")
    }

    /// What the linter says of the document; anything at all is a failure.
    pub(super) fn lint(&self) -> Result<String> {
        let rules = self.folder.join("spectral.yaml");
        fs::write(&rules, include_str!("spectral.yaml")).context("cannot write the rules")?;
        let mut spectral = Command::new(self.spectral());
        let lint = spectral.args(["lint", "--fail-severity", "hint", "-r"]).arg(rules);
        run(lint.arg(&self.document))?;
        Ok("nothing to say".to_owned())
    }

    /// Everybody's routes with all names.
    pub(super) fn fuzz(&self, product: &Product, mut note: impl FnMut(&str, Result<String>)) {
        for (names, config) in CONFIGS {
            for (who, more) in LISTENERS {
                note(&format!("{who}, {names}"), self.requests(product, (who, more), config));
            }
        }
    }

    fn requests(
        &self,
        product: &Product,
        (who, more): (&str, &[&str]),
        config: &str,
    ) -> Result<String> {
        let file = self.folder.join("schemathesis.toml");
        fs::write(&file, config).context("cannot write a configuration")?;
        let (at, token) = match who {
            "buyers" => (product.gate, product.token("token of buyer")?),
            _ => (product.admin, product.token("operator's token")?),
        };
        let mut st = Command::new(self.schemathesis());
        st.current_dir(&self.folder).arg("--config-file").arg(file).arg("run").arg(&self.document);
        st.args(["--url", &format!("http://{at}"), "--include-tag", who]).args(more);
        st.args(["--header", &format!("Authorization: Bearer {token}")]);
        st.args(["--seed", "1", "--max-examples", "50", "--continue-on-failure", "--no-color"]);
        let text = run(&mut st)?;
        let cases = text.lines().find(|l| l.contains(" generated, "));
        cases.map(|l| l.trim().to_owned()).with_context(|| format!("it did nothing:\n{text}"))
    }
}

/// What a program says; an error when it is not content.
fn run(command: &mut Command) -> Result<String> {
    let (text, fine) = output(command)?;
    ensure!(fine, "{:?}:\n{text}", command.get_program());
    Ok(text)
}
