//! The broker's counters in Prometheus' text format.

use std::fmt::Write;

use crate::broker::Broker;
use crate::broker::metrics::Counter;
use crate::net::Connections;
use crate::store::quarantine::Concerned;

pub(super) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The page.
pub(super) fn page(broker: &Broker, connections: &Connections) -> String {
    let metrics = broker.metrics();
    let mut page = Page(String::with_capacity(8 << 10));

    page.value(
        "warren_build_info",
        "gauge",
        "The running version.",
        &format!("{{version=\"{}\"}}", env!("CARGO_PKG_VERSION")),
        1,
    );
    page.gauge(
        "warren_sockets",
        "Accepted sockets, whether or not their connections are open.",
        connections.count() as u64,
    );
    page.difference(
        "warren_connections",
        "Open connections.",
        &metrics.connections_opened,
        &metrics.connections_closed,
    );
    page.difference(
        "warren_channels",
        "Open channels.",
        &metrics.channels_opened,
        &metrics.channels_closed,
    );
    page.difference(
        "warren_consumers",
        "Consumers.",
        &metrics.consumers_added,
        &metrics.consumers_removed,
    );
    page.difference(
        "warren_queues",
        "Queues.",
        &metrics.queues_declared,
        &metrics.queues_deleted,
    );

    let counters = [
        (
            "connections_opened",
            "Connections opened.",
            &metrics.connections_opened,
        ),
        (
            "connections_closed",
            "Connections closed.",
            &metrics.connections_closed,
        ),
        (
            "channels_opened",
            "Channels opened.",
            &metrics.channels_opened,
        ),
        (
            "channels_closed",
            "Channels closed.",
            &metrics.channels_closed,
        ),
        (
            "messages_published",
            "Messages that clients published.",
            &metrics.messages_published,
        ),
        (
            "messages_confirmed",
            "Messages confirmed to their publishers.",
            &metrics.messages_confirmed,
        ),
        (
            "messages_unroutable_returned",
            "Messages returned to their publishers because they reached no queue.",
            &metrics.messages_unroutable_returned,
        ),
        (
            "messages_unroutable_dropped",
            "Messages dropped because they reached no queue.",
            &metrics.messages_unroutable_dropped,
        ),
        (
            "messages_delivered",
            "Messages delivered to consumers.",
            &metrics.messages_delivered,
        ),
        (
            "messages_redelivered",
            "Messages delivered again.",
            &metrics.messages_redelivered,
        ),
        (
            "messages_acknowledged",
            "Messages that consumers acknowledged.",
            &metrics.messages_acknowledged,
        ),
        (
            "messages_got",
            "Messages taken with basic.get.",
            &metrics.messages_got,
        ),
        (
            "messages_dead_lettered",
            "Messages dead-lettered.",
            &metrics.messages_dead_lettered,
        ),
        (
            "messages_lost",
            "Messages that were found lost since the start, because what was stored of them is damaged.",
            &metrics.messages_lost,
        ),
        (
            "messages_deduplicated",
            "Messages that an exchange or a queue did not take because it had them already.",
            &metrics.messages_deduplicated,
        ),
        ("auth_failures", "Logins refused.", &metrics.auth_failures),
        (
            "received_bytes",
            "Bytes received from AMQP clients.",
            &metrics.bytes_received,
        ),
        (
            "sent_bytes",
            "Bytes sent to AMQP clients.",
            &metrics.bytes_sent,
        ),
        (
            "own_messages_dropped",
            "Messages that the broker itself had to publish (traces, events, lines of its log) and that \
             were too many.",
            &broker.engine.notices.dropped,
        ),
    ];
    for (name, help, counter) in counters {
        page.counter(&format!("warren_{name}_total"), help, counter);
    }

    let totals = broker.totals();
    page.gauge(
        "warren_exchanges",
        "Exchanges, those that every vhost has among them.",
        totals.exchanges,
    );
    page.gauge(
        "warren_messages_ready",
        "Messages that wait in queues.",
        totals.ready,
    );
    page.gauge(
        "warren_messages_unacked",
        "Messages that were delivered and are not settled yet.",
        totals.unacked,
    );

    page.gauge(
        "warren_messages_delayed",
        "Messages that wait in exchanges of type x-delayed-message, or in queues for their next attempt.",
        totals.delayed,
    );

    let memory = &broker.engine.memory;
    page.gauge(
        "warren_message_memory_bytes",
        "Memory that messages take, and what else clients make the broker hold.",
        memory.used_bytes(),
    );
    page.gauge(
        "warren_message_memory_limit_bytes",
        "Past this much memory publishers are blocked.",
        memory.limit_bytes(),
    );
    let alarms = *broker.alarms().borrow();
    page.gauge(
        "warren_alarm_memory",
        "1 while messages take too much memory.",
        alarms.memory.into(),
    );
    page.gauge(
        "warren_alarm_disk",
        "1 while there is too little space on the disk.",
        alarms.disk.into(),
    );
    store(&mut page, broker);
    page.0
}

fn store(page: &mut Page, broker: &Broker) {
    let disk = &broker.engine.disk;
    if let Some(free_bytes) = disk.free_bytes() {
        page.gauge(
            "warren_disk_free_bytes",
            "Free space on the data folder's file system.",
            free_bytes,
        );
    }
    page.gauge(
        "warren_disk_free_limit_bytes",
        "While less is free publishers are blocked.",
        disk.limit_bytes(),
    );
    let condition = broker.engine.store.condition();
    if let Some(journal) = &condition.journal {
        page.gauge(
            "warren_journal_disk_bytes",
            "What the journal's files take on the disk.",
            journal.disk_bytes,
        );
        page.gauge(
            "warren_journal_stalled",
            "1 while the journal waits for room on the disk.",
            journal.stalled.is_some().into(),
        );
    }
    let journal_failed = condition
        .journal
        .is_some_and(|journal| journal.failure.is_some());
    let gauges = [
        (
            "journal_failed",
            "1 when nothing becomes safe any more until the broker is started again.",
            journal_failed.into(),
        ),
        (
            "catalog_failed",
            "1 when no change of topology is stored any more until the broker is started again.",
            broker.catalog_failure().is_some().into(),
        ),
        (
            "catalog_stalled",
            "1 while changes of durable topology are refused, for want of room on the disk.",
            broker.is_catalog_stalled().into(),
        ),
        (
            "journal_damaged_places",
            "Damaged places that were found in the journal, until their notes are deleted.",
            condition.journal_damage,
        ),
        (
            "journal_missing_records",
            "Records that are missing from the journal because of them.",
            condition.missing_records,
        ),
        (
            "segments_damaged",
            "Damaged or missing parts of queues' segments, until their notes are deleted.",
            condition.segment_damage,
        ),
        (
            "unknown_queue_damaged_places",
            "Those of them that may concern queues of which nothing is known.",
            condition.of_unknown_queues,
        ),
        (
            "segments_stalled",
            "1 while queues can't be written to segments, for want of room or because the disk fails.",
            condition.segments_wait.is_some().into(),
        ),
        (
            "segments_unreadable",
            "Parts of queues' segments that the disk does not give; they are tried again.",
            condition.unreadable,
        ),
        (
            "segments_replaced",
            "Parts of queues' segments that the disk did not give at start and the journal had.",
            condition.replaced,
        ),
    ];
    for (name, help, value) in gauges {
        page.gauge(&format!("warren_{name}"), help, value);
    }
    let labelled = |(queue, places): (&Concerned, &u64)| {
        let (vhost, name) = (escaped(&queue.vhost), escaped(&queue.name));
        (format!("{{vhost=\"{vhost}\",queue=\"{name}\"}}"), *places)
    };
    page.family(
        "warren_queue_damaged_places",
        "Damaged or missing places that concern a queue, as far as that is known.",
        condition.queues.iter().map(labelled),
    );
    page.family(
        "warren_queue_unreadable_parts",
        "What a queue waits for that the disk does not give.",
        condition.waiting_queues.iter().map(labelled),
    );
}

/// A label's value.
fn escaped(text: &str) -> String {
    let text = text.replace('\\', "\\\\").replace('"', "\\\"");
    text.replace('\n', "\\n")
}

struct Page(String);

impl Page {
    fn value(&mut self, name: &str, kind: &str, help: &str, labels: &str, value: u64) {
        // Writing to a String does not fail.
        let _ = write!(
            self.0,
            "# HELP {name} {help}\n# TYPE {name} {kind}\n{name}{labels} {value}\n"
        );
    }

    /// Gauges of one name with different labels; nothing if there are none.
    fn family(
        &mut self,
        name: &str,
        help: &str,
        values: impl ExactSizeIterator<Item = (String, u64)>,
    ) {
        if values.len() == 0 {
            return;
        }
        // Writing to a String does not fail.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} gauge");
        for (labels, value) in values {
            let _ = writeln!(self.0, "{name}{labels} {value}");
        }
    }

    fn gauge(&mut self, name: &str, help: &str, value: u64) {
        self.value(name, "gauge", help, "", value);
    }

    fn counter(&mut self, name: &str, help: &str, counter: &Counter) {
        self.value(name, "counter", help, "", counter.get());
    }

    fn difference(&mut self, name: &str, help: &str, more: &Counter, less: &Counter) {
        // What went is read first, so that there are never fewer than none.
        let gone = less.get();
        self.gauge(name, help, more.get().saturating_sub(gone));
    }
}
