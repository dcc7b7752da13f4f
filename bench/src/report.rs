//! The table and its JSON form.

use std::path::Path;

use anyhow::Result;
use serde::Serialize;

use crate::load::Measured;

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
    /// What was measured at each size, the smallest first; the value is the last of them and the
    /// reference the one before.
    sizes: Vec<f64>,
    /// Processor time of gate (and writer) per order, over the reference's; where measured.
    cpu_ratio: Option<f64>,
}

impl Row {
    pub(crate) fn new(
        name: &'static str,
        unit: &'static str,
        (value, reference): (f64, f64),
        target: f64,
    ) -> Self {
        let ratio = value / reference.max(f64::MIN_POSITIVE);
        let meets = ratio >= target;
        let sizes = Vec::new();
        Self { name, unit, value, reference, ratio, target, meets, sizes, cpu_ratio: None }
    }

    /// A cost at growing sizes: the last over the one before, at most `target`.
    pub(crate) fn grown(
        name: &'static str,
        unit: &'static str,
        costs: &[f64],
        target: f64,
    ) -> Self {
        let of = |back: usize| costs.iter().rev().nth(back).copied().unwrap_or_default();
        let row = Self::new(name, unit, (of(0), of(1)), target);
        Self { meets: row.ratio <= target, sizes: costs.to_vec(), ..row }
    }

    /// From measurements of both sides.
    pub(crate) fn of(
        name: &'static str,
        unit: &'static str,
        (value, reference): (Measured, Measured),
        target: f64,
    ) -> Self {
        let cpu_ratio = Some(value.cpu_us / reference.cpu_us.max(0.01));
        Self { cpu_ratio, ..Self::new(name, unit, (value.rate, reference.rate), target) }
    }
}

/// All rows of a run.
#[derive(Default, Serialize)]
pub(crate) struct Report {
    rows: Vec<Row>,
}

impl Report {
    pub(crate) fn add(&mut self, row: Row) {
        eprintln!("{}: {:.0} against {:.0}, {:.3}x", row.name, row.value, row.reference, row.ratio);
        if !row.sizes.is_empty() {
            eprintln!("{}: at each size {:.0?}", row.name, row.sizes);
        }
        self.rows.push(row);
    }

    pub(crate) fn print(&self) {
        println!("| row | unit | value | reference | ratio | target | meets | cpu ratio |");
        println!("|---|---|---|---|---|---|---|---|");
        for r in &self.rows {
            let cpu = r.cpu_ratio.map_or_else(|| "-".to_owned(), |c| format!("{c:.2}"));
            println!(
                "| {} | {} | {:.0} | {:.0} | {:.2} | {:.2} | {} | {cpu} |",
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

    pub(crate) fn write(&self, to: &Path) -> Result<()> {
        if let Some(dir) = to.parent() {
            std::fs::create_dir_all(dir)?;
        }
        std::fs::write(to, serde_json::to_vec_pretty(self)?)?;
        Ok(())
    }
}
