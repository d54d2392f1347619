//! Methods (skeleton; will be generated from `spec/`).

/// Every method.
#[derive(Clone, Debug, PartialEq)]
pub enum Method {}
