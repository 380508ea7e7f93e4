//! What stands on the command line, read into the domain's types.

use crate::domain::JobId;
use crate::domain::LeadId;
use crate::domain::Usd;
use crate::domain::WorkspaceId;
use std::convert::Infallible;

/// Characters of a workspace's name, at most (CONTRACTS §4).
const WORKSPACE_MAX: usize = 64;

/// Any text: a job that is not in the store is told by the command.
pub(super) fn job_id(text: &str) -> Result<JobId, Infallible> {
    Ok(JobId::new(text))
}

/// Any text, as for jobs.
pub(super) fn lead_id(text: &str) -> Result<LeadId, Infallible> {
    Ok(LeadId::new(text))
}

/// A workspace may be first mentioned here, so its form is checked.
pub(super) fn workspace_id(text: &str) -> Result<WorkspaceId, String> {
    let is_named = text.chars().all(|c| c.is_ascii_alphanumeric() || "_.:-".contains(c));
    if is_named && (1..=WORKSPACE_MAX).contains(&text.len()) {
        Ok(WorkspaceId::new(text))
    } else {
        Err(format!("a workspace is 1 to {WORKSPACE_MAX} letters, digits, `_`, `.`, `:` or `-`"))
    }
}

/// An amount above zero.
pub(super) fn positive_usd(text: &str) -> Result<Usd, String> {
    let amount = text.parse::<Usd>().map_err(|error| error.to_string())?;
    if amount.is_positive() { Ok(amount) } else { Err("must be more than zero".to_owned()) }
}

/// A share, 0 to 1.
pub(super) fn share(text: &str) -> Result<f64, String> {
    let share = text.parse::<f64>().ok().filter(|share| (0.0..=1.0).contains(share));
    share.ok_or_else(|| "must be a number from 0 to 1, like 0.05".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_workspace_is_a_short_plain_name() {
        for name in ["acme", "local", "A-1.b:c_d", &"x".repeat(64)] {
            assert_eq!(workspace_id(name).unwrap().as_str(), name);
        }
        for name in ["", "two words", "a/b", "café", &"x".repeat(65)] {
            assert!(workspace_id(name).is_err(), "{name}");
        }
    }

    #[test]
    fn money_that_comes_in_is_more_than_nothing() {
        assert_eq!(positive_usd("0.000000001").unwrap(), Usd::from_nanos(1));
        for (text, why) in [
            ("0", "must be more than zero"),
            ("-5", "must be more than zero"),
            ("5,00", "not a decimal amount like 12.50"),
        ] {
            assert_eq!(positive_usd(text), Err(why.to_owned()));
        }
    }

    #[test]
    fn a_share_is_between_nothing_and_all() {
        assert_eq!(share("0.25"), Ok(0.25));
        for text in ["-0.1", "1.1", "5%", "NaN"] {
            assert!(share(text).is_err(), "{text}");
        }
    }
}
