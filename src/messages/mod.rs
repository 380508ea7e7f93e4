//! The messages: what is read from the broker and what is said there (CONTRACTS §4).
//!
//! Knows every JSON message as a type: how one is read, with a refusal that names the field; how one
//! is written; its schema, and where it travels. What the fields of a lead are cleaned to, `lists` knows.
//! Invariant: no I/O, no clock, no broker. A refusal names fields and ids and repeats nothing else:
//! any other value may be a person's.

mod asyncapi;
mod events;
mod fields;
mod incoming;
mod internal;
mod leads;
mod limits;
mod notices;
mod nouns;
mod read;
mod refusal;
mod results;
mod schema;
#[cfg(test)]
mod tests;

pub use asyncapi::asyncapi;
pub use events::Message;
pub use events::event_id;
pub use events::must_be_routed;
pub use events::routing_key;
pub use events::run_event_id;
pub use incoming::CampaignActivate;
pub use incoming::ConfigReload;
pub use incoming::CopyJob;
pub use incoming::EnrichmentJob;
pub use incoming::Incoming;
pub use incoming::JobAction;
pub use incoming::JobControl;
pub use incoming::Personalize;
pub use incoming::ReloadFrom;
pub use incoming::TopUp;
pub use internal::KeysChanged;
pub use internal::Presence;
pub use internal::WorkerStopped;
pub use leads::Leads;
pub use leads::RawLead;
pub use limits::BODY_LIMIT;
pub use limits::INSTRUCTIONS_LIMIT;
pub use limits::LEADS_LIMIT;
pub use limits::OUTPUT_TOKENS_LIMIT;
pub use limits::URLS_LIMIT;
pub use limits::USUAL_OUTPUT_TOKENS;
pub use limits::is_id;
pub use limits::page_problem;
pub use notices::CampaignActivated;
pub use notices::CampaignDeactivated;
pub use notices::CampaignRefused;
pub use notices::ConfigApplied;
pub use notices::ConfigMistake;
pub use notices::ConfigRejected;
pub use notices::KeyRejected;
pub use notices::ProviderOutOfCredits;
pub use notices::RechargeFailed;
pub use notices::RechargeRequested;
pub use notices::WalletEmpty;
pub use notices::WalletLow;
pub use read::read;
pub use refusal::Refusal;
pub use results::CopyResult;
pub use results::JobCompleted;
pub use results::JobHead;
pub use results::LeadResult;
pub use results::TrailStep;
pub use results::Usage;
pub use schema::schemas;
