//! `weir enrich` and `weir copy`, proved on the built program: real processes, real HTTP, a real store.
//!
//! Providers are a `weir sandbox` in a process of its own, so that its record of calls outlives a killed
//! `weir`, and tells from the other side what was asked and billed.
//! Invariant: nothing here reaches into the crate; what is proved shows in exit codes, files, what the
//! commands print, and that record.

mod budgets;
mod copy_list;
mod faults;
mod folder;
mod forms;
mod interruptions;
mod kills;
mod lists;
mod refusals;
mod running;
mod runs;
mod sandbox_process;
mod secrecy;
