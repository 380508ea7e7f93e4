//! How fast a wallet is spent, and when it runs dry. Pure rules over what a store has summed.
#![deny(clippy::float_arithmetic, clippy::as_conversions, clippy::arithmetic_side_effects)]

use crate::domain::Usd;
use std::time::Duration;

/// When a wallet runs dry is not told any further ahead: ten years.
const FORESEEABLE: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

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

    /// Of what was settled from `over_ms` ago until now. Where more lies within [`Burn::LEAST`] than was looked at
    /// (`is_cut`), it comes to so much more in that time.
    pub fn of(spent: Usd, over_ms: i64, is_cut: bool) -> Self {
        let over = Duration::from_millis(u64::try_from(over_ms).unwrap_or_default());
        if !is_cut || over >= Self::LEAST {
            return Self { spent, over: over.clamp(Self::LEAST, Self::WINDOW) };
        }
        let nanos = i128::from(spent.nanos()).saturating_mul(millis(Self::LEAST));
        let nanos = nanos.checked_div(millis(over).max(1)).unwrap_or_default();
        Self { spent: Usd::from_nanos(i64::try_from(nanos).unwrap_or(i64::MAX)), over: Self::LEAST }
    }

    /// What so much in this time comes to in an hour, rounded down.
    pub fn per_hour(self) -> Usd {
        let hourly = i128::from(self.spent.nanos()).saturating_mul(3_600_000).checked_div(self.millis());
        Usd::from_nanos(i64::try_from(hourly.unwrap_or_default()).unwrap_or(i64::MAX))
    }

    /// How long a balance lasts if it goes on like this; `None` when nothing is spent.
    fn lasts(self, balance: Usd) -> Option<Duration> {
        let balance = i128::from(balance.nanos().max(0));
        let lasts = balance.saturating_mul(self.millis()).checked_div(i128::from(self.spent.nanos()))?;
        Some(Duration::from_millis(u64::try_from(lasts).unwrap_or(u64::MAX)))
    }

    fn millis(self) -> i128 {
        millis(self.over.clamp(Self::LEAST, Self::WINDOW))
    }
}

fn millis(time: Duration) -> i128 {
    i128::try_from(time.as_millis()).unwrap_or(i128::MAX)
}

/// How a wallet goes on if it is spent as it is now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Outlook {
    /// What it loses in an hour; `None` when that is not known.
    pub per_hour: Option<Usd>,
    /// When it is empty, wall-clock milliseconds; `None` when nothing is known to be spent, or that is too far off to
    /// say.
    pub dry_ms: Option<i64>,
}

impl Outlook {
    /// Of a wallet with this balance at this time, wall-clock milliseconds.
    pub fn of(burn: Option<Burn>, balance: Usd, at_ms: i64) -> Self {
        let lasts = burn.and_then(|burn| burn.lasts(balance)).filter(|lasts| *lasts <= FORESEEABLE);
        let lasts_ms = lasts.and_then(|lasts| i64::try_from(lasts.as_millis()).ok());
        Self { per_hour: burn.map(Burn::per_hour), dry_ms: lasts_ms.and_then(|lasts_ms| at_ms.checked_add(lasts_ms)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usd(text: &str) -> Usd {
        text.parse().unwrap()
    }

    #[test]
    fn a_hot_wallet_burns_as_fast_as_what_was_looked_at_of_it() {
        for (over_ms, is_cut, per_hour) in [
            (600_000, false, "60"),
            (600_000, true, "60"),
            // Less than a minute says nothing, unless there was more.
            (3_000, false, "600"),
            (3_000, true, "12000"),
            (0, true, "36000000"),
            (-5, true, "36000000"),
            (-5, false, "600"),
            (7_200_000, false, "10"),
        ] {
            assert_eq!(Burn::of(usd("10"), over_ms, is_cut).per_hour(), usd(per_hour), "{over_ms} {is_cut}");
        }
    }

    #[test]
    fn a_wallet_runs_dry_when_its_burn_has_taken_what_is_in_it() {
        let burn = |spent: &str, over_ms| Some(Burn::of(usd(spent), over_ms, false));
        for (burn, balance, per_hour, dry_ms) in [
            (None, "1", None, None),
            (burn("2", 600_000), "1", Some("12"), Some(301_000)),
            (burn("2", 600_000), "0", Some("12"), Some(1_000)),
            (burn("2", 600_000), "-1", Some("12"), Some(1_000)),
            (burn("0.01", 5), "1", Some("0.6"), Some(6_001_000)),
            (burn("0", 600_000), "1", Some("0"), None),
            // Ten years can be foreseen, and no more.
            (burn("1", 3_600_000), "87600", Some("1"), Some(315_360_001_000)),
            (burn("1", 3_600_000), "87600.001", Some("1"), None),
            (burn("0.000000001", 3_600_000), "9000000000", Some("0.000000001"), None),
        ] {
            let expected = Outlook { per_hour: per_hour.map(usd), dry_ms };
            assert_eq!(Outlook::of(burn, usd(balance), 1_000), expected, "{burn:?} {balance}");
        }
    }
}
