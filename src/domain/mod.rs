//! The nouns: ids, money, leads, addresses, steps, verdicts, outcomes.
//!
//! Knows the vocabulary of the whole program (DESIGN §2) and what its words may be combined to.
//! Invariant: no async, no clock, no I/O, no JSON values, no other room. So nothing here can fail
//! for a reason outside its arguments.

mod about;
mod address;
mod attempt;
mod consumed;
mod copy;
mod ending;
mod fingerprint;
mod ids;
mod lead;
mod money;
mod outcome;
mod query;
mod step;
mod verdict;

pub use about::About;
pub use address::Address;
pub use attempt::{AnswerSource, Attempt, AttemptEnd, AttemptState};
pub use consumed::Consumed;
pub use copy::{
    Brief, Dialect, Draft, KeyPlace, OutputCap, Page, PageUrl, Product, Purpose, TEMPLATE_FIELDS, Tokens, Writing,
    fill, fill_text, unknown_field,
};
pub use ending::{Ending, Reason, Status};
pub use fingerprint::Fingerprint;
pub use ids::{
    AttemptNo, CampaignId, ConfigVersion, JobId, LeadId, ProviderName, Run, WaterfallName, WorkerId, WorkspaceId,
};
pub use lead::Lead;
pub use money::{Amount, AmountError, Usd};
pub use outcome::{Cap, Outage, Outcome, Throttle, Unwritten};
pub use query::{Company, Person, Query};
pub use step::{KeySource, Operation, Step};
pub use verdict::Verdict;
