//! Tables of prices.

use super::*;
use std::str::FromStr;

fn decimal(text: &str) -> Decimal {
    Decimal::from_str(text).unwrap()
}

fn mini() -> TokenPrice {
    TokenPrice {
        input: decimal("0.75"),
        cached_input: decimal("0.075"),
        cache_write: decimal("0.9375"),
        output: decimal("4.50"),
    }
}

const fn tokens(input: u64, cached_input: u64, cache_write: u64, output: u64) -> Tokens {
    Tokens { input, cached_input, cache_write, output, reasoning: 0 }
}

#[test]
fn credits_times_price_is_exact_and_rounded_up_once() {
    for (price, credits, dollars) in [
        ("0.0125", "1", "0.012500000"),
        ("0.0125", "0.25", "0.003125000"),
        ("0.0125", "5", "0.062500000"),
        ("0.0000000001", "1", "0.000000001"),
        ("0.019", "0.1", "0.001900000"),
        ("0", "5", "0.000000000"),
        ("0.0125", "-3", "0.000000000"),
    ] {
        let price = CreditPrice::new(decimal(price)).unwrap();
        let cost = price.of(decimal(credits)).unwrap();
        assert_eq!(cost.to_string(), dollars, "{price:?} x {credits}");
    }
}

#[test]
fn a_negative_price_is_no_price() {
    assert_eq!(CreditPrice::new(decimal("-0.01")), None);
}

#[test]
fn each_kind_of_token_has_its_own_price_and_the_sum_is_rounded_up_once() {
    for (counted, dollars) in [
        (tokens(0, 0, 0, 0), "0.000000000"),
        (tokens(1_000_000, 0, 0, 0), "0.750000000"),
        (tokens(0, 1_000_000, 0, 0), "0.075000000"),
        (tokens(0, 0, 1_000_000, 0), "0.937500000"),
        (tokens(0, 0, 0, 1_000_000), "4.500000000"),
        (tokens(321, 1_024, 0, 87), "0.000709050"),
        // 0.9375 / 1e6 = 0.0000009375, and 0.075 / 1e6 = 0.000000075: together 0.0000010125.
        (tokens(0, 1, 1, 0), "0.000001013"),
    ] {
        assert_eq!(mini().of(counted).unwrap().to_string(), dollars, "{counted:?}");
    }
    let reasoning = Tokens { reasoning: 50, ..tokens(0, 0, 0, 100) };
    assert_eq!(mini().of(reasoning), mini().of(tokens(0, 0, 0, 100)), "reasoning is a part of the output");
}

#[test]
fn a_hold_takes_the_dearest_price_of_the_input() {
    let most = Consumed::Tokens(tokens(1_000_000, 0, 0, 1_000_000));
    assert_eq!(Price::Token(mini()).of_worst(most).unwrap().to_string(), "5.437500000");
    assert_eq!(Price::Token(mini()).of(most).unwrap().to_string(), "5.250000000");
}

#[test]
fn what_is_counted_in_another_measure_has_no_price() {
    let credit = Price::Credit(CreditPrice::new(Decimal::ONE).unwrap());
    let one = Consumed::Credits(Decimal::ONE);
    let counted = Consumed::Tokens(tokens(1, 0, 0, 0));
    let reported = Consumed::Dollars(decimal("0.00000000012"));
    for (price, consumed, cost) in [
        (credit, counted, Err(PriceError::Unpriced)),
        (credit, reported, Err(PriceError::Unpriced)),
        (credit, Consumed::Unsaid, Err(PriceError::Unpriced)),
        (Price::Token(mini()), one, Err(PriceError::Unpriced)),
        (Price::Token(mini()), Consumed::Unsaid, Err(PriceError::Unpriced)),
        (Price::Token(mini()), reported, Ok(Usd::from_nanos(1))),
        (Price::Token(mini()), Consumed::NOTHING, Ok(Usd::ZERO)),
        (Price::Free, counted, Ok(Usd::ZERO)),
        (Price::Free, Consumed::Unsaid, Ok(Usd::ZERO)),
    ] {
        assert_eq!(price.of(consumed), cost, "{price:?} x {consumed:?}");
    }
}

#[test]
fn tokens_beyond_counting_are_an_error_and_not_a_wrapped_amount() {
    let absurd = tokens(u64::MAX, u64::MAX, u64::MAX, u64::MAX);
    assert_eq!(mini().of(absurd), Err(AmountError::TooLarge));
}
