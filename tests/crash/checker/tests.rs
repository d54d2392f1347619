//! The checker is shown what is wrong, and must see it; and what is right, and must let it pass.

use super::story::Story;
use crate::ledger::{Fault, Kind, Settling, What};
use crate::plan::Rule;

#[test]
fn a_broker_that_keeps_everything_is_right() {
    let mut story = Story::new();
    let queue = story.queue("queue");
    let [kept, acked, held] = [0; 3].map(|_| story.confirmed(&queue));
    story.handled_for_good(&queue, &acked, Settling::Ack);
    let consumer = story.consumer(false);
    story.deliver(consumer, &queue, &held, false);
    story.horizon();
    story.kill();
    story.inspect(&[&queue], &[(&queue, &kept, false), (&queue, &held, true)]);
    story.expect(&[]);
}

#[test]
fn what_was_confirmed_must_be_there() {
    let mut story = Story::new();
    let queue = story.queue("queue");
    story.confirmed(&queue);
    story.kill();
    story.inspect(&[&queue], &[]);
    story.expect(&[Kind::Lost]);
}

#[test]
fn what_was_not_confirmed_or_was_acked_may_be_gone() {
    let mut story = Story::new();
    let queue = story.queue("queue");
    story.published(&queue);
    let acked = story.confirmed(&queue);
    story.handled(&queue, &acked, Settling::Ack);
    story.kill();
    story.inspect(&[&queue], &[]);
    story.expect(&[]);
}

#[test]
fn what_was_given_back_or_rejected_must_be_there() {
    for how in [Settling::Requeue, Settling::Reject] {
        let mut story = Story::new();
        let [source, dead] = story.chain("rejected");
        let letter = story.confirmed(&source);
        story.handled_for_good(&source, &letter, how);
        story.horizon();
        story.kill();
        story.inspect(&[&source, &dead], &[]);
        story.expect(&[Kind::Lost]);
    }
}

#[test]
fn what_was_found_after_a_restart_must_stay() {
    let mut story = Story::new();
    let queue = story.queue("queue");
    let letter = story.published(&queue);
    story.kill();
    story.inspect(&[&queue], &[(&queue, &letter, false)]);
    story.kill();
    story.inspect(&[&queue], &[]);
    story.expect(&[Kind::Lost]);
}

#[test]
fn what_was_missing_must_not_turn_up() {
    let mut story = Story::new();
    let queue = story.queue("queue");
    let letter = story.published(&queue);
    story.kill();
    story.inspect(&[&queue], &[]);
    story.kill();
    story.inspect(&[&queue], &[(&queue, &letter, false)]);
    story.expect(&[Kind::CameBack]);
}

#[test]
fn an_ack_that_is_on_the_disk_holds() {
    let mut story = Story::new();
    let queue = story.queue("queue");
    let letter = story.confirmed(&queue);
    story.handled_for_good(&queue, &letter, Settling::Ack);
    story.horizon();
    story.kill();
    story.inspect(&[&queue], &[(&queue, &letter, true)]);
    story.expect(&[Kind::CameBack]);
}

#[test]
fn an_ack_that_may_not_be_on_the_disk_may_be_undone() {
    let mut story = Story::new();
    let queue = story.queue("queue");
    let [late, unheard] = [0; 2].map(|_| story.confirmed(&queue));
    // Nobody knows whether it was processed.
    story.handled(&queue, &unheard, Settling::Ack);
    story.horizon();
    story.handled_for_good(&queue, &late, Settling::Ack);
    story.kill();
    story.inspect(
        &[&queue],
        &[(&queue, &late, true), (&queue, &unheard, true)],
    );
    story.expect(&[]);
}

#[test]
fn an_ack_holds_while_the_broker_lives() {
    let mut story = Story::new();
    let queue = story.queue("queue");
    let letter = story.confirmed(&queue);
    story.handled(&queue, &letter, Settling::Ack);
    let other = story.consumer(false);
    story.deliver(other, &queue, &letter, true);
    story.expect(&[Kind::CameBack]);
}

#[test]
fn what_one_consumer_says_is_processed_is_not_what_another_says() {
    let mut story = Story::new();
    let queue = story.queue("queue");
    let letter = story.confirmed(&queue);
    let consumer = story.handled(&queue, &letter, Settling::Requeue);
    let other = story.consumer(false);
    story.deliver(other, &queue, &letter, true);
    let acked = story.tell(What::Settled {
        consumer: other,
        ids: vec![letter.id],
        how: Settling::Ack,
    });
    let before = acked + 1;
    story.tell(What::Processed { consumer, before });
    story.horizon();
    story.kill();
    story.inspect(&[&queue], &[(&queue, &letter, true)]);
    story.expect(&[]);
}

/// What one got before it lost its connection to a broker that ends, it may write down after
/// another one has written down that it got the same and what it did with it.
#[test]
fn a_delivery_may_be_written_down_late_while_the_broker_stops() {
    for how in [Settling::Ack, Settling::Requeue, Settling::Reject] {
        for (processed, restarted, dead_too) in [
            (false, false, false),
            (true, false, false),
            (true, true, false),
            (true, true, true),
        ] {
            let mut story = Story::new();
            let [source, dead] = story.chain("rejected");
            let letter = story.confirmed(&source);
            if restarted {
                story.kill();
                story.inspect(&[&source, &dead], &[(&source, &letter, false)]);
                story.kill();
            }
            let [late, later, next] = [0; 3].map(|_| story.consumer(false));
            story.tell(What::Stopping);
            story.deliver(next, &source, &letter, true);
            let consumer = next;
            let ids = vec![letter.id];
            let settled = story.tell(What::Settled { consumer, ids, how });
            if processed {
                let before = settled + 1;
                story.tell(What::Processed { consumer, before });
            }
            if dead_too && how == Settling::Reject {
                let reader = story.consumer(false);
                story.deliver(reader, &dead, &letter, false);
            }
            story.deliver(late, &source, &letter, false);
            story.deliver(later, &source, &letter, true);
            story.horizon();
            story.kill();
            match how {
                Settling::Ack => story.inspect(&[&source, &dead], &[]),
                Settling::Requeue => story.inspect(&[&source], &[(&source, &letter, true)]),
                Settling::Reject => {
                    story.inspect(&[&source, &dead], &[(&dead, &letter, dead_too)]);
                }
            }
            story.expect(&[]);
        }
    }
}

#[test]
fn a_broker_that_stops_keeps_what_it_gave_to_the_next() {
    let mut story = Story::new();
    let queue = story.queue("queue");
    let letters = [0; 3].map(|_| story.confirmed(&queue));
    let [requeued, acked, _held] = &letters;
    let consumer = story.consumer(false);
    for letter in &letters {
        story.deliver(consumer, &queue, letter, false);
    }
    for (letter, how) in [(requeued, Settling::Requeue), (acked, Settling::Ack)] {
        let ids = vec![letter.id];
        story.tell(What::Settled { consumer, ids, how });
    }
    story.tell(What::Stopping);
    let next = story.consumer(false);
    for letter in &letters {
        story.deliver(next, &queue, letter, true);
    }
    story.kill();
    story.inspect(&[&queue], &[]);
    story.expect(&[Kind::Lost; 3]);
}

#[test]
fn an_ack_from_before_holds_while_the_broker_stops() {
    let mut story = Story::new();
    let queue = story.queue("queue");
    let letter = story.confirmed(&queue);
    story.handled_for_good(&queue, &letter, Settling::Ack);
    story.tell(What::Stopping);
    let other = story.consumer(false);
    story.deliver(other, &queue, &letter, true);
    story.expect(&[Kind::CameBack]);
}

#[test]
fn what_was_purged_or_deleted_stays_away() {
    let mut story = Story::new();
    let queue = story.queue_with("queue", |_| {});
    let letter = story.confirmed(&queue);
    story.tell(What::Purging(queue.id));
    let (id, count) = (queue.id, 1);
    story.tell(What::Purged { queue: id, count });
    story.horizon();
    story.kill();
    story.inspect(&[&queue], &[(&queue, &letter, false)]);
    story.expect(&[Kind::CameBack]);

    let mut story = Story::new();
    let queue = story.queue_with("queue", |_| {});
    let letter = story.confirmed(&queue);
    story.tell(What::Deleting(queue.id));
    let (id, count) = (queue.id, Some(1));
    story.tell(What::Deleted { queue: id, count });
    let successor = story.queue_with("queue", |_| {});
    story.kill();
    story.inspect(&[&successor], &[(&successor, &letter, false)]);
    story.expect(&[Kind::Stranger]);
}

#[test]
fn what_is_being_deleted_may_be_there_or_not() {
    for there in [false, true] {
        let mut story = Story::new();
        let queue = story.queue_with("queue", |_| {});
        let letter = story.confirmed(&queue);
        story.tell(What::Deleting(queue.id));
        story.kill();
        let found = [(&*queue, &letter, false)];
        story.inspect(&[&queue], if there { &found } else { &[] });
        story.expect(&[]);
    }
}

#[test]
fn no_queue_has_a_letter_twice() {
    let mut story = Story::new();
    let queue = story.queue("queue");
    let letter = story.confirmed(&queue);
    story.kill();
    story.inspect(
        &[&queue],
        &[(&queue, &letter, false), (&queue, &letter, false)],
    );
    story.expect(&[Kind::Twice]);
}

#[test]
fn a_dead_letter_left_its_source() {
    let mut story = Story::new();
    let [source, dead] = story.chain("rejected");
    let letter = story.confirmed(&source);
    story.kill();
    let found = [(&*source, &letter, false), (&*dead, &letter, false)];
    story.inspect(&[&source, &dead], &found);
    story.expect(&[Kind::InBoth]);

    // It was rejected, and that is on the disk.
    let mut story = Story::new();
    let [source, dead] = story.chain("rejected");
    let letter = story.confirmed(&source);
    story.handled_for_good(&source, &letter, Settling::Reject);
    story.horizon();
    story.kill();
    story.inspect(&[&source, &dead], &[(&source, &letter, true)]);
    story.expect(&[Kind::InBoth]);
}

#[test]
fn a_dead_letter_is_in_one_of_both() {
    for at in 0..2 {
        let mut story = Story::new();
        let chain = story.chain("rejected");
        let [source, dead] = &chain;
        let letter = story.confirmed(source);
        story.handled(source, &letter, Settling::Reject);
        story.kill();
        story.inspect(&[source, dead], &[(&chain[at], &letter, at == 0)]);
        story.expect(&[]);
    }
}

#[test]
fn what_was_acked_is_not_dead_lettered() {
    let mut story = Story::new();
    let [source, dead] = story.chain("rejected");
    let letter = story.confirmed(&source);
    story.handled_for_good(&source, &letter, Settling::Ack);
    story.horizon();
    story.kill();
    story.inspect(&[&source, &dead], &[(&dead, &letter, false)]);
    story.expect(&[Kind::CameBack]);
}

#[test]
fn letters_are_where_they_were_sent() {
    let mut story = Story::new();
    let [here, there] = ["here", "there"].map(|name| story.queue(name));
    let letter = story.confirmed(&here);
    story.kill();
    story.inspect(&[&there], &[(&there, &letter, false)]);
    story.expect(&[Kind::Stranger]);
}

#[test]
fn letters_are_what_they_were() {
    let mut story = Story::new();
    let queue = story.queue("queue");
    let mut letter = story.confirmed(&queue);
    letter.body_bytes += 1;
    let consumer = story.consumer(false);
    story.deliver(consumer, &queue, &letter, false);
    let faults = vec![Fault::new(Kind::Corrupt, "no letter")];
    let queue = queue.id;
    story.tell(What::Garbled { queue, faults });
    story.expect(&[Kind::Corrupt, Kind::Corrupt]);
}

#[test]
fn faults_are_passed_on() {
    let mut story = Story::new();
    let queue = story.queue("queue");
    let letter = Box::new(story.confirmed(&queue));
    let consumer = story.consumer(false);
    story.tell(What::Delivered {
        consumer,
        queue: queue.id,
        letter,
        redelivered: false,
        faults: vec![Fault::new(Kind::Deaths, "no x-death")],
    });
    story.tell(What::Fault(Fault::new(Kind::Topology, "no queue")));
    story.tell(What::Fault(Fault::new(Kind::Trouble, "it ended")));
    story.expect(&[Kind::Deaths, Kind::Topology, Kind::Trouble]);
}

#[test]
fn a_publishers_letters_keep_their_order() {
    let mut story = Story::new();
    let queue = story.queue("queue");
    let [first, second] = [0; 2].map(|_| story.confirmed(&queue));
    let consumer = story.consumer(false);
    story.deliver(consumer, &queue, &second, false);
    // One that comes back does not count.
    story.deliver(consumer, &queue, &first, true);
    assert!(story.violations().is_empty());
    story.kill();
    story.inspect(
        &[&queue],
        &[(&queue, &second, true), (&queue, &first, true)],
    );
    let kinds: Vec<Kind> = story.violations().iter().map(|found| found.kind).collect();
    assert!(kinds.contains(&Kind::Order), "{kinds:?}");
}

#[test]
fn what_was_confirmed_comes_before_what_was_published_later() {
    for rule in [Rule::All, Rule::Publisher] {
        let mut story = Story::new();
        let queue = story.queue_with("queue", |info| info.rule = rule);
        let [one, other] = [1, 2].map(|publisher| {
            let letter = story.letter(publisher);
            story.publish(&letter, &queue);
            story.tell(What::Confirmed(letter.id));
            letter
        });
        story.kill();
        story.inspect(&[&queue], &[(&queue, &other, false), (&queue, &one, false)]);
        let order: &[Kind] = if rule == Rule::All {
            &[Kind::Order]
        } else {
            &[]
        };
        story.expect(order);
    }
}

#[test]
fn higher_priorities_come_first() {
    let mut story = Story::new();
    let queue = story.queue_with("queue", |info| info.max_priority = Some(4));
    let [low, high] = [1, 9].map(|priority| {
        let mut letter = story.letter(1);
        letter.priority = Some(priority);
        story.publish(&letter, &queue);
        letter
    });
    story.kill();
    story.inspect(&[&queue], &[(&queue, &low, false), (&queue, &high, false)]);
    story.expect(&[Kind::Priority]);
}

#[test]
fn what_was_delivered_says_so() {
    let mut story = Story::new();
    let queue = story.queue("queue");
    let letter = story.confirmed(&queue);
    let consumer = story.consumer(false);
    story.deliver(consumer, &queue, &letter, false);
    story.horizon();
    story.kill();
    story.inspect(&[&queue], &[(&queue, &letter, false)]);
    story.expect(&[Kind::ForgotDelivery]);

    let mut story = Story::new();
    let queue = story.queue("queue");
    let letter = story.confirmed(&queue);
    story.handled(&queue, &letter, Settling::Requeue);
    let consumer = story.consumer(false);
    story.deliver(consumer, &queue, &letter, false);
    story.expect(&[Kind::NotRedelivered]);
}

#[test]
fn what_was_delivered_just_before_a_kill_need_not_say_so() {
    for redelivered in [false, true] {
        let mut story = Story::new();
        let queue = story.queue("queue");
        let letter = story.confirmed(&queue);
        story.horizon();
        let consumer = story.consumer(false);
        story.deliver(consumer, &queue, &letter, false);
        story.kill();
        story.inspect(&[&queue], &[(&queue, &letter, redelivered)]);
        story.expect(&[]);
    }
}

#[test]
fn what_nobody_ever_read_was_not_delivered() {
    let mut story = Story::new();
    let queue = story.queue_with("queue", |_| {});
    let letter = story.confirmed(&queue);
    story.kill();
    story.inspect(&[&queue], &[(&queue, &letter, true)]);
    story.expect(&[Kind::NeverDelivered]);
}

#[test]
fn times_to_live_count_from_the_publishing() {
    let mut story = Story::new();
    let [source, dead] = story.chain("expired");
    let letter = story.confirmed(&source);
    story.kill();
    story.now_ms += 2_000;
    story.inspect(&[&source, &dead], &[(&source, &letter, false)]);
    story.expect(&[Kind::PastDeadline]);

    let mut story = Story::new();
    let [source, dead] = story.chain("expired");
    let letter = story.confirmed(&source);
    story.kill();
    story.inspect(&[&source, &dead], &[(&dead, &letter, false)]);
    story.expect(&[Kind::TooEarly]);
}

#[test]
fn transient_letters_do_not_survive() {
    let mut story = Story::new();
    let queue = story.queue("queue");
    let mut letter = story.letter(1);
    letter.persistent = false;
    story.publish(&letter, &queue);
    story.tell(What::Confirmed(letter.id));
    story.kill();
    story.inspect(&[&queue], &[(&queue, &letter, false)]);
    story.expect(&[Kind::Transient]);
}

#[test]
fn a_queue_that_keeps_all_must_keep_transient_letters() {
    let mut story = Story::new();
    let queue = story.queue_with("queue", |info| info.keeps_transient = true);
    let mut letter = story.letter(1);
    letter.persistent = false;
    story.publish(&letter, &queue);
    story.tell(What::Confirmed(letter.id));
    story.kill();
    story.inspect(&[&queue], &[]);
    story.expect(&[Kind::Lost]);
}

#[test]
fn counts_are_of_what_there_is() {
    let mut story = Story::new();
    let queue = story.queue_with("queue", |_| {});
    story.confirmed(&queue);
    let consumer = story.consumer(true);
    let (id, ready) = (queue.id, 1);
    story.tell(What::Counted {
        consumer,
        queue: id,
        ready,
    });
    story.tell(What::Purging(queue.id));
    let count = 0;
    story.tell(What::Purged { queue: id, count });
    story.confirmed(&queue);
    story.tell(What::Deleting(queue.id));
    let count = Some(2);
    story.tell(What::Deleted { queue: id, count });
    story.expect(&[Kind::Count; 3]);
}
