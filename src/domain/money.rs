//! Money: whole nano-dollars, checked arithmetic, no float, no default.
#![deny(clippy::float_arithmetic, clippy::as_conversions, clippy::arithmetic_side_effects)]

use rust_decimal::Decimal;
use rust_decimal::RoundingStrategy;
use std::fmt;
use std::str::FromStr;

/// Decimal places of a nano-dollar.
const PLACES: u32 = 9;
const NANOS_PER_USD: i64 = 1_000_000_000;

/// US dollars, in whole nano-dollars (1e-9 USD). Negative only as a difference.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Usd(i64);

/// What an account counts: nano-dollars in the metered bucket; units of a credit in a counted one.
pub type Amount = Usd;

/// Why a text or a product is not an amount of money.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AmountError {
    /// Not digits with at most one point.
    #[error("not a decimal amount like 12.50")]
    NotDecimal,
    /// More than nine digits after the point.
    #[error("more than nine digits after the point")]
    TooFine,
    /// Outside of what 64 bits of nano-dollars hold (about 9.2 thousand million USD).
    #[error("larger than this program can count")]
    TooLarge,
}

impl Usd {
    /// Nothing.
    pub const ZERO: Self = Self(0);
    /// More than any cap: "no cap" where a number is needed.
    pub const MAX: Self = Self(i64::MAX);

    /// From whole nano-dollars, as the store keeps them.
    pub const fn from_nanos(nanos: i64) -> Self {
        Self(nanos)
    }

    /// Whole nano-dollars.
    pub const fn nanos(self) -> i64 {
        self.0
    }

    /// A decimal number of dollars, rounded **up** to the next nano-dollar.
    ///
    /// # Errors
    /// `TooLarge` when it does not fit.
    pub fn round_up(dollars: Decimal) -> Result<Self, AmountError> {
        let nanos = dollars
            .checked_mul(Decimal::from(NANOS_PER_USD))
            .ok_or(AmountError::TooLarge)?
            .round_dp_with_strategy(0, RoundingStrategy::ToPositiveInfinity);
        i64::try_from(nanos).map(Self).map_err(|_| AmountError::TooLarge)
    }

    /// The sum, or `None` beyond 64 bits.
    #[must_use]
    pub const fn checked_add(self, other: Self) -> Option<Self> {
        match self.0.checked_add(other.0) {
            Some(nanos) => Some(Self(nanos)),
            None => None,
        }
    }

    /// The difference, which may be negative, or `None` beyond 64 bits.
    #[must_use]
    pub const fn checked_sub(self, other: Self) -> Option<Self> {
        match self.0.checked_sub(other.0) {
            Some(nanos) => Some(Self(nanos)),
            None => None,
        }
    }

    /// The sum, held at the greatest amount: for reports, never for the ledger.
    #[must_use]
    pub const fn saturating_add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// What is left of `self` after `other`, never below zero.
    #[must_use]
    pub fn left_after(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0).max(0))
    }

    /// The same amount with the other sign.
    #[must_use]
    pub const fn negated(self) -> Self {
        Self(self.0.saturating_neg())
    }

    /// Below zero?
    pub const fn is_negative(self) -> bool {
        self.0 < 0
    }

    /// Above zero?
    pub const fn is_positive(self) -> bool {
        self.0 > 0
    }

    /// As a decimal number of dollars, exact.
    pub fn to_decimal(self) -> Decimal {
        Decimal::from_i128_with_scale(i128::from(self.0), PLACES)
    }
}

impl FromStr for Usd {
    type Err = AmountError;

    /// Reads `12`, `12.5`, `-0.000000001`: digits, one point, at most nine places.
    fn from_str(text: &str) -> Result<Self, AmountError> {
        let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
        let (whole, part) = digits.split_once('.').unwrap_or((digits, "0"));
        let all_digits = |t: &str| !t.is_empty() && t.bytes().all(|b| b.is_ascii_digit());
        if !all_digits(whole) || !all_digits(part) {
            return Err(AmountError::NotDecimal);
        }
        if part.len() > 9 {
            return Err(AmountError::TooFine);
        }
        let whole: i64 = whole.parse().map_err(|_| AmountError::TooLarge)?;
        let part: i64 = format!("{part:0<9}").parse().map_err(|_| AmountError::TooLarge)?;
        let nanos =
            whole.checked_mul(NANOS_PER_USD).and_then(|nanos| nanos.checked_add(part)).ok_or(AmountError::TooLarge)?;
        Ok(Self(if text.starts_with('-') { nanos.saturating_neg() } else { nanos }))
    }
}

impl fmt::Display for Usd {
    /// Nine places, always: `0.012500000`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.to_decimal())
    }
}

impl fmt::Debug for Usd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usd(text: &str) -> Usd {
        text.parse().unwrap()
    }

    #[test]
    fn amounts_are_read_and_shown_with_nine_places() {
        for (text, shown) in [
            ("12", "12.000000000"),
            ("0.0125", "0.012500000"),
            ("-0.000000001", "-0.000000001"),
            ("+3.5", "3.500000000"),
            ("9223372036.854775807", "9223372036.854775807"),
        ] {
            assert_eq!(usd(text).to_string(), shown);
        }
    }

    #[test]
    fn what_is_not_an_amount_is_refused_with_its_reason() {
        for (text, why) in [
            ("", AmountError::NotDecimal),
            (".", AmountError::NotDecimal),
            ("1.", AmountError::NotDecimal),
            ("1,5", AmountError::NotDecimal),
            ("1e3", AmountError::NotDecimal),
            ("--1", AmountError::NotDecimal),
            (" 1", AmountError::NotDecimal),
            ("0.0000000001", AmountError::TooFine),
            ("9223372036.854775808", AmountError::TooLarge),
            ("99999999999999999999", AmountError::TooLarge),
        ] {
            assert_eq!(text.parse::<Usd>(), Err(why), "{text:?}");
        }
    }

    #[test]
    fn a_fraction_of_a_nano_dollar_is_rounded_up() {
        let price = Decimal::from_str("0.00000000011").unwrap();
        assert_eq!(Usd::round_up(price).unwrap(), Usd::from_nanos(1));
        assert_eq!(Usd::round_up(Decimal::ZERO).unwrap(), Usd::ZERO);
        assert_eq!(Usd::round_up(Decimal::MAX), Err(AmountError::TooLarge));
    }

    #[test]
    fn arithmetic_never_wraps() {
        assert_eq!(Usd::MAX.checked_add(Usd::from_nanos(1)), None);
        assert_eq!(usd("1").checked_sub(usd("1.5")), Some(usd("-0.5")));
        assert_eq!(usd("1").left_after(usd("2")), Usd::ZERO);
    }
}
