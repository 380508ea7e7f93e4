//! The shell: takes slices, works their leads from top to bottom, and does what was decided.
//!
//! Knows how a decision becomes calls, holds and records, and who waits for what.
//! Invariant: decides nothing about leads (`waterfall`), money (`ledger::rules`) or wire formats
//! (`providers`). No call leaves without a committed hold; what was learned is committed before the
//! next call of the lead begins. Waiting leads hold no slot, no permit and, but for a poll or a short
//! retry, no money.

mod active;
mod announce;
mod answers;
mod call;
mod engine;
mod intake;
mod keyring;
mod lead;
mod lease;
mod meter;
mod money;
mod parts;
mod pump;
mod reader;
mod records;
mod routes;
mod running;
#[cfg(test)]
mod simulation;
mod slice;
mod takeover;
mod tasks;
mod waits;
mod works;

pub use announce::Announce;
pub use announce::AnnounceLater;
pub use announce::Announced;
pub use announce::Telling;
pub use engine::Engine;
pub use engine::Parts;
pub use engine::Settings;
pub use intake::Intake;
pub use intake::IntakeError;
pub use intake::take_in;
pub use intake::take_in_leads;
pub use keyring::Keyring;
pub use keyring::OwnKey;
pub use keyring::WorkspaceKeys;
pub use lead::LeadEnd;
pub use meter::Meter;
pub use meter::StepTotals;
pub use meter::Totals;
pub use pump::WorkError;
pub use pump::work;
pub use routes::Route;
pub use routes::Routes;
pub use routes::Sources;
pub use routes::StepRoutes;
pub use tasks::Tasks;
pub use works::JobWork;
pub use works::Overrides;
pub use works::Works;
