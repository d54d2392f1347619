//! The wire types, held against three others: against themselves (what is written is read back),
//! against the specification's data (an interpreter of `spec/` that shares no code with the
//! generated codec), and against the `amq-protocol` crate.

#[path = "../../fuzz/checks.rs"]
mod checks;
mod corpus;
mod differential;
mod errors;
mod frames;
mod generated;
mod methods;
mod properties;
mod specimens;
mod tables;
mod writer;
