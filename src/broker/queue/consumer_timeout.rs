//! How long a delivery may stay unacked, and what becomes of it then: said for a consumer, a queue (by
//! argument or policy) or all.

/// Stands for a timeout that never ends.
const NEVER_MS: u64 = u64::MAX;

/// What becomes of a delivery that was not settled in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeoutAction {
    /// Its channel is closed, and with it everything that is unacked there goes back.
    Close,
    /// It alone goes back. Its channel stays, and may still settle it without a word.
    Return,
}

impl TimeoutAction {
    /// The action of that name.
    pub fn from_name(name: &[u8]) -> Option<Self> {
        match name {
            b"close" => Some(Self::Close),
            b"return" => Some(Self::Return),
            _ => None,
        }
    }
}

/// See the module. What is None is not said here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConsumerTimeout {
    /// x-consumer-timeout in milliseconds.
    pub after_ms: Option<u64>,
    /// x-consumer-timeout-action.
    pub action: Option<TimeoutAction>,
}

impl ConsumerTimeout {
    /// As arguments say it: 0 milliseconds are no limit.
    pub fn said(after_ms: Option<u64>, action: Option<TimeoutAction>) -> Self {
        let after_ms = after_ms.map(|after_ms| if after_ms == 0 { NEVER_MS } else { after_ms });
        Self { after_ms, action }
    }

    /// What is said here, and for the rest what `other` says.
    pub fn or(self, other: Self) -> Self {
        Self {
            after_ms: self.after_ms.or(other.after_ms),
            action: self.action.or(other.action),
        }
    }

    /// After how many milliseconds a delivery is overdue; `u64::MAX`: never.
    pub fn limit_ms(self) -> u64 {
        self.after_ms.unwrap_or(NEVER_MS)
    }
}
