//! What every store promises as a [`Ledger`](weir::ledger::Ledger) and as [`Jobs`](weir::jobs::Jobs): each
//! promise is one function on a fresh store.
//!
//! Knows the two traits and nothing below them.
//! Invariant: no SQL and no name of a store, so that the next store joins by calling [`exercise`] and [`race`].

mod cache;
mod holds;
mod lab;
mod leads;
mod race;
mod runs;
mod settlements;
mod suite;
mod waits;
mod wallets;

pub(crate) use lab::Call;
pub(crate) use lab::Lab;
pub(crate) use lab::call;
pub(crate) use race::race;
pub(crate) use suite::exercise;
