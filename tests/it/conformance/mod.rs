//! What every [`Store`](weir::store::Store) promises: each promise is one function on a fresh store.
//!
//! Knows the traits of a store and nothing below them.
//! Invariant: no SQL and no name of a store, so that the next store joins by calling [`exercise`] and [`race`].

mod askings;
mod cache;
mod campaigns;
mod copy;
mod happenings;
mod holds;
mod keys;
mod lab;
mod leads;
mod loads;
mod owed;
mod race;
mod recharges;
mod runs;
mod settlements;
mod slices;
mod slices_close;
mod stale;
mod suite;
mod told;
mod waits;
mod wallets;

pub(crate) use askings::askings_in_time;
pub(crate) use askings::told_to_a_second;
pub(crate) use copy::race_for_a_page;
pub(crate) use lab::Call;
pub(crate) use lab::Lab;
pub(crate) use lab::call;
pub(crate) use race::race;
pub(crate) use recharges::requests_in_time;
pub(crate) use slices_close::overtake_a_close;
pub(crate) use slices_close::renew_what_is_locked;
pub(crate) use suite::exercise;
