//! Topic exchanges: patterns of words between dots, in which `*` stands for one word and `#` for
//! any number of them.
//!
//! The patterns lie in a trie over their words. A message's key goes through it word by word, with
//! all nodes at once that the words so far lead to: so the work is bounded by the key's words times
//! the nodes that match, however many `#` a pattern has. Binding and unbinding follow one path.

use std::hash::{Hash, Hasher};

use hashbrown::{Equivalent, HashMap};
use slab::Slab;
use smallvec::SmallVec;

use super::destinations::Destinations;
use super::found::Found;
use crate::broker::binding::{Binding, Destination};

/// A place in the trie. The root is at 0, which is nobody's child.
type NodeIndex = u32;
const ROOT: NodeIndex = 0;
/// As a child: there is none.
const NONE: NodeIndex = 0;

/// See the module.
pub(super) struct Topic {
    nodes: Slab<Node>,
    /// Children by parent and word, other than those by `*` and `#`.
    children: HashMap<Edge, NodeIndex>,
}

#[derive(Default)]
struct Node {
    /// The child by `*`.
    one: NodeIndex,
    /// The child by `#`.
    many: NodeIndex,
    /// How many children by other words it has.
    words: u32,
    destinations: Destinations,
}

impl Node {
    fn is_unused(&self) -> bool {
        self.one == NONE && self.many == NONE && self.words == 0 && self.destinations.is_empty()
    }
}

/// A parent and a word.
#[derive(PartialEq, Eq)]
struct Edge {
    parent: NodeIndex,
    word: Box<str>,
}

#[derive(PartialEq, Eq, Hash)]
struct EdgeRef<'a> {
    parent: NodeIndex,
    word: &'a str,
}

impl Hash for Edge {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let Self { parent, word } = self;
        EdgeRef {
            parent: *parent,
            word,
        }
        .hash(state);
    }
}

impl Equivalent<Edge> for EdgeRef<'_> {
    fn equivalent(&self, edge: &Edge) -> bool {
        self.parent == edge.parent && self.word == &*edge.word
    }
}

impl Default for Topic {
    fn default() -> Self {
        let mut nodes = Slab::new();
        nodes.insert(Node::default());
        Self {
            nodes,
            children: HashMap::new(),
        }
    }
}

/// The words of a key or pattern. An empty one has none; `a.` has two, the second empty.
fn words(key: &str) -> impl Iterator<Item = &str> {
    let words = (!key.is_empty()).then(|| key.split('.'));
    words.into_iter().flatten()
}

impl Topic {
    pub fn add(&mut self, binding: &Binding) {
        self.add_pattern(&binding.routing_key, &binding.destination);
    }

    pub fn remove(&mut self, binding: &Binding) {
        self.remove_pattern(&binding.routing_key, &binding.destination);
    }

    fn add_pattern(&mut self, pattern: &str, destination: &Destination) {
        let mut at = ROOT;
        for word in words(pattern) {
            at = match self.child(at, word) {
                NONE => self.add_child(at, word),
                child => child,
            };
        }
        if let Some(node) = self.nodes.get_mut(at as usize) {
            node.destinations.add(destination);
        }
    }

    fn remove_pattern(&mut self, pattern: &str, destination: &Destination) {
        let mut path: SmallVec<[(NodeIndex, &str); 16]> = SmallVec::new();
        let mut at = ROOT;
        for word in words(pattern) {
            path.push((at, word));
            at = self.child(at, word);
            if at == NONE {
                return;
            }
        }
        if let Some(node) = self.nodes.get_mut(at as usize) {
            node.destinations.remove(destination);
        }
        while let Some((parent, word)) = path.pop() {
            if !self.nodes.get(at as usize).is_some_and(Node::is_unused) {
                return;
            }
            self.remove_child(parent, word, at);
            at = parent;
        }
    }

    fn child(&self, parent: NodeIndex, word: &str) -> NodeIndex {
        let Some(node) = self.nodes.get(parent as usize) else {
            return NONE;
        };
        match word {
            "*" => node.one,
            "#" => node.many,
            _ if node.words == 0 => NONE,
            _ => self
                .children
                .get(&EdgeRef { parent, word })
                .copied()
                .unwrap_or(NONE),
        }
    }

    fn add_child(&mut self, parent: NodeIndex, word: &str) -> NodeIndex {
        let child = self.nodes.insert(Node::default()) as NodeIndex;
        if let Some(node) = self.nodes.get_mut(parent as usize) {
            match word {
                "*" => node.one = child,
                "#" => node.many = child,
                _ => {
                    node.words += 1;
                    let word = word.into();
                    self.children.insert(Edge { parent, word }, child);
                }
            }
        }
        child
    }

    fn remove_child(&mut self, parent: NodeIndex, word: &str, child: NodeIndex) {
        self.nodes.try_remove(child as usize);
        if let Some(node) = self.nodes.get_mut(parent as usize) {
            match word {
                "*" => node.one = NONE,
                "#" => node.many = NONE,
                _ => {
                    node.words -= 1;
                    self.children.remove(&EdgeRef { parent, word });
                }
            }
        }
    }

    pub fn find(&self, routing_key: &str, found: &mut Found) {
        let mut walk = Walk::default();
        walk.enter(self, ROOT);
        for word in words(routing_key) {
            walk.step(self, word);
        }
        for &at in walk.here.iter().chain(&walk.many) {
            let Some(node) = self.nodes.get(at as usize) else {
                continue;
            };
            if !node.destinations.is_empty() {
                found.add_all(node.destinations.iter());
            }
        }
    }
}

/// Where the words so far lead to. No node is in it twice: one that was not entered by `#` is
/// entered only from its parent, and those entered by `#` are kept in order.
#[derive(Default)]
struct Walk {
    /// Nodes that exactly the words so far lead to.
    here: SmallVec<[NodeIndex; 16]>,
    /// The same after the next word.
    next: SmallVec<[NodeIndex; 16]>,
    /// Nodes entered by `#`, which takes all further words too, in ascending order.
    many: SmallVec<[NodeIndex; 16]>,
}

impl Walk {
    fn step(&mut self, topic: &Topic, word: &str) {
        self.next.clear();
        for &at in self.here.iter().chain(&self.many) {
            let Some(node) = topic.nodes.get(at as usize) else {
                continue;
            };
            if node.one != NONE {
                self.next.push(node.one);
            }
            if node.words > 0 {
                let child = topic.children.get(&EdgeRef { parent: at, word });
                self.next.extend(child.copied());
            }
        }
        self.here.clear();
        std::mem::swap(&mut self.here, &mut self.next);
        for index in 0..self.here.len() {
            if let Some(&at) = self.here.get(index) {
                self.enter_many(topic, at);
            }
        }
    }

    fn enter(&mut self, topic: &Topic, at: NodeIndex) {
        self.here.push(at);
        self.enter_many(topic, at);
    }

    /// `#` takes no word, too: with a node come its child by `#`, and that one's.
    fn enter_many(&mut self, topic: &Topic, mut at: NodeIndex) {
        while let Some(node) = topic.nodes.get(at as usize) {
            if node.many == NONE {
                return;
            }
            at = node.many;
            match self.many.binary_search(&at) {
                // Its own child by `#` came with it.
                Ok(_) => return,
                Err(place) => self.many.insert(place, at),
            }
        }
    }
}
