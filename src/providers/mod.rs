//! The providers' wire formats: each adapter builds a request and reads a reply.
//!
//! Knows every provider's paths, fields, faults and charges (`providers/` of the project's shared
//! pages names the source of each fact; each file repeats it where it is used).
//! Invariant: no I/O, no clock, no price in dollars, no retry, no log. An adapter cannot fail: what it
//! cannot read is a [`Fault::ProtocolError`]. What a page says is data in a request, and never a part of
//! what a model is told. Adding a provider is one file, one line in [`TABLE`], its fixtures and its page.

mod anthropic;
mod findymail;
mod firecrawl;
mod icypeas;
mod json;
mod leadmagic;
mod millionverifier;
mod models;
mod openai;
mod prospeo;
mod request;
mod status;
#[cfg(test)]
mod tests;
mod text;
mod tokens;
mod zerobounce;

pub use request::Auth;
pub use request::Method;
pub use request::Reply;
pub use request::Request;
pub(crate) use tokens::warm;

use crate::domain::Address;
use crate::domain::Consumed;
use crate::domain::Draft;
use crate::domain::Lead;
use crate::domain::Operation;
use crate::domain::Query;
use crate::domain::Tokens;
use crate::domain::Unwritten;
use crate::domain::Verdict;
use rust_decimal::Decimal;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Every provider there is, by the `kind` of its configuration table.
pub static TABLE: &[&dyn Provider] = &[
    &leadmagic::LeadMagic,
    &prospeo::Prospeo,
    &findymail::Findymail,
    &icypeas::Icypeas,
    &zerobounce::ZeroBounce,
    &millionverifier::MillionVerifier,
    &firecrawl::Firecrawl,
    &openai::OpenAi,
    &anthropic::Anthropic,
];

/// The adapter of a `kind`.
pub fn by_kind(kind: &str) -> Option<&'static dyn Provider> {
    TABLE.iter().copied().find(|provider| provider.kind() == kind)
}

/// One provider's translator. All methods are pure.
pub trait Provider: Send + Sync {
    /// Its word in the configuration (`kind`), and the prefix the sandbox serves it under.
    fn kind(&self) -> &'static str;

    /// What it can do.
    fn operations(&self) -> &'static [Operation];

    /// The question a find step asks for this lead, or `None` when the lead lacks the inputs.
    /// By name and company first, else by LinkedIn profile; a provider without a profile search
    /// overrides it.
    fn find_query(&self, lead: &Lead) -> Option<Query> {
        Query::by_name(lead).or_else(|| Query::by_profile(lead))
    }

    /// The most that this question can consume.
    fn worst_case(&self, query: &Query) -> Consumed;

    /// The call that asks it. `reference` is the attempt's own id, for providers that echo one.
    fn request(&self, query: &Query, reference: &str) -> Request;

    /// What the reply means. `turn` is 0 for the reply to [`Provider::request`], 1 and 2 for the
    /// replies to questions asked by [`Reading::Ask`]; at most two are asked.
    fn read(&self, query: &Query, turn: u8, reply: &Reply<'_>) -> Reading;

    /// What may be done about a request that was sent and got no complete answer.
    fn after_lost_answer(&self) -> LostAnswer {
        LostAnswer::GiveUp
    }

    /// For providers that answer later: how to read many answers with one call.
    fn deferred(&self) -> Option<&dyn Deferred> {
        None
    }
}

/// Reading the answers of a provider that answers later, many with one call.
pub trait Deferred: Send + Sync {
    /// Reads the newest answers of an operation, whoever waits for them.
    fn read_many(&self, operation: Operation) -> Request;

    /// Reads one answer by its handle.
    fn read_one(&self, handle: &str) -> Request;

    /// This handle's part of a reply to `read_many` or `read_one`; `None` when it is not in it.
    /// A `Reading::Done` with a fault of the key or the whole provider stands for every handle.
    fn pick(&self, query: &Query, reply: &Reply<'_>, handle: &str) -> Option<Reading>;

    /// The handle of the submission that carried `reference`, if the reply to `read_many` lists
    /// it: how a lost answer to a submission is found again. `None` proves nothing when the read
    /// itself was refused: `pick` says so, with a fault for every handle.
    fn find_reference(&self, reply: &Reply<'_>, reference: &str) -> Option<String>;
}

/// What a reply meant.
#[derive(Debug, Clone, PartialEq)]
pub enum Reading {
    /// It answers the question, or says why not.
    Done(Answer),
    /// The answer comes later, under this handle; not before `after`.
    Later {
        /// The provider's own id of the submission.
        handle: String,
        /// How long to wait before the first read.
        after: Duration,
    },
    /// One more call is needed to understand it.
    Ask(Request),
}

/// An answer, with what it cost by the provider's own rule.
#[derive(Clone, PartialEq)]
pub enum Answer {
    /// A finder's address, and what the finder itself says of it (`Valid` counts as a
    /// verification where the waterfall sets `trust_finders`).
    Found {
        /// The address.
        address: Address,
        /// The finder's own verdict; `Unknown` when it says nothing.
        claim: Verdict,
        /// Provider credits consumed.
        credits: Decimal,
    },
    /// A finder has no address.
    NotFound {
        /// Provider credits consumed (most charge nothing).
        credits: Decimal,
    },
    /// A verifier's verdict.
    Judged {
        /// The verdict.
        verdict: Verdict,
        /// Provider credits consumed.
        credits: Decimal,
    },
    /// A page's text, capped.
    Scraped {
        /// What it says: somebody else's words.
        text: Arc<str>,
        /// Provider credits consumed.
        credits: Decimal,
    },
    /// A model's copy.
    Written {
        /// What it wrote.
        draft: Draft,
        /// What it counted; `None` when it did not say.
        tokens: Option<Tokens>,
        /// What that consumed: the tokens, a reported cost that is believed, or nothing said.
        consumed: Consumed,
    },
    /// A model's answer that is no copy; charged all the same, unless it is whole and no e-mail.
    Unwritten {
        /// Why not.
        why: Unwritten,
        /// What it counted; `None` when it did not say.
        tokens: Option<Tokens>,
        /// What that consumed.
        consumed: Consumed,
    },
    /// No answer.
    Fault(Fault),
}

impl fmt::Debug for Answer {
    /// Never a page's words.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Found { address, claim, credits } => write!(f, "Found({address:?}, {claim:?}, {credits})"),
            Self::NotFound { credits } => write!(f, "NotFound({credits})"),
            Self::Judged { verdict, credits } => write!(f, "Judged({verdict:?}, {credits})"),
            Self::Scraped { text, credits } => write!(f, "Scraped({} bytes, {credits})", text.len()),
            Self::Written { consumed, .. } => write!(f, "Written({consumed:?})"),
            Self::Unwritten { why, consumed, .. } => write!(f, "Unwritten({why:?}, {consumed:?})"),
            Self::Fault(fault) => write!(f, "Fault({fault:?})"),
        }
    }
}

/// Why there is no answer. Variants are named for what the caller does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Stop this key.
    KeyRejected,
    /// Stop this key for long; its account is empty, suspended or paused.
    ProviderOutOfCredits,
    /// Pause this key as long as the provider says, then try again.
    RateLimited {
        /// What the provider said, if it did.
        retry_after: Option<Duration>,
    },
    /// A complete answer that says the provider itself has failed, and bills nothing: try again.
    Unavailable,
    /// Unreadable, and it may have been billed: do not repeat.
    ProtocolError,
    /// This request is not acceptable: go on with the next step.
    BadRequest,
}

/// What may be done about a request that was sent and got no complete answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LostAnswer {
    /// Nothing: it may have been billed, and a repeat would be billed again.
    GiveUp,
    /// Repeat it: the provider does not bill the same question twice.
    Repeat,
    /// Look it up by its reference ([`Deferred::find_reference`]); submit again only when it is
    /// not there.
    LookUp,
}
