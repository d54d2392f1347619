//! Random steps, each done to the queue and to its model, which must agree after each.

use std::sync::Arc;

use proptest::prelude::*;
use warren::broker::Effects;
use warren::broker::log::Returns;
use warren::broker::queue::{Cause, ConsumerId, Got};

use crate::basket::{Basket, Seen};
use crate::kind::{Kind, Policy};
use crate::model::{Message, Model};
use crate::world::{Outgoing, World};

/// So many different ids there are, where a queue takes none twice.
const IDS: u64 = 7;
const MOST_CLIENTS: usize = 6;

/// What is done. Places (`u16`) are taken modulo how many there are.
#[derive(Clone, Debug)]
pub enum Step {
    Publish {
        count: u64,
        ttl_ms: Option<u64>,
    },
    Consume {
        credit: usize,
        no_ack: bool,
        priority: i32,
    },
    GiveRoom(u16, usize),
    /// The consumer goes with its channel.
    Abandon(u16),
    Ack(u16, u16),
    Nack(u16, u16),
    Reject(u16, u16),
    Get {
        no_ack: bool,
    },
    Purge,
    Pass(u64),
    Policy(Policy),
}

pub fn any_step() -> impl Strategy<Value = Step> {
    let two = || (any::<u16>(), any::<u16>());
    let credit = prop_oneof![4 => 1..10usize, 1 => Just(1_000)];
    let ttl_ms = prop::option::weighted(0.3, 0..150u64);
    let count = prop_oneof![8 => 1..5u64, 1 => 40..100u64];
    prop_oneof![
        24 => (count, ttl_ms).prop_map(|(count, ttl_ms)| Step::Publish { count, ttl_ms }),
        6 => (credit, prop::bool::weighted(0.3), 0..2i32)
            .prop_map(|(credit, no_ack, priority)| Step::Consume { credit, no_ack, priority }),
        4 => (any::<u16>(), 1..20usize).prop_map(|(at, more)| Step::GiveRoom(at, more)),
        5 => any::<u16>().prop_map(Step::Abandon),
        16 => two().prop_map(|(client, upto)| Step::Ack(client, upto)),
        12 => two().prop_map(|(client, upto)| Step::Nack(client, upto)),
        8 => two().prop_map(|(client, which)| Step::Reject(client, which)),
        10 => any::<bool>().prop_map(|no_ack| Step::Get { no_ack }),
        1 => Just(Step::Purge),
        8 => (1..100u64).prop_map(Step::Pass),
        3 => Policy::any().prop_map(Step::Policy),
    ]
}

/// Somebody who has messages: a consumer, or, the first, who gets.
struct Client {
    consumer: Option<(ConsumerId, Arc<Basket>)>,
    no_ack: bool,
    priority: i32,
    unacked: Vec<Seen>,
}

impl Client {
    fn credit(&self) -> usize {
        self.consumer
            .as_ref()
            .map_or(0, |(_, basket)| basket.credit())
    }
}

/// See the module.
struct Run {
    kind: Kind,
    world: World,
    model: Model,
    clients: Vec<Client>,
    published: u64,
}

pub fn run(kind: Kind, steps: &[Step]) -> Result<(), TestCaseError> {
    let world = World::new(&kind);
    let model = Model::new(kind, world.clock.now_ms());
    let getter = Client {
        consumer: None,
        no_ack: false,
        priority: 0,
        unacked: Vec::new(),
    };
    let mut run = Run {
        kind,
        world,
        model,
        clients: vec![getter],
        published: 0,
    };
    for step in steps {
        run.step(step)
            .map_err(|error| TestCaseError::fail(format!("{step:?}: {error}")))?;
    }
    Ok(())
}

impl Run {
    fn step(&mut self, step: &Step) -> Result<(), TestCaseError> {
        self.model.room = self.room();
        match step {
            Step::Publish { count, ttl_ms } => self.publish(*count, *ttl_ms)?,
            Step::Consume {
                credit,
                no_ack,
                priority,
            } => match self.clients.len() > MOST_CLIENTS {
                true => self.abandon(self.clients.len() - 1),
                false => self.consume(*credit, *no_ack, *priority),
            },
            Step::GiveRoom(at, more) => self.give_room(*at, *more),
            Step::Abandon(at) => {
                if let consumers @ 1.. = self.clients.len() - 1 {
                    self.abandon(1 + usize::from(*at) % consumers);
                }
            }
            Step::Ack(at, upto) => self.ack(*at, *upto),
            Step::Nack(at, upto) => self.nack(*at, *upto),
            Step::Reject(at, which) => self.reject(*at, *which),
            Step::Get { no_ack } => self.get(*no_ack)?,
            Step::Purge => {
                let purged = self.world.queue.purge(&mut Effects::new());
                prop_assert_eq!(purged, self.model.purge());
            }
            Step::Pass(ms) => {
                self.world.clock.advance(*ms);
                self.model.now_ms += ms;
            }
            Step::Policy(policy) => {
                self.world.set_policy(policy, &self.kind);
                self.model.set_policy(policy);
            }
        }
        self.world.fire_timers();
        self.model.come_to_rest();
        self.check_deliveries()?;
        self.check_letters()?;
        self.check_counts()
    }

    /// How much more those who may be given something take.
    fn room(&self) -> usize {
        let consumers = self.clients.iter().skip(1);
        let most = if self.kind.single_active {
            1
        } else {
            usize::MAX
        };
        consumers.take(most).map(Client::credit).sum()
    }

    fn publish(&mut self, count: u64, ttl_ms: Option<u64>) -> Result<(), TestCaseError> {
        let names = self.published..self.published + count;
        self.published += count;
        let levels = match self.kind.is_quorum {
            // Most have none.
            true => 80,
            false => u64::from(self.kind.max_priority) + 2,
        };
        let batch: Vec<Outgoing> = names
            .map(|name| Outgoing {
                name,
                priority: Some((name * 7 % levels) as u8).filter(|priority| *priority < 40),
                ttl_ms: ttl_ms.filter(|_| name % 3 == 0),
                id: (self.kind.takes_once && name % 4 > 0).then_some((name * 5 % IDS) as u8),
            })
            .collect();
        let refused = self.world.publish(&batch);
        self.model.publish(&batch);
        prop_assert_eq!(&refused, &self.model.refused);
        self.model.refused.clear();
        Ok(())
    }

    fn consume(&mut self, credit: usize, no_ack: bool, priority: i32) {
        // Whose acks are none makes place for the next id at once, whoever it is.
        let no_ack = no_ack && !self.kind.takes_once;
        let priority = if self.kind.single_active { 0 } else { priority };
        let basket = Basket::new(credit);
        let id = self.world.add_consumer(&basket, no_ack, priority);
        let mut effects = Effects::new();
        self.world.queue.resume(&[id], &mut effects);
        effects.complete();
        self.clients.push(Client {
            consumer: Some((id, basket)),
            no_ack,
            priority,
            unacked: Vec::new(),
        });
        let is_passive = self.kind.single_active && self.clients.len() > 2;
        self.model.room += if is_passive { 0 } else { credit };
        self.model.deliver();
    }

    fn give_room(&mut self, at: u16, more: usize) {
        let at = usize::from(at) % self.clients.len();
        let Some((id, basket)) = &self.clients[at].consumer else {
            return;
        };
        basket.give_room(more);
        let mut effects = Effects::new();
        self.world.queue.resume(&[*id], &mut effects);
        effects.complete();
        self.model.room += self.counted(at, more);
        self.model.deliver();
    }

    /// What room of a client's counts.
    fn counted(&self, at: usize, more: usize) -> usize {
        let is_active = at == 1 || !self.kind.single_active && at > 1;
        if is_active { more } else { 0 }
    }

    fn abandon(&mut self, at: usize) {
        let client = self.clients.remove(at);
        let room_without = self.room();
        let (id, _) = client.consumer.expect("a consumer");
        let effects = &mut Effects::new();
        let queue = &self.world.queue;
        let was_active = queue.remove_consumers(&[id], effects);
        assert_eq!(was_active, self.kind.single_active && at == 1);
        let returned: Vec<u64> = client.unacked.iter().map(|seen| seen.sequence).collect();
        queue.requeue(&returned, Cause::Abandoned, &[], effects);
        if was_active {
            queue.activate_next(effects);
        }
        effects.complete();
        // Before the next one is active, nobody is given what comes back.
        self.model.room = if was_active { 0 } else { room_without };
        let names: Vec<u64> = client.unacked.iter().map(|seen| seen.name).collect();
        self.model.give_back(&names, true, 0);
        if was_active {
            self.model.room = room_without;
            self.model.deliver();
        }
    }

    /// A client that has something unacked, from the one on that was drawn.
    fn client_with_unacked(&self, at: u16) -> Option<usize> {
        let count = self.clients.len();
        let mut all = (0..count).map(|more| (usize::from(at) + more) % count);
        all.find(|at| !self.clients[*at].unacked.is_empty())
    }

    /// A client lets go of messages, and has as much more room. Says who is to be resumed.
    fn let_go(&mut self, at: usize, range: std::ops::Range<usize>) -> (Vec<Seen>, Vec<ConsumerId>) {
        let client = &mut self.clients[at];
        let gone: Vec<Seen> = client.unacked.drain(range).collect();
        let mut resume = Vec::new();
        if let Some((id, basket)) = &client.consumer {
            basket.give_room(gone.len());
            resume.push(*id);
        }
        (gone, resume)
    }

    fn ack(&mut self, at: u16, upto: u16) {
        let Some(at) = self.client_with_unacked(at) else {
            return;
        };
        let count = 1 + usize::from(upto) % self.clients[at].unacked.len();
        let (gone, resume) = self.let_go(at, 0..count);
        let ranges: Vec<_> = gone
            .iter()
            .map(|seen| (seen.sequence, seen.sequence))
            .collect();
        let mut effects = Effects::new();
        self.world.queue.ack(&ranges, &resume, &mut effects);
        effects.complete();
        gone.iter().for_each(|seen| self.model.settle(seen.name));
        self.model.room += self.counted(at, gone.len());
        self.model.deliver();
    }

    fn nack(&mut self, at: u16, upto: u16) {
        let Some(at) = self.client_with_unacked(at) else {
            return;
        };
        let cause = match upto % 3 {
            0 => Cause::Rejected,
            1 => Cause::Nacked,
            _ => Cause::TimedOut,
        };
        let len = self.clients[at].unacked.len();
        let upto = usize::from(upto / 3) % len;
        // One, or all up to it.
        let first = if upto.is_multiple_of(2) { upto } else { 0 };
        let (gone, resume) = self.let_go(at, first..upto + 1);
        let returned: Vec<u64> = gone.iter().map(|seen| seen.sequence).collect();
        let mut effects = Effects::new();
        self.world
            .queue
            .requeue(&returned, cause, &resume, &mut effects);
        effects.complete();
        let names: Vec<u64> = gone.iter().map(|seen| seen.name).collect();
        let more = self.counted(at, gone.len());
        self.model.give_back(&names, cause == Cause::Rejected, more);
    }

    fn reject(&mut self, at: u16, which: u16) {
        let Some(at) = self.client_with_unacked(at) else {
            return;
        };
        let which = usize::from(which) % self.clients[at].unacked.len();
        let (gone, resume) = self.let_go(at, which..which + 1);
        let returned: Vec<u64> = gone.iter().map(|seen| seen.sequence).collect();
        let mut effects = Effects::new();
        self.world.queue.reject(&returned, &resume, &mut effects);
        effects.complete();
        gone.iter().for_each(|seen| self.model.reject(seen.name));
        self.model.room += self.counted(at, 1);
        self.model.deliver();
    }

    fn get(&mut self, no_ack: bool) -> Result<(), TestCaseError> {
        let mut effects = Effects::new();
        let mut came = None;
        let got = self
            .world
            .queue
            .get(no_ack, &mut effects, &mut |delivery, remaining| {
                came = Some((Seen::of(delivery), remaining));
            });
        effects.complete();
        prop_assert_eq!(got == Got::Message, came.is_some());
        let expected = self.model.get();
        let names = came.as_ref().map(|(seen, left)| (seen.name, *left));
        let ready = self.model.ready.len() as u64;
        prop_assert_eq!(
            names,
            expected.as_ref().map(|message| (message.name, ready))
        );
        if let (Some((seen, _)), Some(message)) = (came, expected) {
            self.check_marks(&seen, &message)?;
            if !no_ack {
                self.clients[0].unacked.push(seen);
                self.model.unacked.insert(message.name, message);
            }
        }
        Ok(())
    }

    fn check_marks(&self, seen: &Seen, message: &Message) -> Result<(), TestCaseError> {
        prop_assert_eq!(seen.redelivered, message.redelivered, "{:?}", message);
        prop_assert_eq!(seen.returns, message.returns, "{:?}", message);
        let count = |count: u32| (count > 0).then_some(i64::from(count));
        let Returns { all, failures } = message.returns;
        prop_assert_eq!(seen.acquired_count, count(all), "{:?}", message);
        prop_assert_eq!(seen.delivery_count, count(failures), "{:?}", message);
        Ok(())
    }

    /// What was delivered is what the model gave out, whoever got it; each consumer saw its share in
    /// order, and one of lower priority something only if all before it are full.
    fn check_deliveries(&mut self) -> Result<(), TestCaseError> {
        let delivered = std::mem::take(&mut self.model.delivered);
        let mut left: Vec<Option<Message>> = delivered.into_iter().map(Some).collect();
        let mut served: Option<i32> = None;
        for at in 1..self.clients.len() {
            let (_, basket) = self.clients[at].consumer.as_ref().expect("a consumer");
            let new = basket.take_new();
            if !new.is_empty() {
                let priority = self.clients[at].priority;
                served = Some(served.map_or(priority, |lowest| lowest.min(priority)));
            }
            let mut from = 0;
            for seen in new {
                let is_it = |message: &Option<Message>| {
                    message.as_ref().is_some_and(|one| one.name == seen.name)
                };
                let found = left[from..].iter().position(is_it);
                let Some(found) = found.map(|found| from + found) else {
                    let why = format!("{seen:?} was not to come next, of {left:?}");
                    return Err(TestCaseError::fail(why));
                };
                from = found + 1;
                let message = left[found].take().expect("it is it");
                self.check_marks(&seen, &message)?;
                if !self.clients[at].no_ack {
                    self.clients[at].unacked.push(seen);
                    self.model.unacked.insert(message.name, message);
                }
            }
        }
        let missing: Vec<Message> = left.into_iter().flatten().collect();
        prop_assert!(missing.is_empty(), "not delivered: {:?}", missing);
        let mut before = self.clients.iter().skip(1);
        let is_passed_over = before
            .any(|client| served.is_some_and(|low| client.priority > low) && client.credit() > 0);
        prop_assert!(
            !is_passed_over,
            "a lower priority was served before a higher one"
        );
        Ok(())
    }

    /// The same messages died, in the same order, for the same reasons; of one that is over a limit and
    /// has expired, either may be the reason.
    fn check_letters(&mut self) -> Result<(), TestCaseError> {
        let letters = self.world.take_letters();
        let expected = std::mem::take(&mut self.model.letters);
        let names = |letters: &[(u64, String)]| -> Vec<u64> {
            letters.iter().map(|(name, _)| *name).collect()
        };
        prop_assert_eq!(names(&letters), names(&expected));
        for (letter, expected) in letters.iter().zip(&expected) {
            let may_be_either = |reason: &str| matches!(reason, "maxlen" | "expired");
            let is_same =
                letter == expected || may_be_either(&letter.1) && may_be_either(&expected.1);
            prop_assert!(is_same, "{:?} for {:?}", letter, expected);
        }
        Ok(())
    }

    fn check_counts(&self) -> Result<(), TestCaseError> {
        let counts = self.world.queue.counts();
        let found = (
            counts.ready,
            counts.unacked,
            counts.waiting,
            counts.consumers,
        );
        let expected = (
            self.model.ready.len() as u64,
            self.model.unacked.len() as u64,
            self.model.waiting.len() as u64,
            self.clients.len() as u32 - 1,
        );
        prop_assert_eq!(found, expected, "ready, unacked, waiting, consumers");
        Ok(())
    }
}
