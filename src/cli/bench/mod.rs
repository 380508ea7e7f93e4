//! `weir bench`: what the program does on this machine, each figure beside its floor.
//!
//! Knows how a figure is taken (a warm-up, a window, runs in turn with the floor, medians), and the
//! floors themselves: `floor_wallet`, `floor_postgres` and `floor_http`, the least programs for the same
//! work, each a file that says what it leaves out. The worker's floor is a program of its own.
//! Invariant: a run counts only if its money adds up to the nano-dollar; otherwise there is no figure,
//! and exit 1. The floors share nothing with the rooms they are compared with: no store, no HTTP room.

mod books;
mod chain;
mod command;
mod database;
mod enrich;
mod floor_http;
mod floor_postgres;
mod floor_wallet;
mod ledger;
mod load;
mod measure;
mod process;
mod sandbox_process;
mod scratch;
mod visit;
mod wallets;
mod worker;

pub use command::Args;
pub use command::run;
