//! Auto-recharge: when a wallet asks for money. Pure rules; a store applies them under the wallet's lock.
#![deny(clippy::float_arithmetic, clippy::as_conversions, clippy::arithmetic_side_effects)]

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

/// When a workspace asks for money, how much, and how often at most.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RechargeTerms {
    /// A balance below this asks.
    pub below: Usd,
    /// How much is asked for; above zero.
    pub amount: Usd,
    /// From the answer to one request to the next request.
    pub cool_off: Duration,
    /// The most that is asked for within 24 hours, declined requests left out.
    pub per_day: Usd,
    /// The most that is asked for within [`DAYS_A_MONTH`] days, declined requests left out.
    pub per_month: Usd,
}

impl RechargeTerms {
    /// From one answer to the next request, unless the workspace says otherwise.
    pub const USUAL_COOL_OFF: Duration = Duration::from_secs(60);

    /// With the usual limits: ten requests a day, a hundred a month.
    pub fn usual(below: Usd, amount: Usd) -> Self {
        let times = |count: i64| Usd::from_nanos(amount.nanos().saturating_mul(count));
        Self { below, amount, cool_off: Self::USUAL_COOL_OFF, per_day: times(10), per_month: times(100) }
    }
}

/// What has been asked of a wallet's owner before.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RechargeHistory {
    /// How long ago the request in flight was last asked, if one is.
    pub in_flight: Option<Duration>,
    /// How long ago the last one was answered.
    pub answered: Option<Duration>,
    /// Asked for within 24 hours, declined requests left out.
    pub in_a_day: Usd,
    /// Asked for within a month, declined requests left out.
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
        && history.answered.is_none_or(|ago| ago >= terms.cool_off)
        && within(history.in_a_day, terms.per_day)
        && within(history.in_a_month, terms.per_month);
    if is_due { Asking::Ask } else { Asking::Nothing }
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
}

/// How fast a wallet is spent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Burn {
    /// Settled in that time. A store looks at the newest ten thousand entries at most; of a wallet that has more
    /// within [`Burn::LEAST`], it is what those come to in it.
    pub spent: Usd,
    /// From the first settlement that was looked at until now; between [`Burn::LEAST`] and [`Burn::WINDOW`].
    pub over: Duration,
}

impl Burn {
    /// How far back is looked.
    pub const WINDOW: Duration = Duration::from_secs(60 * 60);
    /// A shorter time says nothing: a first call would look like a flood.
    pub const LEAST: Duration = Duration::from_secs(60);

    /// What so much in this time comes to in an hour, rounded down.
    pub fn per_hour(self) -> Usd {
        let (spent, millis) = (i128::from(self.spent.nanos()), self.millis());
        let hourly = spent.saturating_mul(3_600_000).checked_div(millis).unwrap_or_default();
        Usd::from_nanos(i64::try_from(hourly).unwrap_or(i64::MAX))
    }

    /// How long a balance lasts if it goes on like this; `None` when nothing is spent.
    pub fn lasts(self, balance: Usd) -> Option<Duration> {
        let balance = i128::from(balance.nanos().max(0));
        let millis = balance.saturating_mul(self.millis()).checked_div(i128::from(self.spent.nanos()))?;
        Some(Duration::from_millis(u64::try_from(millis).unwrap_or(u64::MAX)))
    }

    fn millis(self) -> i128 {
        let over = self.over.clamp(Self::LEAST, Self::WINDOW);
        i128::try_from(over.as_millis()).unwrap_or(i128::MAX)
    }
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

    #[test]
    fn a_balance_lasts_as_long_as_it_is_spent_at_that_rate() {
        let burn = Burn { spent: usd("2"), over: Duration::from_secs(600) };
        assert_eq!(burn.per_hour(), usd("12"));
        assert_eq!(burn.lasts(usd("1")), Some(Duration::from_secs(300)));
        assert_eq!(burn.lasts(usd("-1")), Some(Duration::ZERO));
        let first = Burn { spent: usd("0.01"), over: Duration::from_millis(5) };
        assert_eq!(first.per_hour(), usd("0.6"));
        assert_eq!(Burn { spent: Usd::ZERO, over: Duration::ZERO }.lasts(usd("1")), None);
    }
}
