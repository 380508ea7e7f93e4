//! A list worked as one job on this machine: what `weir enrich` and `weir copy` have in common.
//!
//! Knows the order of things: look everything through, say what it would cost, fund the job, load it,
//! work it, write the list back. What is done for each lead the command says.
//! Invariant: nothing is written and nothing is spent before list, configuration, keys and output
//! have been looked through.

mod arguments;
mod budget;
mod identity;
mod job;
mod list;
mod output;
mod progress;
mod setup;
mod summary;
mod working;

pub(in crate::cli) use arguments::ListArgs;
pub(in crate::cli) use budget::Estimate;
pub(in crate::cli) use budget::budget;
pub(in crate::cli) use budget::times;
pub(in crate::cli) use identity::parts_of_list;
pub(in crate::cli) use job::Commission;
pub(in crate::cli) use job::ListRun;
pub(in crate::cli) use list::List;
pub(in crate::cli) use setup::TRY_WITHOUT_KEYS;
pub(in crate::cli) use setup::live_for;
pub(in crate::cli) use setup::workspace;
