//! `weir copy`: AI copy for a list, on one machine.
//!
//! Knows how a brief is given on the command line, what it can cost, and what makes two runs the same
//! job; how a list is worked, `list_run` knows.

mod arguments;
mod brief;
mod command;
mod cost;
mod estimate;
mod identity;
mod setup;
mod survey;

pub use arguments::Args;
pub use command::run;
