//! The simulated world: three workers, their store, their queue and their providers in one thread, on a clock that
//! only waiting moves, with everything that can go wrong going wrong.
//!
//! One seed is one world: its leads, its money, its providers' answers, its faults and their moments. The same seed
//! plays the same again. Workers, group commit and rules are the real ones; doubles are the store's rows
//! (`store::memory`), the queue ([`broker`]), the providers ([`providers`]) and whoever hears of results
//! ([`audience`]). Everything passes a [`body::Body`], which says whether a worker is alive, frozen or cut off; so a
//! worker can die at each of the points where its work leaves a mark.
//! The [`auditor`] watches every change of the store, keeps a simple model of its own, and compares at the end.
//!
//! Icypeas is not played: the reader of late answers goes by the order of a hash map, which no seed repeats.
//! Invariant: nothing is decided by the real clock, by a hash map's order or by a second thread. A double never makes
//! up for a mistake of what it stands beside.

mod audience;
mod auditor;
mod body;
mod broker;
mod dice;
mod faults;
mod findings;
mod leads;
mod plan;
mod planted;
mod prices;
mod providers;
mod question;
mod record;
mod setup;
mod stage;
mod tests;
mod wire;
mod workers;
mod world;
