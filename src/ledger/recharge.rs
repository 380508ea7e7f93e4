//! Auto-recharge: when a wallet asks for money. Pure rules; a store applies them under the wallet's lock.
#![deny(clippy::float_arithmetic, clippy::as_conversions, clippy::arithmetic_side_effects)]

use crate::domain::Fingerprint;
use crate::domain::Usd;
use crate::domain::WorkspaceId;
use crate::ledger::Later;
use std::time::Duration;

/// A request that nobody has answered is asked again, under its own reference, after this.
pub const ASK_AGAIN_AFTER: Duration = Duration::from_secs(15 * 60);
/// So many declines in a row turn the asking off.
pub const MOST_DECLINES: u32 = 3;
/// Days that make a month of the monthly limit.
pub const DAYS_A_MONTH: u32 = 30;

/// When a workspace asks for money, how much, and how often at most. A limit that is `None` is the usual one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RechargeTerms {
    /// A balance below this asks.
    pub below: Usd,
    /// How much is asked for; above zero.
    pub amount: Usd,
    /// From the answer to one request to the next request.
    pub cool_off: Option<Duration>,
    /// The most that is asked for within 24 hours: the request in flight, and what was paid in them.
    pub per_day: Option<Usd>,
    /// The most that is asked for within [`DAYS_A_MONTH`] days, counted alike.
    pub per_month: Option<Usd>,
}

impl RechargeTerms {
    /// From one answer to the next request, unless the workspace says otherwise.
    const USUAL_COOL_OFF: Duration = Duration::from_secs(60);

    /// With the usual limits: a minute, ten requests a day, a hundred a month.
    pub const fn usual(below: Usd, amount: Usd) -> Self {
        Self { below, amount, cool_off: None, per_day: None, per_month: None }
    }

    /// The cool-off that counts.
    pub fn cool_off(self) -> Duration {
        self.cool_off.unwrap_or(Self::USUAL_COOL_OFF)
    }

    /// The daily limit that counts.
    pub fn per_day(self) -> Usd {
        self.per_day.unwrap_or_else(|| self.times(10))
    }

    /// The monthly limit that counts.
    pub fn per_month(self) -> Usd {
        self.per_month.unwrap_or_else(|| self.times(100))
    }

    fn times(self, count: i64) -> Usd {
        Usd::from_nanos(self.amount.nanos().saturating_mul(count))
    }
}

/// What of a workspace's terms is to change.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RechargeChange {
    /// Ask no more.
    Off,
    /// What is given, in place of what was there; `None` stays.
    Set {
        /// A balance below this asks.
        below: Option<Usd>,
        /// How much is asked for; above zero.
        amount: Option<Usd>,
        /// From the answer to one request to the next request.
        cool_off: Option<Duration>,
        /// The daily limit.
        per_day: Option<Usd>,
        /// The monthly limit.
        per_month: Option<Usd>,
    },
}

/// Why a change makes no terms. Nothing is changed then.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TermsRefused {
    /// There are none yet, and they begin with a threshold and an amount.
    Incomplete,
    /// Nothing would ever be asked for: a day allows less than the amount.
    PerDay(RechargeTerms),
    /// Nothing would ever be asked for: a month allows less than the amount.
    PerMonth(RechargeTerms),
}

impl RechargeChange {
    /// The terms after it. They are whole or not at all: any part may change once threshold and amount are known.
    ///
    /// # Errors
    /// When they would not be whole, or could never ask.
    pub fn apply(self, terms: Option<RechargeTerms>) -> Result<Option<RechargeTerms>, TermsRefused> {
        let Self::Set { below, amount, cool_off, per_day, per_month } = self else { return Ok(None) };
        let below = below.or(terms.map(|terms| terms.below));
        let amount = amount.or(terms.map(|terms| terms.amount));
        let (below, amount) = below.zip(amount).ok_or(TermsRefused::Incomplete)?;
        let terms = RechargeTerms {
            below,
            amount,
            cool_off: cool_off.or(terms.and_then(|terms| terms.cool_off)),
            per_day: per_day.or(terms.and_then(|terms| terms.per_day)),
            per_month: per_month.or(terms.and_then(|terms| terms.per_month)),
        };
        if terms.per_day() < amount {
            return Err(TermsRefused::PerDay(terms));
        }
        if terms.per_month() < amount {
            return Err(TermsRefused::PerMonth(terms));
        }
        Ok(Some(terms))
    }
}

/// What has been asked of a wallet's owner before.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RechargeHistory {
    /// How long ago the request in flight was last asked, if one is.
    pub in_flight: Option<Duration>,
    /// How long ago the last one was answered.
    pub answered: Option<Duration>,
    /// In flight, or paid within 24 hours: a request counts from its answer on, which may come days after it.
    pub in_a_day: Usd,
    /// In flight, or paid within a month.
    pub in_a_month: Usd,
    /// Declined in a row.
    pub declines: u32,
}

impl RechargeHistory {
    /// Nothing has been asked yet.
    pub const NONE: Self =
        Self { in_flight: None, answered: None, in_a_day: Usd::ZERO, in_a_month: Usd::ZERO, declines: 0 };
}

/// What a wallet asks now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Asking {
    /// Nothing.
    Nothing,
    /// For the terms' amount, under a new reference.
    Ask,
    /// For the one in flight, once more, under its own reference.
    AskAgain,
}

/// Decides what a wallet with this balance asks now.
pub fn decide_recharge(terms: RechargeTerms, history: RechargeHistory, balance: Usd) -> Asking {
    if let Some(waited) = history.in_flight {
        return if waited >= ASK_AGAIN_AFTER { Asking::AskAgain } else { Asking::Nothing };
    }
    let within = |asked: Usd, limit: Usd| asked.checked_add(terms.amount).is_some_and(|sum| sum <= limit);
    let is_due = balance < terms.below
        && history.declines < MOST_DECLINES
        && history.answered.is_none_or(|ago| ago >= terms.cool_off())
        && within(history.in_a_day, terms.per_day())
        && within(history.in_a_month, terms.per_month());
    if is_due { Asking::Ask } else { Asking::Nothing }
}

/// What the `n`th request of a wallet is answered by, asked at this wall-clock millisecond. Nobody who has not seen it
/// can name it.
pub fn recharge_reference(workspace: &WorkspaceId, n: i64, now_ms: i64) -> String {
    let (n, now_ms) = (n.to_string(), now_ms.to_string());
    let parts = [workspace.as_str(), n.as_str(), now_ms.as_str()];
    format!("recharge_{}", Fingerprint::exactly("recharge", parts))
}

/// A request for money.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoredRecharge {
    /// Of whom.
    pub workspace: WorkspaceId,
    /// Under what it is answered; unique in the wallet.
    pub reference: String,
    /// How much.
    pub amount: Usd,
    /// Where it stands.
    pub state: RechargeState,
    /// When it was first asked, wall-clock milliseconds.
    pub asked_ms: i64,
}

/// Where a request stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RechargeState {
    /// Not answered yet; one of a wallet at most.
    Asked,
    /// A top-up of its reference was booked.
    Paid,
    /// Its owner's bank, or its owner, declined.
    Declined,
}

impl RechargeState {
    /// The stored word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Asked => "asked",
            Self::Paid => "paid",
            Self::Declined => "declined",
        }
    }
}

impl std::str::FromStr for RechargeState {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        [Self::Asked, Self::Paid, Self::Declined].into_iter().find(|state| state.as_str() == text).ok_or(())
    }
}

/// What became of a decline.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Declined {
    /// No such request is in flight: nothing was changed.
    NotInFlight,
    /// Counted; another request may follow.
    Counted,
    /// The last that was allowed in a row: the asking is off, and `recharge_failed` is a happening of the commit.
    TurnedOff,
}

/// What the store keeps of requests for money. Each call is one transaction; a top-up of a request's reference,
/// [`crate::ledger::Ledger::top_up`], answers it in its own.
pub trait Recharges: Send + Sync {
    /// Asks for every wallet that is due by [`decide_recharge`], a happening each; says for how many. Any number
    /// of workers may ask at once.
    fn ask_recharges(&self) -> Later<'_, u64>;

    /// A request was declined.
    fn decline_recharge(&self, workspace: &WorkspaceId, reference: &str) -> Later<'_, Declined>;

    /// The last `limit` requests of a workspace, newest first.
    fn recharges(&self, workspace: &WorkspaceId, limit: u32) -> Later<'_, Vec<StoredRecharge>>;

    /// How many requests of a workspace were declined in a row, since it last paid one or changed its terms.
    fn recharge_declines(&self, workspace: &WorkspaceId) -> Later<'_, u32>;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usd(text: &str) -> Usd {
        text.parse().unwrap()
    }

    fn ago(seconds: u64) -> Option<Duration> {
        Some(Duration::from_secs(seconds))
    }

    #[test]
    fn a_wallet_asks_once_below_its_threshold_within_its_limits() {
        let terms = RechargeTerms::usual(usd("10"), usd("25"));
        let none = RechargeHistory::NONE;
        for (balance, history, expected) in [
            ("10", none, Asking::Nothing),
            ("9.999999999", none, Asking::Ask),
            ("0", none, Asking::Ask),
            ("0", RechargeHistory { in_flight: ago(899), ..none }, Asking::Nothing),
            ("0", RechargeHistory { in_flight: ago(900), ..none }, Asking::AskAgain),
            // Asked for again also when money came in from elsewhere: nobody knows what became of it.
            ("99", RechargeHistory { in_flight: ago(900), ..none }, Asking::AskAgain),
            ("0", RechargeHistory { answered: ago(59), ..none }, Asking::Nothing),
            ("0", RechargeHistory { answered: ago(60), ..none }, Asking::Ask),
            ("0", RechargeHistory { in_a_day: usd("225"), ..none }, Asking::Ask),
            ("0", RechargeHistory { in_a_day: usd("225.000000001"), ..none }, Asking::Nothing),
            ("0", RechargeHistory { in_a_month: usd("2475"), ..none }, Asking::Ask),
            ("0", RechargeHistory { in_a_month: usd("2500"), ..none }, Asking::Nothing),
            ("0", RechargeHistory { declines: 2, ..none }, Asking::Ask),
            ("0", RechargeHistory { declines: 3, ..none }, Asking::Nothing),
        ] {
            assert_eq!(decide_recharge(terms, history, usd(balance)), expected, "{balance} {history:?}");
        }
    }

    /// A change of threshold and amount, which leaves the limits alone.
    fn set(below: Option<&str>, amount: Option<&str>) -> RechargeChange {
        let (below, amount) = (below.map(usd), amount.map(usd));
        RechargeChange::Set { below, amount, cool_off: None, per_day: None, per_month: None }
    }

    #[test]
    fn limits_that_nobody_has_set_follow_the_amount_and_those_that_were_set_stay() {
        let first = RechargeTerms::usual(usd("5"), usd("20"));
        // As much as is usual, but said.
        let said = RechargeTerms { cool_off: ago(60), per_day: Some(usd("200")), ..first };
        let limits = |terms: RechargeTerms| (terms.cool_off().as_secs(), terms.per_day(), terms.per_month());
        for (terms, after) in [(first, "500"), (said, "200")] {
            assert_eq!(limits(terms), (60, usd("200"), usd("2000")));
            let raised = set(None, Some("50")).apply(Some(terms));
            assert_eq!(raised, Ok(Some(RechargeTerms { amount: usd("50"), ..terms })));
            assert_eq!(raised.unwrap().map(limits), Some((60, usd(after), usd("5000"))));
            assert_eq!(set(None, None).apply(Some(terms)), Ok(Some(terms)));
            assert_eq!(RechargeChange::Off.apply(Some(terms)), Ok(None));
        }
        assert_eq!(set(Some("5"), Some("20")).apply(None), Ok(Some(first)));
        let limited = RechargeChange::Set {
            below: None,
            amount: None,
            cool_off: ago(900),
            per_day: Some(usd("40")),
            per_month: Some(usd("80")),
        };
        assert_eq!(limited.apply(Some(said)).unwrap().map(limits), Some((900, usd("40"), usd("80"))));
    }

    #[test]
    fn terms_that_are_not_whole_or_could_never_ask_are_refused() {
        let known = RechargeTerms { per_day: Some(usd("20")), ..RechargeTerms::usual(usd("5"), usd("20")) };
        let cent_more = RechargeTerms { amount: usd("20.01"), ..known };
        for (change, terms, refused) in [
            (set(None, None), None, TermsRefused::Incomplete),
            (set(Some("5"), None), None, TermsRefused::Incomplete),
            (set(None, Some("20")), None, TermsRefused::Incomplete),
            (set(None, Some("20.01")), Some(known), TermsRefused::PerDay(cent_more)),
            (
                set(None, Some("20.01")),
                Some(RechargeTerms { per_day: None, per_month: known.per_day, ..known }),
                TermsRefused::PerMonth(RechargeTerms { per_day: None, per_month: known.per_day, ..cent_more }),
            ),
        ] {
            assert_eq!(change.apply(terms), Err(refused), "{change:?} {terms:?}");
        }
    }

    #[test]
    fn every_request_has_a_reference_of_its_own() {
        let (acme, globex) = (WorkspaceId::new("acme"), WorkspaceId::new("globex"));
        let reference = recharge_reference(&acme, 1, 1_800_000_000_000);
        assert_eq!(reference, recharge_reference(&acme, 1, 1_800_000_000_000));
        assert!(reference.starts_with("recharge_"), "{reference}");
        for (workspace, n, now_ms) in
            [(&globex, 1, 1_800_000_000_000), (&acme, 2, 1_800_000_000_000), (&acme, 1, 1_800_000_000_001)]
        {
            assert_ne!(recharge_reference(workspace, n, now_ms), reference, "{workspace} {n} {now_ms}");
        }
    }
}
