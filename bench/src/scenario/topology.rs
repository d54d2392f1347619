//! What a scenario needs declared, and its removal.

use std::io;

use crate::client::{Client, QueueOptions};
use crate::url::BrokerUrl;
use crate::wire::Table;

/// Queues, exchanges and bindings of a scenario.
#[derive(Clone, Debug, Default)]
pub struct Topology {
    /// Names and options.
    pub queues: Vec<(String, QueueOptions)>,
    /// Names and types.
    pub exchanges: Vec<(String, String)>,
    /// Queue, exchange, key, arguments.
    pub bindings: Vec<(String, String, String, Table)>,
}

impl Topology {
    /// So many queues named `q0`, `q1`, ... with the same options.
    pub fn queues(count: usize, options: &QueueOptions) -> Self {
        let queues = (0..count)
            .map(|index| (queue_name(index), options.clone()))
            .collect();
        Topology {
            queues,
            ..Default::default()
        }
    }

    /// Declares everything, after removing what an aborted run may have left.
    pub fn declare(&self, url: &BrokerUrl) -> io::Result<Declared<'_>> {
        let mut admin = Client::open(url)?;
        admin.delete_queues(&self.queues)?;
        admin.declare_queues(&self.queues)?;
        for (exchange, kind) in &self.exchanges {
            admin.delete_exchange(exchange)?;
            admin.declare_exchange(exchange, kind)?;
        }
        let mut rest = self.bindings.as_slice();
        while let Some((_, exchange, _, _)) = rest.first() {
            let same = rest
                .iter()
                .take_while(|binding| binding.1 == *exchange)
                .count();
            let (these, others) = rest.split_at(same);
            let bindings = these
                .iter()
                .map(|(queue, _, key, table)| (queue.as_str(), key.as_str(), table));
            admin.bind_queues(exchange, bindings)?;
            rest = others;
        }
        Ok(Declared {
            topology: self,
            admin,
        })
    }
}

/// A declared topology and the connection that made it.
pub struct Declared<'t> {
    topology: &'t Topology,
    /// For questions in between.
    pub admin: Client,
}

impl Declared<'_> {
    /// Removes everything again.
    pub fn remove(mut self) -> io::Result<()> {
        for (exchange, _) in &self.topology.exchanges {
            self.admin.delete_exchange(exchange)?;
        }
        self.admin.delete_queues(&self.topology.queues)?;
        self.admin.close()
    }
}

/// The name of the queue with this number.
pub fn queue_name(index: usize) -> String {
    format!("q{index}")
}
