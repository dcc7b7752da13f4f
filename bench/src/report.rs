//! The table and its JSON form.

use std::path::Path;

use anyhow::Result;
use serde::Serialize;

/// One measurement against its reference.
#[derive(Serialize)]
pub(crate) struct Row {
    name: &'static str,
    unit: &'static str,
    value: f64,
    reference: f64,
    ratio: f64,
    target: f64,
    meets: bool,
}

impl Row {
    pub fn new(
        name: &'static str,
        unit: &'static str,
        (value, reference): (f64, f64),
        target: f64,
    ) -> Self {
        let ratio = value / reference.max(f64::MIN_POSITIVE);
        Self { name, unit, value, reference, ratio, target, meets: ratio >= target }
    }
}

/// All rows of a run.
#[derive(Default, Serialize)]
pub(crate) struct Report {
    rows: Vec<Row>,
}

impl Report {
    pub fn add(&mut self, row: Row) {
        eprintln!("{}: {:.0} against {:.0}, {:.3}x", row.name, row.value, row.reference, row.ratio);
        self.rows.push(row);
    }

    pub fn print(&self) {
        println!("| row | unit | value | reference | ratio | target | meets |");
        println!("|---|---|---|---|---|---|---|");
        for r in &self.rows {
            println!(
                "| {} | {} | {:.0} | {:.0} | {:.2} | {:.2} | {} |",
                r.name,
                r.unit,
                r.value,
                r.reference,
                r.ratio,
                r.target,
                if r.meets { "yes" } else { "no" }
            );
        }
    }

    pub fn write(&self, to: &Path) -> Result<()> {
        if let Some(dir) = to.parent() {
            std::fs::create_dir_all(dir)?;
        }
        std::fs::write(to, serde_json::to_vec_pretty(self)?)?;
        Ok(())
    }
}
