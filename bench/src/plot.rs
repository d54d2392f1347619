//! Results as pictures: SVG, written by hand, readable on light and dark pages.
//!
//! `bars` shows each scenario's first figure as a multiple of the reference broker; `curves` shows
//! how a figure grows with a size. Both have logarithmic axes, since brokers differ by powers of ten.

use std::fmt::Write;

use crate::figures::{Figure, Results};
use crate::report::{CEILING, REFERENCE};

const WIDTH: f64 = 960.0;
const LEFT: f64 = 290.0;
const RIGHT: f64 = 90.0;
const TOP: f64 = 64.0;
const BAR: f64 = 11.0;
const GAP: f64 = 12.0;
const CURVE_HEIGHT: f64 = 240.0;

/// The same broker has the same colour in every picture.
fn colour(broker: &str) -> &'static str {
    const OTHERS: [&str; 4] = ["#2e9e6b", "#a45bd1", "#c9a227", "#c2476b"];
    match broker {
        "warren" => "#2f6fdb",
        REFERENCE => "#e07b39",
        CEILING => "#9aa3af",
        other => OTHERS[other.bytes().map(usize::from).sum::<usize>() % OTHERS.len()],
    }
}

/// A logarithmic axis from pixel to pixel.
struct LogAxis {
    low: f64,
    high: f64,
    from: f64,
    to: f64,
}

impl LogAxis {
    /// Whole powers of ten around the values.
    fn around(values: impl Iterator<Item = f64>, from: f64, to: f64) -> Option<LogAxis> {
        let values: Vec<f64> = values
            .filter(|value| *value > 0.0 && value.is_finite())
            .collect();
        let low = values.iter().copied().reduce(f64::min)?.log10().floor();
        let high = values.iter().copied().reduce(f64::max)?.log10().ceil();
        Some(LogAxis {
            low,
            high: high.max(low + 1.0),
            from,
            to,
        })
    }

    fn place(&self, value: f64) -> f64 {
        let share = (value.log10() - self.low) / (self.high - self.low);
        self.from + share.clamp(0.0, 1.0) * (self.to - self.from)
    }

    fn powers(&self) -> impl Iterator<Item = f64> {
        (self.low as i32..=self.high as i32).map(|power| 10f64.powi(power))
    }
}

/// Multiples of the reference, longer is better; `None` without a reference to compare with.
pub fn bars(results: &Results, scenarios: &[String], brokers: &[String]) -> Option<String> {
    let others: Vec<&String> = brokers
        .iter()
        .filter(|broker| *broker != REFERENCE)
        .collect();
    let mut rows = Vec::new();
    for scenario in scenarios {
        let Some(by_broker) = results.get(scenario) else {
            continue;
        };
        let Some(first) = by_broker
            .get(REFERENCE)
            .and_then(|figures| figures.figures.first())
        else {
            continue;
        };
        let gain = |broker: &&String| {
            let value = by_broker
                .get(*broker)
                .and_then(|figures| figures.get(&first.name))?;
            Some(if first.unit.more_is_better() {
                value / first.value
            } else {
                first.value / value
            })
        };
        let gains: Vec<Option<f64>> = others.iter().map(gain).collect();
        if first.at.is_none()
            && gains
                .iter()
                .flatten()
                .any(|gain| *gain > 0.0 && gain.is_finite())
        {
            rows.push((format!("{scenario}: {}", first.name), gains));
        }
    }
    let all = rows
        .iter()
        .flat_map(|(_, gains)| gains.iter().flatten().copied());
    let axis = LogAxis::around(all.chain([1.0]), LEFT, WIDTH - RIGHT)?;
    if rows.is_empty() {
        return None;
    }
    let row_height = others.len() as f64 * BAR + GAP;
    let bottom = TOP + rows.len() as f64 * row_height;
    let mut svg = open(
        bottom + 24.0,
        &format!("times as good as {REFERENCE} (logarithmic)"),
    );
    legend(&mut svg, &others);
    for power in axis.powers() {
        let x = axis.place(power);
        let class = if power == 1.0 { "axis" } else { "grid" };
        line(&mut svg, class, (x, TOP - 6.0), (x, bottom));
        text(
            &mut svg,
            "middle",
            (x, bottom + 16.0),
            &format!("{power} ×"),
        );
    }
    for (row, (name, gains)) in rows.iter().enumerate() {
        let y = TOP + row as f64 * row_height;
        text(&mut svg, "end", (LEFT - 8.0, y + row_height / 2.0), name);
        for (index, (gain, broker)) in gains.iter().zip(&others).enumerate() {
            let Some(gain) = gain.filter(|gain| *gain > 0.0) else {
                continue;
            };
            let (one, end) = (axis.place(1.0), axis.place(gain));
            let (x, width) = (one.min(end), (end - one).abs().max(1.0));
            let top = y + index as f64 * BAR;
            let height = BAR - 1.0;
            let colour = colour(broker);
            let _ = writeln!(
                svg,
                r#"<rect x="{x:.1}" y="{top:.1}" width="{width:.1}" height="{height}" fill="{colour}"/>"#
            );
            let digits = if gain < 10.0 { 1 } else { 0 };
            text(
                &mut svg,
                "start",
                (one.max(end) + 4.0, top + BAR - 2.0),
                &format!("{gain:.digits$} ×"),
            );
        }
    }
    Some(close(svg))
}

/// One chart for each scenario whose figures depend on a size.
pub fn curves(results: &Results, scenarios: &[String], brokers: &[String]) -> Option<String> {
    let is_curve = |scenario: &&String| {
        results.get(*scenario).is_some_and(|by_broker| {
            by_broker
                .values()
                .flat_map(|figures| &figures.figures)
                .any(|figure| figure.at.is_some())
        })
    };
    let scenarios: Vec<&String> = scenarios.iter().filter(is_curve).collect();
    if scenarios.is_empty() {
        return None;
    }
    let has_curve = |broker: &&String| {
        let of = |scenario: &&String| results.get(*scenario)?.get(*broker);
        let figures = scenarios.iter().filter_map(of);
        let mut figures = figures.flat_map(|figures| &figures.figures);
        figures.any(|figure| figure.at.is_some())
    };
    let all: Vec<&String> = brokers.iter().filter(has_curve).collect();
    let block = CURVE_HEIGHT + 70.0;
    let mut svg = open(
        TOP + scenarios.len() as f64 * block,
        "CPU seconds of the broker for a million messages, as something grows (logarithmic)",
    );
    legend(&mut svg, &all);
    for (index, scenario) in scenarios.iter().enumerate() {
        curve(
            &mut svg,
            results,
            scenario,
            &all,
            TOP + index as f64 * block + 24.0,
        );
    }
    Some(close(svg))
}

fn curve(svg: &mut String, results: &Results, scenario: &str, brokers: &[&String], top: f64) {
    let points = |broker: &str| -> Vec<(f64, &Figure)> {
        let figures = results
            .get(scenario)
            .and_then(|by_broker| by_broker.get(broker));
        let figures = figures.iter().flat_map(|figures| &figures.figures);
        figures
            .filter_map(|figure| Some((figure.at?, figure)))
            .filter(|(_, figure)| figure.value > 0.0)
            .collect()
    };
    let all: Vec<(f64, &Figure)> = brokers.iter().flat_map(|broker| points(broker)).collect();
    let (left, right, bottom) = (LEFT, WIDTH - RIGHT, top + CURVE_HEIGHT);
    let Some(across) = LogAxis::around(all.iter().map(|(at, _)| *at), left, right) else {
        return;
    };
    let Some(up) = LogAxis::around(all.iter().map(|(_, figure)| figure.value), bottom, top) else {
        return;
    };
    text(svg, "start", (8.0, top), scenario);
    for power in across.powers() {
        let x = across.place(power);
        line(svg, "grid", (x, top), (x, bottom));
        text(svg, "middle", (x, bottom + 16.0), &format!("{power}"));
    }
    for power in up.powers() {
        let y = up.place(power);
        line(svg, "grid", (left, y), (right, y));
        let unit = all[0].1.unit;
        text(svg, "end", (left - 6.0, y + 4.0), &unit.show(power));
    }
    for broker in brokers {
        let colour = colour(broker);
        let path: Vec<String> = points(broker)
            .iter()
            .map(|(at, figure)| format!("{:.1},{:.1}", across.place(*at), up.place(figure.value)))
            .collect();
        let path = path.join(" ");
        let _ = writeln!(
            svg,
            r#"<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>"#
        );
    }
}

fn open(height: f64, title: &str) -> String {
    let mut svg = format!(
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" font-size="11">
<style>
rect.page {{ fill: #fff }} text {{ fill: #222 }} .grid {{ stroke: #ddd }} .axis {{ stroke: #555 }}
@media (prefers-color-scheme: dark) {{
rect.page {{ fill: #16181d }} text {{ fill: #ddd }} .grid {{ stroke: #333 }} .axis {{ stroke: #aaa }}
}}
</style>
<rect class="page" width="100%" height="100%"/>
"#
    );
    text(&mut svg, "start", (8.0, 20.0), title);
    svg
}

fn close(mut svg: String) -> String {
    svg.push_str("</svg>\n");
    svg
}

fn legend(svg: &mut String, brokers: &[&String]) {
    for (index, broker) in brokers.iter().enumerate() {
        let x = LEFT + index as f64 * 120.0;
        let colour = colour(broker);
        let _ = writeln!(
            svg,
            r#"<rect x="{x}" y="34" width="10" height="10" fill="{colour}"/>"#
        );
        text(svg, "start", (x + 16.0, 43.0), broker);
    }
}

fn line(svg: &mut String, class: &str, from: (f64, f64), to: (f64, f64)) {
    let _ = writeln!(
        svg,
        r#"<line class="{class}" x1="{:.1}" y1="{:.1}" x2="{:.1}" y2="{:.1}"/>"#,
        from.0, from.1, to.0, to.1
    );
}

fn text(svg: &mut String, anchor: &str, at: (f64, f64), content: &str) {
    let content = content.replace('&', "&amp;").replace('<', "&lt;");
    let _ = writeln!(
        svg,
        r#"<text x="{:.1}" y="{:.1}" text-anchor="{anchor}">{content}</text>"#,
        at.0, at.1
    );
}
