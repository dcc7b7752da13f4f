//! Two kinds of plots as inline SVG: a line over time and a histogram. Pure.
//!
//! Colours come from the page's CSS variables, so that a plot follows light and dark. Every mark
//! has a `<title>`, which browsers show as a tooltip; no script.

use std::fmt::Write as _;

const WIDTH: f64 = 520.0;
const HEIGHT: f64 = 240.0;
const LEFT: f64 = 56.0;
const RIGHT: f64 = 12.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 34.0;

/// The upper end of an axis and the distance of its ticks: 1, 2 or 5 times a power of ten.
pub(crate) fn nice(max: f64) -> (f64, f64) {
    let max = if max > 0.0 { max } else { 1.0 };
    let raw = max / 5.0;
    let power = 10f64.powf(raw.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].map(|m| m * power).into_iter().find(|s| *s >= raw);
    let step = step.unwrap_or(power * 10.0);
    ((max / step).ceil() * step, step)
}

/// `1500` as `1.5k`.
pub(crate) fn short(n: f64) -> String {
    let text = |v: f64, unit: &str| {
        let digits = usize::from((v * 10.0).round() % 10.0 != 0.0);
        format!("{v:.digits$}{unit}")
    };
    match n.abs() {
        a if a >= 1e6 => text(n / 1e6, "M"),
        a if a >= 1e3 => text(n / 1e3, "k"),
        a if a < 1.0 && a > 0.0 => format!("{n:.2}"),
        _ => text(n, ""),
    }
}

struct Frame {
    x_max: f64,
    y_max: f64,
}

impl Frame {
    fn x(&self, v: f64) -> f64 {
        LEFT + v / self.x_max * (WIDTH - LEFT - RIGHT)
    }
    fn y(&self, v: f64) -> f64 {
        HEIGHT - BOTTOM - v / self.y_max * (HEIGHT - TOP - BOTTOM)
    }
    fn open(&self, label: &str, y_step: f64) -> String {
        let mut out =
            format!("<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{label}\">");
        let mut tick = 0.0;
        while tick <= self.y_max + y_step / 2.0 {
            let y = self.y(tick);
            let _ = write!(
                out,
                "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{:.1}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\
                 <text class=\"tick\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                WIDTH - RIGHT,
                LEFT - 6.0,
                y + 4.0,
                short(tick),
            );
            tick += y_step;
        }
        out
    }
    fn x_tick(&self, out: &mut String, at: f64, text: &str) {
        let _ = write!(
            out,
            "<text class=\"tick\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{text}</text>",
            at,
            HEIGHT - BOTTOM + 18.0,
        );
    }
}

/// A line with its area over seconds. `maxima` are those of the axes, so that two plots side by
/// side can share them.
pub(crate) fn line(label: &str, class: &str, points: &[(f64, f64)], maxima: (f64, f64)) -> String {
    let ((x_max, x_step), (y_max, y_step)) = (nice(maxima.0), nice(maxima.1));
    let frame = Frame { x_max: maxima.0.max(x_max.min(maxima.0 * 1.02)).max(0.001), y_max };
    let mut out = frame.open(label, y_step);
    let mut tick = 0.0;
    while tick <= frame.x_max {
        frame.x_tick(&mut out, frame.x(tick), &format!("{} s", short(tick)));
        tick += x_step;
    }
    if let (Some(first), Some(last)) = (points.first(), points.last()) {
        let path: String = points
            .iter()
            .zip(0u32..)
            .map(|((x, y), i)| {
                let verb = if i == 0 { 'M' } else { 'L' };
                format!("{verb}{:.1} {:.1}", frame.x(*x), frame.y(*y))
            })
            .collect();
        let floor = frame.y(0.0);
        let (from, to) = (frame.x(first.0), frame.x(last.0));
        let _ = write!(
            out,
            "<path class=\"area {class}\" d=\"{path}L{to:.1} {floor:.1}L{from:.1} {floor:.1}Z\"/>\
             <path class=\"line {class}\" d=\"{path}\"/>"
        );
        for (x, y) in points {
            let _ = write!(
                out,
                "<circle class=\"hit\" cx=\"{:.1}\" cy=\"{:.1}\" r=\"5\">\
                 <title>{x:.1} s: {y:.0}/s</title></circle>",
                frame.x(*x),
                frame.y(*y),
            );
        }
    }
    out + "</svg>"
}

/// One bar of a histogram.
pub(crate) struct Bar {
    /// Under the axis; empty for none.
    pub tick: String,
    /// The tooltip.
    pub title: String,
    pub count: u64,
}

/// Bars side by side.
pub(crate) fn histogram(label: &str, bars: &[Bar]) -> String {
    let most = bars.iter().map(|b| b.count).max().unwrap_or(0);
    let (y_max, y_step) = nice(most as f64);
    let frame = Frame { x_max: bars.len().max(1) as f64, y_max };
    let mut out = frame.open(label, y_step);
    for (i, bar) in bars.iter().enumerate() {
        let (left, right) = (frame.x(i as f64) + 1.0, frame.x(i as f64 + 1.0) - 1.0);
        let top = frame.y(bar.count as f64);
        let _ = write!(
            out,
            "<rect class=\"bar\" x=\"{left:.1}\" y=\"{top:.1}\" width=\"{:.1}\" height=\"{:.1}\" \
             rx=\"2\"><title>{}</title></rect>",
            (right - left).max(1.0),
            (frame.y(0.0) - top).max(0.0),
            bar.title,
        );
        if !bar.tick.is_empty() {
            frame.x_tick(&mut out, left, &bar.tick);
        }
    }
    out + "</svg>"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_end_on_round_numbers() {
        assert_eq!(nice(1834.0), (2000.0, 500.0));
        assert_eq!(nice(5.0), (5.0, 1.0));
        assert_eq!(nice(0.0).0, 1.0);
        assert_eq!(
            (short(1500.0), short(2e6), short(10.0), short(0.25)),
            ("1.5k".into(), "2M".into(), "10".into(), "0.25".into())
        );
    }

    #[test]
    fn plots_are_whole_also_without_data() {
        for svg in [line("l", "a", &[], (0.0, 0.0)), histogram("h", &[])] {
            assert!(svg.starts_with("<svg") && svg.ends_with("</svg>"));
            assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
        }
        let svg = line("l", "a", &[(0.5, 10.0), (1.0, 20.0)], (1.0, 20.0));
        assert!(svg.contains("class=\"line a\"") && svg.contains("1.0 s: 20/s"));
    }
}
