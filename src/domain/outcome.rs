//! How an attempt ends: a vocabulary that is closed in version 1.

use crate::domain::Verdict;

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

/// Why a model's answer is no copy. The provider bills it, and it is not asked for again.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Unwritten {
    /// The model declined, or its provider's filter did; charged as the provider charges it.
    Refused,
    /// It was cut off by the output's cap; charged likewise.
    Truncated,
    /// The model's text is no e-mail. The customer pays nothing for it: it is the house's loss.
    NoEmail,
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
    /// A page was read.
    Scraped,
    /// A model wrote copy.
    Written,
    /// A model answered, and it is no copy.
    Unwritten(Unwritten),
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
    /// Sent, and no answer in time: nobody knows whether it was billed. Or not asked: another's answer did not come in
    /// time.
    Timeout,
    /// The provider does not accept this request; another one may be fine. Of copy it says that no model was
    /// asked.
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
            Self::Scraped => "scraped",
            Self::Written => "written",
            Self::NotApplicable => "not_applicable",
            Self::Unaffordable => "unaffordable",
            Self::Capped(_) => "capped",
            Self::KeyRejected => "key_rejected",
            Self::ProviderOutOfCredits => "provider_out_of_credits",
            Self::RateLimited(_) => "rate_limited",
            Self::Timeout => "timeout",
            // The set of words is closed: that a model would not, or could not, is told by detail and reason.
            Self::BadRequest | Self::Unwritten(_) => "bad_request",
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
            Self::Unwritten(Unwritten::Refused) => Some("refused"),
            Self::Unwritten(Unwritten::Truncated) => Some("truncated"),
            Self::Unwritten(Unwritten::NoEmail) => Some("no_email"),
            Self::RateLimited(Throttle::TriesSpent)
            | Self::Unavailable(Outage::Answered)
            | Self::Found
            | Self::NotFound
            | Self::Judged(_)
            | Self::Scraped
            | Self::Written
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
            ("scraped", None) => Self::Scraped,
            ("written", None) => Self::Written,
            ("bad_request", Some("refused")) => Self::Unwritten(Unwritten::Refused),
            ("bad_request", Some("truncated")) => Self::Unwritten(Unwritten::Truncated),
            ("bad_request", Some("no_email")) => Self::Unwritten(Unwritten::NoEmail),
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

    /// An answer counts in every later run; anything else only in the run that made it. What copy makes of
    /// `BadRequest` is the waterfall's.
    pub const fn is_answer(self) -> bool {
        match self {
            Self::Found
            | Self::NotFound
            | Self::Judged(_)
            | Self::Scraped
            | Self::Written
            | Self::Unwritten(_)
            | Self::BadRequest => true,
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
            Self::Found | Self::NotFound | Self::Scraped => true,
            Self::Judged(verdict) => !matches!(verdict, Verdict::Unknown),
            Self::Written
            | Self::Unwritten(_)
            | Self::NotApplicable
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn why_a_models_answer_is_no_copy_is_read_as_it_was_written() {
        for (why, detail) in
            [(Unwritten::Refused, "refused"), (Unwritten::Truncated, "truncated"), (Unwritten::NoEmail, "no_email")]
        {
            let outcome = Outcome::Unwritten(why);
            assert_eq!((outcome.as_str(), outcome.detail()), ("bad_request", Some(detail)));
            assert_eq!(Outcome::parse("bad_request", Some(detail)), Some(outcome));
            assert!(outcome.is_answer() && !outcome.is_cacheable(), "{detail}");
        }
        assert_eq!(Outcome::parse("bad_request", None), Some(Outcome::BadRequest));
    }
}
