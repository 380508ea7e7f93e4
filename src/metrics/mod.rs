//! What is counted and measured, and where it is read: `/metrics`, `/healthz`, `/readyz`.
//!
//! Knows the names and labels of CONTRACTS §5, one function each, and Prometheus' text format. Nothing
//! is recorded before [`install`]: commands that serve nobody count nothing.
//! Invariant: no key, address, workspace, job or lead in a label, so that there are as many series as
//! there are providers and words, however many customers. Money is shown from whole nano-dollars, to
//! look at: the ledger is the truth.

mod families;
mod recorded;
mod server;
mod sums;

pub use recorded::Exposition;
pub use recorded::InstallError;
pub use recorded::amqp_blocked;
pub use recorded::attempt;
pub use recorded::call_repeated;
pub use recorded::call_seconds;
pub use recorded::config_version;
pub use recorded::copy_ended;
pub use recorded::copy_spend;
pub use recorded::dead_letter;
pub use recorded::holds_open;
pub use recorded::house_loss;
pub use recorded::install;
pub use recorded::known_model_provider;
pub use recorded::known_provider;
pub use recorded::lead_ended;
pub use recorded::lead_seconds;
pub use recorded::ledger_batch;
pub use recorded::outbox_unpublished;
pub use recorded::slices_held;
pub use recorded::slices_set_aside;
pub use recorded::spend;
pub use recorded::tokens;
pub use recorded::unroutable;
pub use recorded::usage_missing;
pub use server::Readiness;
pub use server::bind;
pub use server::serve;
