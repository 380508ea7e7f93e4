//! How an attempt ends, and how a lead ends: both vocabularies are closed in version 1.

use crate::domain::Address;
use crate::domain::ProviderName;
use crate::domain::Verdict;
use std::fmt;
use std::str::FromStr;

/// Which cap refused a hold that the wallet could have paid.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Cap {
    /// `max_spend_per_lead` of the waterfall.
    Lead,
    /// The job's `max_spend` (`--budget`).
    Job,
}

/// How a provider came to be unavailable.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Outage {
    /// It was called and answered with a fault of its own; the breaker stayed closed.
    Answered,
    /// The breaker of (provider, key) is open: no call, or no further one, was made. The lead may
    /// park until a probe passes.
    BreakerOpen,
    /// Its hold was given back before there was an answer: it expired, or the job was cancelled. The
    /// step may be tried again.
    HoldExpired,
}

/// How throttling ended an attempt.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Throttle {
    /// All tries were used up.
    TriesSpent,
    /// The pause was too long to hold money through it: the hold was given back, the step is tried
    /// again when the pause is over.
    GivenBack,
}

/// How one attempt ended.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Outcome {
    /// A finder returned an address.
    Found,
    /// A finder has none.
    NotFound,
    /// A verifier gave this verdict.
    Judged(Verdict),
    /// The lead lacks the step's inputs; passed over, free.
    NotApplicable,
    /// The wallet cannot pay the step's worst case.
    Unaffordable,
    /// A cap leaves too little for the step's worst case.
    Capped(Cap),
    /// The provider does not accept the key.
    KeyRejected,
    /// The account behind the key is empty.
    ProviderOutOfCredits,
    /// The provider throttles the key.
    RateLimited(Throttle),
    /// Sent, and no answer in time: nobody knows whether it was billed.
    Timeout,
    /// The provider does not accept this request; another one may be fine.
    BadRequest,
    /// The provider is not working.
    Unavailable(Outage),
    /// The answer cannot be understood.
    ProtocolError,
}

impl Outcome {
    /// The contract's word (CONTRACTS §2).
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Found => "found",
            Self::NotFound => "not_found",
            Self::Judged(verdict) => verdict.as_str(),
            Self::NotApplicable => "not_applicable",
            Self::Unaffordable => "unaffordable",
            Self::Capped(_) => "capped",
            Self::KeyRejected => "key_rejected",
            Self::ProviderOutOfCredits => "provider_out_of_credits",
            Self::RateLimited(_) => "rate_limited",
            Self::Timeout => "timeout",
            Self::BadRequest => "bad_request",
            Self::Unavailable(_) => "unavailable",
            Self::ProtocolError => "protocol_error",
        }
    }

    /// The part the contract's word leaves out, for the store.
    pub const fn detail(self) -> Option<&'static str> {
        match self {
            Self::Capped(Cap::Lead) => Some("lead"),
            Self::Capped(Cap::Job) => Some("job"),
            Self::RateLimited(Throttle::GivenBack) => Some("given_back"),
            Self::Unavailable(Outage::BreakerOpen) => Some("breaker_open"),
            Self::Unavailable(Outage::HoldExpired) => Some("hold_expired"),
            Self::RateLimited(Throttle::TriesSpent)
            | Self::Unavailable(Outage::Answered)
            | Self::Found
            | Self::NotFound
            | Self::Judged(_)
            | Self::NotApplicable
            | Self::Unaffordable
            | Self::KeyRejected
            | Self::ProviderOutOfCredits
            | Self::Timeout
            | Self::BadRequest
            | Self::ProtocolError => None,
        }
    }

    /// Reads what [`Outcome::as_str`] and [`Outcome::detail`] wrote.
    pub fn parse(word: &str, detail: Option<&str>) -> Option<Self> {
        Some(match (word, detail) {
            ("found", None) => Self::Found,
            ("not_found", None) => Self::NotFound,
            ("not_applicable", None) => Self::NotApplicable,
            ("unaffordable", None) => Self::Unaffordable,
            ("capped", Some("lead")) => Self::Capped(Cap::Lead),
            ("capped", Some("job")) => Self::Capped(Cap::Job),
            ("key_rejected", None) => Self::KeyRejected,
            ("provider_out_of_credits", None) => Self::ProviderOutOfCredits,
            ("rate_limited", None) => Self::RateLimited(Throttle::TriesSpent),
            ("rate_limited", Some("given_back")) => Self::RateLimited(Throttle::GivenBack),
            ("timeout", None) => Self::Timeout,
            ("bad_request", None) => Self::BadRequest,
            ("unavailable", None) => Self::Unavailable(Outage::Answered),
            ("unavailable", Some("breaker_open")) => Self::Unavailable(Outage::BreakerOpen),
            ("unavailable", Some("hold_expired")) => Self::Unavailable(Outage::HoldExpired),
            ("protocol_error", None) => Self::ProtocolError,
            (word, None) => Self::Judged(word.parse().ok()?),
            _ => return None,
        })
    }

    /// The verifier's verdict, if that is what it is.
    pub const fn verdict(self) -> Option<Verdict> {
        if let Self::Judged(verdict) = self { Some(verdict) } else { None }
    }

    /// An answer counts in every later run; anything else only in the run that made it.
    pub const fn is_answer(self) -> bool {
        match self {
            Self::Found | Self::NotFound | Self::Judged(_) | Self::BadRequest => true,
            Self::NotApplicable
            | Self::Unaffordable
            | Self::Capped(_)
            | Self::KeyRejected
            | Self::ProviderOutOfCredits
            | Self::RateLimited(_)
            | Self::Timeout
            | Self::Unavailable(_)
            | Self::ProtocolError => false,
        }
    }

    /// May a later job of the workspace take this answer at no cost?
    pub const fn is_cacheable(self) -> bool {
        match self {
            Self::Found | Self::NotFound => true,
            Self::Judged(verdict) => !matches!(verdict, Verdict::Unknown),
            Self::NotApplicable
            | Self::Unaffordable
            | Self::Capped(_)
            | Self::KeyRejected
            | Self::ProviderOutOfCredits
            | Self::RateLimited(_)
            | Self::Timeout
            | Self::BadRequest
            | Self::Unavailable(_)
            | Self::ProtocolError => false,
        }
    }
}

/// How a lead ended.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Status {
    /// An address, verdict `valid`.
    Verified,
    /// An address that may bounce, accepted by policy or the best one left.
    Risky,
    /// An address is known, but could not be verified.
    Unverified,
    /// Everything applicable was really tried; there is no acceptable address.
    NotFound,
    /// Not fully searched, no address; something must change first.
    Skipped,
    /// Providers did not answer properly; running it again is safe.
    Failed,
}

/// Why a lead ended so.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Reason {
    /// Nothing is missing.
    None,
    /// The balance cannot pay what is left to try.
    WalletEmpty,
    /// The waterfall's cap per lead is reached.
    LeadCap,
    /// The job's cap is reached.
    JobCap,
    /// Platform credits are used up (a later issue fills that wallet).
    CreditsExhausted,
    /// The customer's own key does not work.
    KeyRejected,
    /// A finder did not answer properly.
    ProvidersUnavailable,
    /// No verifier answered properly.
    VerifiersUnavailable,
    /// The waterfall has no verifier.
    NoVerifier,
    /// No step of the waterfall fits the lead.
    NoSteps,
    /// The lead has too little to work with.
    InvalidInput,
    /// The lead's time was up.
    Deadline,
    /// The job was cancelled.
    Cancelled,
}

impl Reason {
    /// Can the reason have changed, so that `resume` tries the lead again?
    pub const fn is_resumable(self) -> bool {
        !matches!(self, Self::None | Self::NoVerifier | Self::InvalidInput)
    }
}

/// Words of a closed set, both ways.
macro_rules! words {
    ($type:ident { $($variant:ident = $word:literal),+ $(,)? }) => {
        impl $type {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// The contract's word.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }

        impl FromStr for $type {
            type Err = ();

            fn from_str(text: &str) -> Result<Self, ()> {
                match text { $($word => Ok(Self::$variant),)+ _ => Err(()) }
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }
    };
}

words!(Status {
    Verified = "verified",
    Risky = "risky",
    Unverified = "unverified",
    NotFound = "not_found",
    Skipped = "skipped",
    Failed = "failed",
});

words!(Reason {
    None = "none",
    WalletEmpty = "wallet_empty",
    LeadCap = "lead_cap",
    JobCap = "job_cap",
    CreditsExhausted = "credits_exhausted",
    KeyRejected = "key_rejected",
    ProvidersUnavailable = "providers_unavailable",
    VerifiersUnavailable = "verifiers_unavailable",
    NoVerifier = "no_verifier",
    NoSteps = "no_steps",
    InvalidInput = "invalid_input",
    Deadline = "deadline",
    Cancelled = "cancelled",
});

/// How a lead ended in one run: what its result says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ending {
    /// How.
    pub status: Status,
    /// Why.
    pub reason: Reason,
    /// The address the customer gets, if any.
    pub address: Option<Address>,
    /// What is known of that address.
    pub verdict: Option<Verdict>,
    /// Who found it; `None` when it came with the lead.
    pub found_by: Option<ProviderName>,
    /// Whose verdict it is.
    pub verified_by: Option<ProviderName>,
}

impl Ending {
    /// An ending without an address.
    pub const fn without_address(status: Status, reason: Reason) -> Self {
        Self { status, reason, address: None, verdict: None, found_by: None, verified_by: None }
    }

    /// Is (status, reason) one of the pairs of CONTRACTS §2?
    pub fn is_allowed(&self) -> bool {
        use Reason as R;
        match self.status {
            Status::Verified | Status::NotFound => matches!(self.reason, R::None),
            Status::Risky => {
                matches!(
                    self.reason,
                    R::None | R::WalletEmpty | R::ProvidersUnavailable | R::LeadCap | R::JobCap | R::Deadline
                )
            }
            Status::Unverified => matches!(
                self.reason,
                R::WalletEmpty
                    | R::LeadCap
                    | R::JobCap
                    | R::NoVerifier
                    | R::VerifiersUnavailable
                    | R::KeyRejected
                    | R::Deadline
                    | R::Cancelled
            ),
            Status::Skipped => matches!(
                self.reason,
                R::WalletEmpty
                    | R::LeadCap
                    | R::JobCap
                    | R::CreditsExhausted
                    | R::KeyRejected
                    | R::NoSteps
                    | R::InvalidInput
                    | R::Cancelled
            ),
            Status::Failed => matches!(self.reason, R::ProvidersUnavailable | R::Deadline),
        }
    }
}
