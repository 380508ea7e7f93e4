//! What a worker process does beside working leads.
//!
//! Knows how jobs and control messages come in, how results and happenings go out, when wallets are asked to
//! be filled, how workers know of each other, and how a process starts and drains.
//! Invariant: decides nothing about leads and money (`worker`, `store`). Nothing is acknowledged before
//! it is recorded, and nothing that is recorded is lost with a message.

mod control;
mod fate;
mod gauges;
mod intake;
mod leases;
mod notices;
mod order;
mod presence;
mod pulse;
mod readiness;
mod recharges;
mod relay;
mod reload;
mod resumes;
#[cfg(feature = "s3")]
mod s3;
mod sources;
mod start;
mod sweep;
mod teller;

pub use gauges::Gauges;
pub use start::Crew;
pub use start::CrewError;
pub use start::run;
