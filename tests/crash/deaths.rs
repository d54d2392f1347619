//! Dead letters: what they keep of what was published, and what they tell of their deaths.

use crate::ledger::{Fault, Kind};
use crate::letter::{COUNTS, Letter};
use crate::plan::{QueueInfo, Role};
use crate::support::{Message, Table, Value};

/// The headers that dead-lettering adds.
const ADDED: [&str; 7] = [
    "x-death",
    "x-first-death-reason",
    "x-first-death-queue",
    "x-first-death-exchange",
    "x-last-death-reason",
    "x-last-death-queue",
    "x-last-death-exchange",
];

impl Letter {
    /// What a dead letter keeps: everything but its expiration; headers are added.
    pub fn check_carried(&self, message: &Message, faults: &mut Vec<Fault>) {
        let sent = self.properties();
        for name in [
            "content-type",
            "delivery-mode",
            "priority",
            "correlation-id",
            "message-id",
            "timestamp",
            "type",
            "app-id",
        ] {
            let (came, sent) = (message.properties.get(name), sent.get(name));
            if came != sent {
                let what = format!("{name} {came:?} instead of {sent:?}");
                faults.push(Fault::new(Kind::Corrupt, what));
            }
        }
        if let Some(expiration) = message.properties.get("expiration") {
            let what = format!("a dead letter with expiration {expiration:?}");
            faults.push(Fault::new(Kind::Deaths, what));
        }
        let (headers, sent) = (message.headers(), sent.headers());
        for (name, value) in &sent.0 {
            let came = headers.get(name);
            if came != Some(value) {
                let what = format!("header {name} {came:?} instead of {value:?}");
                faults.push(Fault::new(Kind::Corrupt, what));
            }
        }
        let added = ADDED.into_iter().chain(COUNTS);
        let known: Vec<&str> = sent.keys().into_iter().chain(added).collect();
        let strange: Vec<&str> = headers
            .keys()
            .into_iter()
            .filter(|name| !known.contains(name))
            .collect();
        if !strange.is_empty() {
            let what = format!("headers {strange:?}");
            faults.push(Fault::new(Kind::Corrupt, what));
        }
    }

    /// The story of its deaths is whole.
    pub fn check_deaths(
        &self,
        message: &Message,
        deaths: &Value,
        queue: &QueueInfo,
        faults: &mut Vec<Fault>,
    ) {
        let Some(from) = &queue.dead_from else {
            faults.push(Fault::new(Kind::Deaths, "a death where none dies"));
            return;
        };
        self.check_address(message, &from.exchange, &from.key, Kind::Deaths, faults);
        let Some(deaths) = Death::read_all(deaths) else {
            let what = format!("x-death {deaths:?}");
            faults.push(Fault::new(Kind::Deaths, what));
            return;
        };
        let mut wrong = |what: String| {
            let what = format!("{what}: {deaths:?}");
            faults.push(Fault::new(Kind::Deaths, what));
        };
        let newest = &deaths[0];
        if newest.queue != from.queue || !from.reasons.contains(&newest.reason.as_str()) {
            wrong(format!(
                "newest death not in {} for {:?}",
                from.queue, from.reasons
            ));
        }
        // An entry that is counted up keeps the exchange and key that it was made with.
        let is_ring = matches!(queue.role, Role::Work | Role::Wait);
        let first = deaths
            .iter()
            .find(|death| !is_ring || death.reason == "rejected");
        if first.is_none_or(|first| first.exchange != self.exchange || first.key != self.key) {
            wrong("exchange and key of the first death".into());
        }
        let lap = deaths.iter().map(|death| death.count).collect::<Vec<_>>();
        let right = match queue.role {
            Role::Source => false,
            Role::Dead => lap == [1],
            // It was rejected, waited, and came back, so and so often.
            Role::Work => lap.len() == 2 && lap[0] == lap[1],
            Role::Wait => lap == [1] || (lap.len() == 2 && lap[0] == lap[1] + 1),
        };
        if !right || lap.iter().any(|count| *count < 1) {
            wrong(format!("counts {lap:?}"));
        }
        let wanted = self
            .expiration_ms
            .map(|expiration_ms| expiration_ms.to_string());
        if queue.role == Role::Dead && newest.original_expiration != wanted {
            wrong("original-expiration".into());
        }
        self.check_first_death(message, queue, faults);
    }

    fn check_first_death(&self, message: &Message, queue: &QueueInfo, faults: &mut Vec<Fault>) {
        let headers = message.headers();
        let text = |name: &str| match headers.get(name) {
            Some(Value::Text(text)) => String::from_utf8_lossy(text).into_owned(),
            _ => String::new(),
        };
        let Some(from) = &queue.dead_from else { return };
        let first = (
            text("x-first-death-queue"),
            text("x-first-death-reason"),
            text("x-first-death-exchange"),
        );
        let right = match queue.role {
            Role::Dead => first.0 == from.queue && from.reasons.contains(&first.1.as_str()),
            _ => first.1 == "rejected",
        };
        if !right || first.2 != self.exchange {
            let what = format!("first death {first:?}");
            faults.push(Fault::new(Kind::Deaths, what));
        }
    }
}

/// An entry of x-death.
#[derive(Debug)]
struct Death {
    queue: String,
    reason: String,
    exchange: String,
    key: String,
    count: i64,
    original_expiration: Option<String>,
}

impl Death {
    /// Each has everything that it must have, and there is one at least.
    fn read_all(deaths: &Value) -> Option<Vec<Death>> {
        let Value::Array(deaths) = deaths else {
            return None;
        };
        let deaths: Option<Vec<Death>> = deaths
            .iter()
            .map(|death| match death {
                Value::Table(death) => Death::read(death),
                _ => None,
            })
            .collect();
        deaths.filter(|deaths| !deaths.is_empty())
    }

    fn read(table: &Table) -> Option<Death> {
        let text = |name: &str| match table.get(name) {
            Some(Value::Text(text)) => String::from_utf8(text.clone()).ok(),
            _ => None,
        };
        let key = match table.get("routing-keys") {
            Some(Value::Array(keys)) => match keys.as_slice() {
                [Value::Text(key)] => String::from_utf8(key.clone()).ok()?,
                _ => return None,
            },
            _ => return None,
        };
        if !matches!(table.get("time"), Some(Value::Timestamp(_))) {
            return None;
        }
        Some(Death {
            queue: text("queue")?,
            reason: text("reason")?,
            exchange: text("exchange")?,
            key,
            count: match table.get("count") {
                Some(Value::I64(count)) => *count,
                _ => return None,
            },
            original_expiration: text("original-expiration"),
        })
    }
}
