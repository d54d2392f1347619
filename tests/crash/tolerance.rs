//! What is no failure: what the environment variable `WARREN_CRASH_TOLERATE` lists, and a few
//! forgotten deliveries.

use std::collections::BTreeMap;

use crate::checker::Violation;
use crate::ledger::Kind;

/// Deliveries are written down with what is written next, not before they are sent: a few that were
/// sent in the very last moment may be forgotten. So many, and one more with every so many kills.
const FORGOTTEN: (u64, u64) = (8, 4);

/// What is counted and else ignored.
pub struct Tolerance {
    kinds: String,
    pub counts: BTreeMap<String, u64>,
    forgotten: u64,
}

impl Tolerance {
    /// What the environment says.
    pub fn new() -> Self {
        Tolerance {
            kinds: std::env::var("WARREN_CRASH_TOLERATE").unwrap_or_default(),
            counts: BTreeMap::new(),
            forgotten: 0,
        }
    }

    /// Those that are not tolerated after so many kills.
    pub fn sift(&mut self, violations: Vec<Violation>, kills: u64) -> Vec<Violation> {
        let (tolerated, rest): (Vec<_>, Vec<_>) = violations.into_iter().partition(|violation| {
            if violation.kind == Kind::ForgotDelivery {
                self.forgotten += 1;
                if self.forgotten <= FORGOTTEN.0 + kills / FORGOTTEN.1 {
                    return true;
                }
            }
            self.kinds.split(',').any(|tolerated| {
                let (kind, about) = tolerated.split_once('/').unwrap_or((tolerated, ""));
                format!("{:?}", violation.kind) == kind && violation.what.contains(about)
            })
        });
        for violation in tolerated {
            let kind = format!("{:?}", violation.kind);
            *self.counts.entry(kind).or_default() += 1;
        }
        rest
    }
}
