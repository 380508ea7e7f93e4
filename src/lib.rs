//! weir enriches sales leads over paid third-party providers, waterfall by waterfall, and counts
//! every cent. `ARCHITECTURE.md` says how it hangs together; each room opens with what it knows.

pub mod cli;
pub mod clock;
pub mod config;
pub mod crew;
pub mod domain;
pub mod http;
pub mod jobs;
pub mod keys;
pub mod ledger;
pub mod lists;
pub mod messages;
pub mod metrics;
pub mod pricing;
pub mod providers;
pub mod queue;
pub mod roster;
pub mod sandbox;
pub mod store;
pub mod waterfall;
pub mod worker;
