//! Confirms while the broker tidies up behind a deep queue of which little is left: what lies between the
//! few messages that stay was acked, and takes room on the disk until it is written anew.

use std::io::{self, Write};

use super::backlog::fill;
use super::topology::{Topology, queue_name};
use super::traffic::Traffic;
use super::{Bench, Scenario};
use crate::client::{CHANNEL, Client, QueueOptions, read_reply};
use crate::figures::Figures;
use crate::load::{ConsumerPlan, PublisherPlan};
use crate::transport::Transport;
use crate::wire::{MethodWriter, Table, method};

const MESSAGES: u64 = 1_000_000;
/// One of so many stays.
const STAYS: u64 = 20;
/// Acks leave together once they are so many bytes.
const FLUSH_BYTES: usize = 64 << 10;

/// The table.
pub fn scenarios() -> Vec<Scenario> {
    let about = "confirm-w1, and again after 1M messages of 1 KiB of another queue were delivered \
                 and all but every 20th acked";
    let scenario = Scenario::new("confirm-w1-rewriting", about, measure);
    vec![scenario.real_broker().long()]
}

fn measure(bench: &Bench) -> io::Result<Figures> {
    let durable = QueueOptions {
        durable: true,
        ..Default::default()
    };
    let queue = queue_name(0);
    let publisher = PublisherPlan::to_queue(&queue, 1024).persistent(1);
    let mut confirms = Traffic::one_to_one(&durable, publisher, ConsumerPlan::automatic(&queue));
    confirms.consumers.clear();
    let quiet = confirms.measure(bench)?;

    let deep = queue_name(1);
    let topology = Topology {
        queues: vec![(deep.clone(), durable)],
        ..Default::default()
    };
    let declared = topology.declare(&bench.url)?;
    let publisher = PublisherPlan::to_queue(&deep, 1024).persistent(1000);
    fill(bench, &publisher, &deep, MESSAGES)?;
    let holder = thin_out(bench, &deep)?;
    let busy = confirms.measure(bench)?;
    drop(holder);
    declared.remove()?;

    let mut figures = Figures::default();
    for (measured, when) in [(quiet, "before"), (busy, "meanwhile")] {
        for mut figure in measured.figures {
            if figure.name.starts_with("confirm") {
                figure.name = format!("{}, {when}", figure.name).into();
                figures.figures.push(figure);
            }
        }
        figures.problems.extend(measured.problems);
    }
    Ok(figures)
}

/// Takes all messages and acks them but for a few, which stay with the connection that is returned.
fn thin_out(bench: &Bench, queue: &str) -> io::Result<Transport> {
    let mut client = Client::open(&bench.url)?;
    client.consume(queue, false, &Table::new())?;
    let (mut stream, mut input) = client.into_parts();
    let mut acks = Vec::new();
    let mut tag = 0;
    while tag < MESSAGES {
        let reply = read_reply(&mut stream, &mut input)?;
        if reply.frame().method_id() != Some(method::BASIC_DELIVER) {
            continue;
        }
        tag += 1;
        if tag % STAYS != 0 {
            MethodWriter::new(&mut acks, CHANNEL, method::BASIC_ACK)
                .longlong(tag)
                .octet(0)
                .end();
        }
        if acks.len() >= FLUSH_BYTES || tag == MESSAGES {
            stream.write_all(&acks)?;
            acks.clear();
        }
    }
    Ok(stream)
}
