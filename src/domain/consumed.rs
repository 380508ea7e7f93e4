//! What a call consumed, in the provider's own measure.

use crate::domain::Tokens;
use rust_decimal::Decimal;

/// What a call consumed, before its price.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Consumed {
    /// The provider's credits.
    Credits(Decimal),
    /// Tokens, as the model counted them; or the most that it can count.
    Tokens(Tokens),
    /// Dollars, as the server itself reports them and the configuration believes it.
    Dollars(Decimal),
    /// The provider took something and did not say how much: what the hold binds.
    Unsaid,
}

impl Consumed {
    /// Nothing at all.
    pub const NOTHING: Self = Self::Credits(Decimal::ZERO);
}
