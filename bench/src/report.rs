//! Results as people and programs read them: a table and JSON.

use std::fs;
use std::io;
use std::path::Path;

use serde_json::json;

use crate::figures::{Figure, Results, Unit};

/// The column that others are compared with.
pub const REFERENCE: &str = "rabbitmq";
/// The column of the machine's ceiling.
pub const CEILING: &str = "null";

/// The table: one line a figure, a column a broker, and beside each broker how it compares.
pub fn table(results: &Results, scenarios: &[String], brokers: &[String]) -> String {
    let mut lines = vec![header(brokers)];
    for scenario in scenarios {
        let Some(by_broker) = results.get(scenario) else {
            continue;
        };
        let mut shown: Vec<&Figure> = Vec::new();
        for figure in brokers
            .iter()
            .filter_map(|broker| by_broker.get(broker))
            .flat_map(|figures| &figures.figures)
        {
            if shown.iter().all(|other| other.name != figure.name) {
                shown.push(figure);
            }
        }
        for (index, figure) in shown.iter().enumerate() {
            let value = |broker: &str| {
                by_broker
                    .get(broker)
                    .and_then(|figures| figures.get(&figure.name))
            };
            let mut line = vec![
                if index == 0 {
                    scenario.clone()
                } else {
                    String::new()
                },
                figure.name.to_string(),
            ];
            for broker in brokers {
                line.push(value(broker).map_or("-".to_owned(), |value| figure.unit.show(value)));
                for other in [REFERENCE, CEILING]
                    .into_iter()
                    .filter(|other| compared(broker, other, brokers))
                {
                    line.push(ratio(figure.unit, value(broker), value(other)));
                }
            }
            lines.push(line);
        }
        for (broker, figures) in by_broker {
            for problem in &figures.problems {
                lines.push(vec![String::new(), format!("! {broker}: {problem}")]);
            }
        }
    }
    align(&lines)
}

fn compared(broker: &str, other: &str, brokers: &[String]) -> bool {
    broker != other && broker != CEILING && brokers.iter().any(|name| name == other)
        || broker == CEILING && other == REFERENCE && brokers.iter().any(|name| name == other)
}

fn header(brokers: &[String]) -> Vec<String> {
    let mut header = vec!["scenario".to_owned(), "figure".to_owned()];
    for broker in brokers {
        header.push(broker.clone());
        for other in [REFERENCE, CEILING]
            .into_iter()
            .filter(|other| compared(broker, other, brokers))
        {
            header.push(format!("/{other}"));
        }
    }
    header
}

fn ratio(_unit: Unit, value: Option<f64>, other: Option<f64>) -> String {
    match (value, other) {
        (Some(value), Some(other)) if other > 0.0 => {
            let ratio = value / other;
            if ratio >= 10.0 {
                format!("{ratio:.0} ×")
            } else {
                format!("{ratio:.2} ×")
            }
        }
        _ => "-".to_owned(),
    }
}

fn align(lines: &[Vec<String>]) -> String {
    let columns = lines.iter().map(Vec::len).max().unwrap_or_default();
    let width = |column: usize| {
        let whole = lines.iter().filter(|line| line.len() > 2);
        whole
            .filter_map(|line| line.get(column))
            .map(|cell| cell.chars().count())
            .max()
            .unwrap_or_default()
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for line in lines {
        for (column, cell) in line.iter().enumerate() {
            let padding = " ".repeat(widths[column].saturating_sub(cell.chars().count()));
            if column < 2 {
                text.push_str(cell);
                text.push_str(&padding);
            } else {
                text.push_str(&padding);
                text.push_str(cell);
            }
            text.push_str("  ");
        }
        text.truncate(text.trim_end().len());
        text.push('\n');
    }
    text
}

/// Reads what was written by an earlier run; nothing if there was none.
pub fn read_json(path: &Path) -> io::Result<Results> {
    let text = match fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Results::new()),
        text => text?,
    };
    let mut document: serde_json::Value = serde_json::from_str(&text)?;
    Ok(serde_json::from_value(document["results"].take())?)
}

/// Writes everything, with what is known of the machine.
pub fn write_json(path: &Path, results: &Results) -> io::Result<()> {
    let document = json!({ "machine": machine(), "results": results });
    fs::write(path, format!("{document:#}\n"))
}

fn machine() -> serde_json::Value {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let cpuinfo = read("/proc/cpuinfo");
    let model = cpuinfo
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .unwrap_or_default();
    json!({
        "cpu": model.trim_start_matches(['\t', ' ', ':']),
        "cores": std::thread::available_parallelism().map_or(0, |cores| cores.get()),
        "kernel": read("/proc/sys/kernel/osrelease").trim(),
        "load_average": read("/proc/loadavg").trim(),
    })
}
