//! What a worker process does beside working leads.
//!
//! Knows how jobs and control messages come in, how results and happenings go out, how workers know of
//! each other, and how a process starts and drains.
//! Invariant: decides nothing about leads and money (`worker`, `store`). Nothing is acknowledged before
//! it is recorded, and nothing that is recorded is lost with a message.

mod control;
mod gauges;
mod intake;
mod leases;
mod presence;
mod pulse;
mod readiness;
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
