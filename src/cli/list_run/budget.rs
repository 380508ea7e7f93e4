//! What a run may spend; and what it could cost, for those who have not said.

use crate::cli::BadInput;
use crate::cli::Globals;
use crate::cli::list_run::ListArgs;
use crate::cli::output as printed;
use crate::domain::Usd;
use anyhow::Result;
use rust_decimal::Decimal;
use serde_json::Value;
use std::fmt;

/// What `--sandbox` grants when no budget is given.
const SANDBOX_BUDGET: Usd = Usd::from_nanos(10_000_000_000);

/// What a list could cost: for people as text, for programs as JSON.
pub(in crate::cli) trait Estimate: fmt::Display {
    /// The same for programs.
    fn to_json(&self) -> Value;
}

/// What the job may spend. `None`: only the estimate was asked for, and it has been told.
///
/// # Errors
/// Bad input, with the estimate, when nobody said how much may be spent.
pub(in crate::cli) fn budget<E: Estimate>(
    args: &ListArgs,
    globals: &Globals,
    estimate: impl FnOnce() -> Result<E>,
) -> Result<Option<Usd>> {
    if args.estimate {
        let estimate = estimate()?;
        if globals.json {
            printed::line(estimate.to_json())?;
        } else {
            printed::line(&estimate)?;
        }
        return Ok(None);
    }
    if let Some(budget) = args.budget.or(globals.sandbox.then_some(SANDBOX_BUDGET)) {
        return Ok(Some(budget));
    }
    let say = "nothing is spent without a budget: add --budget USD (or --sandbox to try it for free)";
    Err(BadInput(format!("{say}\n{}", estimate()?)).into())
}

/// So many times a price, for an estimate: rounded up, and held at the greatest amount.
pub(in crate::cli) fn times(price: Usd, count: Decimal) -> Usd {
    price.to_decimal().checked_mul(count).and_then(|sum| Usd::round_up(sum).ok()).unwrap_or(Usd::MAX)
}
