//! The shell: takes slices, works their leads from top to bottom, and does what was decided.
//!
//! Knows how a decision becomes calls, holds and records, and who waits for what.
//! Invariant: decides nothing about leads (`waterfall`), money (`ledger::rules`) or wire formats
//! (`providers`). No call leaves without a committed hold; what was learned is committed before the
//! next call of the lead begins. Waiting leads hold no slot, no permit and, but for a poll or a short
//! retry, no money.

mod active;
mod answers;
mod call;
mod engine;
mod intake;
mod lead;
mod meter;
mod money;
mod pump;
mod reader;
mod records;
mod routes;
mod tasks;

pub use engine::Engine;
pub use engine::Settings;
pub use intake::Intake;
pub use intake::IntakeError;
pub use intake::take_in;
pub use lead::LeadEnd;
pub use meter::Meter;
pub use meter::StepTotals;
pub use meter::Totals;
pub use pump::WorkError;
pub use pump::work;
pub use routes::JobWork;
pub use routes::Route;
pub use routes::Routes;
pub use tasks::Tasks;
