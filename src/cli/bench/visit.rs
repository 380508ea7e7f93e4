//! One lead's two calls, written down as a worker writes them; nobody is called.

use crate::cli::bench::load::HELD;
use crate::cli::bench::load::owed;
use crate::domain::About;
use crate::domain::Address;
use crate::domain::AnswerSource;
use crate::domain::Attempt;
use crate::domain::AttemptEnd;
use crate::domain::AttemptNo;
use crate::domain::AttemptState;
use crate::domain::ConfigVersion;
use crate::domain::Fingerprint;
use crate::domain::KeySource;
use crate::domain::Operation;
use crate::domain::Outcome;
use crate::domain::ProviderName;
use crate::domain::Run;
use crate::domain::Step;
use crate::domain::Usd;
use crate::domain::Verdict;
use crate::ledger::AccountId;
use crate::ledger::Answer;
use crate::ledger::Begin;
use crate::ledger::Boundary;
use crate::ledger::Charged;
use crate::ledger::Committed;
use crate::ledger::Ended;
use crate::ledger::LeadKey;
use crate::ledger::Then;
use crate::ledger::rules::Owed;
use std::time::Duration;

/// How long a hold may last: a lead's deadline and its grace.
const HOLD_FOR: Duration = Duration::from_secs(15 * 60);

/// The calls of a visit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Call {
    Find,
    Verify,
}

/// One boundary of a visit: which call ends, and which begins.
#[derive(Clone, Copy, Debug)]
pub(super) struct Turn {
    ends: Option<Call>,
    begins: Option<Call>,
}

/// A boundary for each hold and each settlement, as the floor has it.
pub(super) const APART: &[Turn] = &[
    Turn { ends: None, begins: Some(Call::Find) },
    Turn { ends: Some(Call::Find), begins: None },
    Turn { ends: None, begins: Some(Call::Verify) },
    Turn { ends: Some(Call::Verify), begins: None },
];

/// A settlement and the next hold in one boundary, as the worker has it.
pub(super) const TOGETHER: &[Turn] = &[
    Turn { ends: None, begins: Some(Call::Find) },
    Turn { ends: Some(Call::Find), begins: Some(Call::Verify) },
    Turn { ends: Some(Call::Verify), begins: None },
];

impl Turn {
    /// Holds and settlements in it.
    pub(super) fn operations(self) -> u64 {
        u64::from(self.ends.is_some()) + u64::from(self.begins.is_some())
    }
}

/// A lead on which both calls are made, once more.
pub(super) struct Visit {
    lead: LeadKey,
    account: AccountId,
    ticket: u32,
    lap: u32,
    address: Option<Address>,
}

impl Visit {
    /// `ticket` counts all visits, `lap` those of this lead; both from 0.
    pub(super) fn new(lead: LeadKey, account: AccountId, ticket: u32, lap: u32) -> Self {
        let address = Address::parse(&format!("ada.sample@c{ticket}.hit.test"));
        Self { lead, account, ticket, lap, address }
    }

    pub(super) fn boundary(&self, turn: Turn) -> Boundary {
        Boundary {
            lead: self.lead,
            account: self.account,
            lead_cap: None,
            // Nothing is ever low: nobody would hear of it.
            low_balance: Usd::ZERO,
            ended: turn.ends.map(|call| self.ended(call)).into_iter().collect(),
            then: turn.begins.map_or(Then::Nothing, |call| Then::Begin(Box::new(self.begin(call)))),
        }
    }

    /// Was the hold granted, and exactly what was owed charged?
    pub(super) fn is_answered_by(&self, turn: Turn, committed: &Committed) -> bool {
        let done = match committed.answer {
            Answer::Granted => turn.begins.is_some(),
            Answer::Done => turn.begins.is_none(),
            Answer::Cached(_)
            | Answer::Refused(_)
            | Answer::Wait(_)
            | Answer::AskedElsewhere
            | Answer::Cancelled
            | Answer::Fenced => false,
        };
        let charged = turn.ends.map(|_| Charged { paid: self.owed(), lost: Usd::ZERO });
        done && committed.charged.iter().eq(charged.iter())
    }

    fn begin(&self, call: Call) -> Begin {
        Begin {
            n: self.attempt_no(call),
            run: Run::FIRST,
            step: call.step(),
            fingerprint: self.fingerprint(call),
            about: self.about(call),
            key_source: KeySource::House,
            price: Usd::from_nanos(HELD),
            // The cache is the trail's, not the ledger's: no earlier answer is taken here.
            cached_since_ms: None,
            expires_in: HOLD_FOR,
            config_version: ConfigVersion::new("bench"),
        }
    }

    fn ended(&self, call: Call) -> Ended {
        // An answer that is charged and never reused.
        let outcome = Outcome::Judged(Verdict::Unknown);
        let end = AttemptEnd { source: AnswerSource::Called, duration_ms: 1, ..AttemptEnd::not_asked(outcome) };
        let attempt = Attempt {
            n: self.attempt_no(call),
            run: Run::FIRST,
            step: call.step(),
            about: self.about(call),
            key_source: KeySource::House,
            state: AttemptState::Ended(end),
        };
        let (fingerprint, config_version) = (self.fingerprint(call), ConfigVersion::new("bench"));
        let (owed, held) = (Owed::Amount(self.owed()), Some(Usd::from_nanos(HELD)));
        Ended { attempt, fingerprint, owed, held, config_version }
    }

    const fn owed(&self) -> Usd {
        Usd::from_nanos(owed(self.ticket))
    }

    const fn attempt_no(&self, call: Call) -> AttemptNo {
        let first = AttemptNo::new(2 * self.lap + 1);
        match call {
            Call::Find => first,
            Call::Verify => first.next(),
        }
    }

    fn about(&self, call: Call) -> Option<About> {
        match call {
            Call::Find => None,
            Call::Verify => self.address.clone().map(About::Address),
        }
    }

    /// Never the same twice, so that every look-up for a known answer is made and finds none.
    fn fingerprint(&self, call: Call) -> Fingerprint {
        let label = match call {
            Call::Find => "find",
            Call::Verify => "verify",
        };
        Fingerprint::of(label, [Some(self.ticket.to_string().as_str())])
    }
}

impl Call {
    fn step(self) -> Step {
        let (provider, operation) = match self {
            Self::Find => ("leadmagic", Operation::FindEmail),
            Self::Verify => ("zerobounce", Operation::VerifyEmail),
        };
        Step::new(ProviderName::new(provider), operation)
    }
}
