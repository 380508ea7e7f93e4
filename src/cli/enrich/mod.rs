//! `weir enrich`: the main job on one machine.
//!
//! Knows which waterfall, what it can cost, and what makes two runs the same job; how a list is worked,
//! `list_run` knows.

mod arguments;
mod command;
mod estimate;
mod identity;
mod setup;

pub use arguments::Args;
pub use command::run;
