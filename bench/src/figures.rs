//! What a scenario found out: named figures with units.
//!
//! A figure's unit says how it is printed and whether more of it is better.

use std::borrow::Cow;
use std::collections::BTreeMap;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// A unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Events per second: more is better.
    PerSecond,
    /// Seconds: less is better.
    Seconds,
    /// Nanoseconds: less is better.
    Nanoseconds,
    /// Bytes: less is better.
    Bytes,
    /// A plain number: less is better.
    Count,
}

/// One figure.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Figure {
    /// What it is.
    pub name: Cow<'static, str>,
    /// In what.
    pub unit: Unit,
    /// How much.
    pub value: f64,
    /// Where on a curve: the size that it was measured at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<f64>,
}

/// The figures of one scenario on one broker, the most telling first.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// In the order in which they are shown.
    pub figures: Vec<Figure>,
    /// What did not go as it should.
    pub problems: Vec<String>,
}

impl Figures {
    /// Adds one.
    pub fn add(&mut self, name: impl Into<Cow<'static, str>>, unit: Unit, value: f64) {
        self.figures.push(Figure {
            name: name.into(),
            unit,
            value,
            at: None,
        });
    }

    /// Adds a point of a curve.
    pub fn add_at(&mut self, name: String, at: f64, unit: Unit, value: f64) {
        self.figures.push(Figure {
            name: name.into(),
            unit,
            value,
            at: Some(at),
        });
    }

    /// Adds what can be known of a latency.
    pub fn add_latency(&mut self, names: [&'static str; 5], histogram: &Histogram<u64>) {
        for (name, quantile) in names.into_iter().zip([0.5, 0.9, 0.99, 0.999, 0.9999]) {
            self.add(
                name,
                Unit::Nanoseconds,
                histogram.value_at_quantile(quantile) as f64,
            );
        }
    }

    /// A figure by name.
    pub fn get(&self, name: &str) -> Option<f64> {
        self.figures
            .iter()
            .find(|figure| figure.name == name)
            .map(|figure| figure.value)
    }

    /// Of two runs of the same scenario, the one with the better first figure: on a busy machine
    /// the disturbed run says less about the broker.
    pub fn better(self, other: Figures) -> Figures {
        let (Some(mine), Some(theirs)) = (self.figures.first(), other.figures.first()) else {
            return if self.figures.is_empty() { other } else { self };
        };
        if mine.unit.more_is_better() == (mine.value >= theirs.value) {
            self
        } else {
            other
        }
    }
}

impl Unit {
    /// Whether more is better.
    pub fn more_is_better(self) -> bool {
        self == Unit::PerSecond
    }

    /// The value as people read it.
    pub fn show(self, value: f64) -> String {
        match self {
            Unit::PerSecond if value >= 1e6 => format!("{:.2} M/s", value / 1e6),
            Unit::PerSecond if value >= 1e4 => format!("{:.1} k/s", value / 1e3),
            Unit::PerSecond => format!("{value:.0} /s"),
            Unit::Seconds if value < 1.0 => format!("{:.1} ms", value * 1e3),
            Unit::Seconds => format!("{value:.2} s"),
            Unit::Nanoseconds if value >= 1e6 => format!("{:.2} ms", value / 1e6),
            Unit::Nanoseconds => format!("{:.1} µs", value / 1e3),
            Unit::Bytes if value >= 1024.0 * 1024.0 => {
                format!("{:.1} MiB", value / 1024.0 / 1024.0)
            }
            Unit::Bytes => format!("{:.1} KiB", value / 1024.0),
            Unit::Count => format!("{value:.3}"),
        }
    }
}

/// Everything measured in one run: scenario, then broker.
pub type Results = BTreeMap<String, BTreeMap<String, Figures>>;
