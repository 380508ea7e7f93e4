//! How one step stands for one question, read off the trail.

use crate::domain::About;
use crate::domain::Attempt;
use crate::domain::AttemptEnd;
use crate::domain::Cap;
use crate::domain::KeySource;
use crate::domain::Outage;
use crate::domain::Outcome;
use crate::domain::Reason;
use crate::domain::Step;
use crate::domain::Throttle;
use crate::waterfall::Keys;
use crate::waterfall::Trail;

const GIVEN_BACK: Outcome = Outcome::RateLimited(Throttle::GivenBack);
const BREAKER_OPEN: Outcome = Outcome::Unavailable(Outage::BreakerOpen);
const HOLD_EXPIRED: Outcome = Outcome::Unavailable(Outage::HoldExpired);

/// Tries of a step in one run whose holds were given back for a long pause: a provider that only
/// ever throttles must not keep a lead for ever.
const MAX_GIVEN_BACK: usize = 3;

/// A lead parks once for a provider whose breaker is open; when that did not help, it ends.
const MAX_BREAKER_OPEN: usize = 2;

/// Why a step gave no answer in this run, the weightiest first: the order of CONTRACTS §2 when
/// several apply.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Setback {
    /// The balance cannot pay it.
    WalletEmpty,
    /// The lead's cap is reached.
    LeadCap,
    /// The job's cap is reached.
    JobCap,
    /// The customer's own key does not work.
    OwnKey,
    /// The provider did not answer properly, or the house's key or account there does not work.
    Unavailable,
}

impl Setback {
    fn of(outcome: Outcome, key_source: KeySource) -> Option<Self> {
        match outcome {
            Outcome::Found
            | Outcome::NotFound
            | Outcome::Judged(_)
            | Outcome::Scraped
            | Outcome::Written
            | Outcome::Unwritten(_)
            | Outcome::BadRequest
            | Outcome::NotApplicable => None,
            Outcome::Unaffordable => Some(Self::WalletEmpty),
            Outcome::Capped(Cap::Lead) => Some(Self::LeadCap),
            Outcome::Capped(Cap::Job) => Some(Self::JobCap),
            Outcome::KeyRejected | Outcome::ProviderOutOfCredits => match key_source {
                KeySource::Own => Some(Self::OwnKey),
                KeySource::House => Some(Self::Unavailable),
            },
            Outcome::RateLimited(_) | Outcome::Timeout | Outcome::Unavailable(_) | Outcome::ProtocolError => {
                Some(Self::Unavailable)
            }
        }
    }

    /// The reason of a lead that ends because of it.
    pub(super) const fn reason(self) -> Reason {
        match self {
            Self::WalletEmpty => Reason::WalletEmpty,
            Self::LeadCap => Reason::LeadCap,
            Self::JobCap => Reason::JobCap,
            Self::OwnKey => Reason::KeyRejected,
            Self::Unavailable => Reason::ProvidersUnavailable,
        }
    }
}

/// How a step stands.
#[derive(Debug)]
pub(super) enum Standing<'a> {
    /// It can be tried now, with this key (or goes on, if it was begun and has no answer yet).
    Open(KeySource),
    /// Its breaker was open; it is worth waiting for when nothing else helps.
    AfterOutage(KeySource),
    /// Answered, in this run or an earlier one; it is never asked again.
    Answered(&'a AttemptEnd),
    /// The lead lacks its inputs; noted in this run.
    PassedOver,
    /// No answer in this run; a later one may try again.
    Closed(Setback),
}

/// How `step` stands for the question about `about` (an address to verify, a page to read; `None` where the
/// step alone tells).
pub(super) fn standing<'a>(trail: &'a Trail, step: &Step, keys: Keys, about: Option<&About>) -> Standing<'a> {
    let asked = |attempt: &&Attempt| attempt.step == *step && attempt.about.as_ref() == about;
    let (mut given_back, mut breaker_open, mut last) = (0_usize, 0_usize, None);
    let mut own_failed = false;
    for attempt in trail.attempts.iter().filter(asked) {
        let Some(end) = attempt.end() else { return Standing::Open(attempt.key_source) };
        if end.outcome.is_answer() {
            return Standing::Answered(end);
        }
        if attempt.run != trail.run {
            continue;
        }
        let setback = Setback::of(end.outcome, attempt.key_source);
        if setback == Some(Setback::OwnKey) && keys == Keys::OwnThenHouse {
            // The house's key is asked as if the step had not been tried before.
            (given_back, breaker_open, last, own_failed) = (0, 0, None, true);
            continue;
        }
        given_back = given_back.saturating_add(usize::from(end.outcome == GIVEN_BACK));
        breaker_open = breaker_open.saturating_add(usize::from(end.outcome == BREAKER_OPEN));
        last = Some((end.outcome, setback));
    }
    let key = match keys {
        Keys::Only(source) => source,
        Keys::OwnThenHouse if own_failed => KeySource::House,
        Keys::OwnThenHouse => KeySource::Own,
    };
    let Some((outcome, setback)) = last else { return Standing::Open(key) };
    if outcome == HOLD_EXPIRED || (outcome == GIVEN_BACK && given_back < MAX_GIVEN_BACK) {
        return Standing::Open(key);
    }
    if outcome == BREAKER_OPEN && breaker_open < MAX_BREAKER_OPEN {
        return Standing::AfterOutage(key);
    }
    setback.map_or(Standing::PassedOver, Standing::Closed)
}
