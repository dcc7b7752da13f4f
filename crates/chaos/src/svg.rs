//! The plot of an endurance run: one page, nothing loaded from elsewhere.

use std::fmt::Write;

use crate::sample::Sample;

const WIDTH: f64 = 860.0;
const HEIGHT: f64 = 150.0;

/// One line of a plot.
struct Series {
    name: String,
    points: Vec<(f64, f64)>,
}

fn plot(title: &str, series: &[Series]) -> String {
    let all = || series.iter().flat_map(|s| &s.points);
    let right = all().map(|p| p.0).fold(1e-9, f64::max);
    let top = all().map(|p| p.1).fold(1e-9, f64::max);
    let mut out =
        format!("<h2>{title}</h2>\n<svg viewBox=\"0 0 {} {}\">\n", WIDTH + 190.0, HEIGHT + 24.0);
    let _ = writeln!(
        out,
        "<path class=axis d=\"M0 0V{HEIGHT}H{WIDTH}\"/><text x=4 y=12>{top:.0}</text>\
         <text x={} y={} text-anchor=end>{right:.0} min</text>",
        WIDTH,
        HEIGHT + 16.0
    );
    for (n, s) in series.iter().enumerate() {
        let hue = n * 360 / series.len().max(1);
        let points: Vec<String> = s
            .points
            .iter()
            .map(|(x, y)| format!("{:.1},{:.1}", x / right * WIDTH, HEIGHT * (1.0 - y / top)))
            .collect();
        let _ = writeln!(
            out,
            "<polyline style=\"stroke:hsl({hue} 70% 40%)\" points=\"{}\"/>\
             <text x={} y={} style=\"fill:hsl({hue} 70% 30%)\">{}</text>",
            points.join(" "),
            WIDTH + 8.0,
            12 + n * 13,
            s.name
        );
    }
    out.push_str("</svg>\n");
    out
}

fn one(samples: &[Sample], name: &str, value: impl Fn(&Sample) -> f64) -> Series {
    let points = samples.iter().map(|s| (s.minute, value(s))).collect();
    Series { name: name.to_owned(), points }
}

/// One series per process; minutes in which it did not run are left out.
fn processes(samples: &[Sample], value: fn(&crate::sample::ProcessUse) -> f64) -> Vec<Series> {
    let mut names: Vec<&str> =
        samples.iter().flat_map(|s| s.processes.iter().map(|p| p.name.as_str())).collect();
    names.sort_unstable();
    names.dedup();
    let of = |name: &str| {
        let points = samples
            .iter()
            .filter_map(|s| {
                s.processes.iter().find(|p| p.name == name).map(|p| (s.minute, value(p)))
            })
            .collect();
        Series { name: name.to_owned(), points }
    };
    names.into_iter().map(of).collect()
}

/// The whole page.
pub(crate) fn page(samples: &[Sample]) -> String {
    let mut out = String::from(
        "<!doctype html><meta charset=utf-8><title>Sluicegate: endurance</title><style>\
         body{font:14px sans-serif;max-width:1060px;margin:2em auto}text{font-size:11px}\
         .axis{stroke:#999;fill:none}polyline{fill:none;stroke-width:1.5}</style>\n\
         <h1>Endurance</h1>\n<p>Constant load, one fault a minute.</p>\n",
    );
    let memory = processes(samples, |p| p.memory_kib as f64 / 1024.0);
    out.push_str(&plot("Memory, MiB", &memory));
    out.push_str(&plot("Open file handles", &processes(samples, |p| p.handles as f64)));
    out.push_str(&plot("Live orders", &[one(samples, "live", |s| s.live_orders as f64)]));
    let per = |n: u64, s: &Sample| n as f64 / s.live_orders.max(1) as f64;
    let bytes = [
        one(samples, "Redis", |s| per(s.redis_bytes, s)),
        one(samples, "tables", |s| per(s.table_bytes, s)),
    ];
    out.push_str(&plot("Bytes per live order", &bytes));
    out.push_str(&plot("Redis keys", &[one(samples, "keys", |s| s.redis_keys as f64)]));
    let unfinished = [one(samples, "frames and rows", |s| s.unfinished as f64)];
    out.push_str(&plot("Unfinished work", &unfinished));
    out
}
