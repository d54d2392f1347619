//! 100,000 bindings: all found, all gone again, with no step that looks at all of them. (A linear
//! one would take minutes here; the work itself is the assertion.)

use super::*;

const BINDINGS: usize = 100_000;

#[test]
fn topic_with_many_bindings() {
    let vhost = vhost();
    for queue in 0..10 {
        declare(&vhost, &queue.to_string());
    }
    let pattern = |number: usize| match number % 4 {
        0 => format!("region.{}.device.{number}.#", number % 97),
        1 => format!("region.*.device.{number}"),
        2 => format!("#.alarm.{number}"),
        _ => format!("user.{number}.*.read"),
    };
    let key = |number: usize| match number % 4 {
        0 => format!("region.{}.device.{number}.temperature.now", number % 97),
        1 => format!("region.anywhere.device.{number}"),
        2 => format!("from.somewhere.alarm.{number}"),
        _ => format!("user.{number}.mail.read"),
    };
    for number in 0..BINDINGS {
        bind(
            &vhost,
            &(number % 10).to_string(),
            "amq.topic",
            &pattern(number),
        );
    }
    for number in (0..BINDINGS).step_by(3) {
        let found = routed(&vhost, "amq.topic", &key(number));
        assert_eq!(found, names(&[&(number % 10).to_string()]));
    }
    for number in 0..BINDINGS / 2 {
        let queue = (number % 10).to_string();
        let unbound =
            vhost.unbind_queue(&queue, "amq.topic", &pattern(number), FieldTable::new(), ME);
        unbound.expect("unbound");
    }
    for number in (0..BINDINGS).step_by(7) {
        let is_found = !routed(&vhost, "amq.topic", &key(number)).is_empty();
        assert_eq!(is_found, number >= BINDINGS / 2);
    }
    for queue in 0..10 {
        delete(&vhost, &queue.to_string()).expect("deleted");
    }
    assert_eq!(vhost.bindings().len(), 0);
}

#[test]
fn direct_with_one_key_and_many_queues() {
    let vhost = vhost();
    let many = BINDINGS / 10;
    for number in 0..many {
        let name = number.to_string();
        declare(&vhost, &name);
        bind(&vhost, &name, "amq.direct", "k");
        bind(&vhost, &name, "amq.fanout", &name);
    }
    assert_eq!(routed(&vhost, "amq.direct", "k").len(), many);
    assert_eq!(routed(&vhost, "amq.fanout", "").len(), many);
    for number in 0..many - 1 {
        delete(&vhost, &number.to_string()).expect("deleted");
    }
    let last = names(&[&(many - 1).to_string()]);
    assert_eq!(routed(&vhost, "amq.direct", "k"), last);
    assert_eq!(routed(&vhost, "amq.fanout", ""), last);
}

#[test]
fn headers_with_many_bindings() {
    let vhost = vhost();
    declare(&vhost, "q");
    let arguments = |number: usize| {
        let number = number as i64;
        let kind = if number % 2 == 0 { "all" } else { "any" };
        // Nearly all want the same format; it is the number that tells them apart.
        let mut table = table(&[
            ("number", FieldValue::I64(number)),
            ("x-match", kind.into()),
        ]);
        if number % 2 == 0 {
            table.push("format", "pdf");
        }
        table
    };
    for number in 0..BINDINGS {
        vhost
            .bind_queue("q", "amq.headers", "", arguments(number), ME)
            .expect("bound");
    }
    for number in (0..BINDINGS + 10).step_by(3) {
        let headers = table(&[
            ("format", "pdf".into()),
            ("number", FieldValue::I64(number as i64)),
        ]);
        let is_found = !routed_with(&vhost, "amq.headers", "", &with_headers(headers)).is_empty();
        assert_eq!(is_found, number < BINDINGS, "number {number}");
    }
    for number in 0..BINDINGS {
        vhost
            .unbind_queue("q", "amq.headers", "", arguments(number), ME)
            .expect("unbound");
    }
    assert_eq!(vhost.bindings().len(), 0);
}
