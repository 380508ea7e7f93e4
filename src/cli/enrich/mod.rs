//! `weir enrich`: the main job on one machine.
//!
//! Knows the order of things: look everything through, say what it would cost, fund the job, load it,
//! work it, write the list back.
//! Invariant: nothing is written and nothing is spent before list, configuration, keys and output
//! have been looked through.

mod arguments;
mod command;
mod estimate;
mod identity;
mod output;
mod progress;
mod setup;
mod summary;

pub use arguments::Args;
pub use command::run;
