//! The decision: what is tried next for a lead, and how the lead ends.
//!
//! Knows every rule of DESIGN §3.4 and the table of CONTRACTS §2, as one pure function over a plan
//! and a trail. Waiting (for a poll, a pause, money) is the shell's; the clock enters as `now`, for
//! the deadline alone.
//! Invariant: no I/O, no async, no clock, no money, no provider. So a decision cannot fail, and the
//! same trail always gives the same one: a worker that takes over goes on where the other stopped.

mod copy;
#[cfg(test)]
mod copy_properties;
#[cfg(test)]
mod copy_story;
#[cfg(test)]
mod copy_tests;
mod judge;
mod next;
mod plan;
#[cfg(test)]
mod properties;
mod standing;
#[cfg(test)]
mod tests;

pub use copy::CopyPlan;
pub use copy::ScrapeStep;
pub use copy::WriteStep;
pub use next::Next;
pub use next::cancel;
pub use next::next;
pub use plan::Course;
pub use plan::FindStep;
pub use plan::Keys;
pub use plan::Moment;
pub use plan::Plan;
pub use plan::Risky;
pub use plan::Trail;
pub use plan::VerifyStep;
