//! `weir worker` on a real broker and a real store: several workers, many jobs, and what can happen to them.
//!
//! Knows what an operator and a platform see: commands, messages, metrics, and the providers' own record of calls.
//! What takes long is named `soak_` and left out; `./scripts/test --run-ignored all soak` runs it.
//! Invariant: nothing here reaches into the crate, and a test waits for a sign, not for time to pass, unless a length
//! of time is what it proves.

mod broker;
mod campaigns;
mod copy;
mod copy_kills;
mod copy_messages;
mod dice;
mod drain;
mod events;
mod fairness;
mod keys;
mod kill_points;
mod kills;
mod lease;
mod messages;
mod money;
mod pages;
mod recharge;
mod reloads;
mod sources;
mod stage;
mod told;
mod written;
