//! What comes from clients that are broken or mean: the right error or a clean end, in bounded
//! memory, within the configured time, and nobody else notices.

#[path = "../support/mod.rs"]
mod support;

mod bystander;
mod contents;
mod floods;
mod frames;
mod garbage;
mod stalls;
mod tables;
