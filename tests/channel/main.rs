//! The channel machine without a socket: what needs a say in how the input is cut into reads, how
//! much room the outgoing buffer has, or who runs when. (What a client sees over the wire is
//! `tests/conformance`'s.)

mod client;

mod confirming;
mod consuming;
mod prefetching;
mod publishing;
mod racing;
mod safe;
mod settling;
mod transactions;
