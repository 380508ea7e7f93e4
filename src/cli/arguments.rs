//! What stands on the command line, read into the domain's types.

use crate::domain::CampaignId;
use crate::domain::JobId;
use crate::domain::LeadId;
use crate::domain::Usd;
use crate::domain::WorkspaceId;
use std::convert::Infallible;
use std::time::Duration;

/// Characters of a workspace's name, at most (CONTRACTS §4).
const WORKSPACE_MAX: usize = 64;
/// Bytes of a campaign's name, or of a reference, at most: as many as a message may name.
const NAME_MAX: usize = 1024;
/// The units of a duration in seconds.
const UNITS: [(&str, u64); 4] = [("s", 1), ("m", 60), ("h", 3_600), ("d", 86_400)];

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

/// Whatever the platform calls it, as a message may name it.
pub(super) fn campaign_id(text: &str) -> Result<CampaignId, String> {
    name("a campaign", text).map(CampaignId::new)
}

/// What a booking is known by, as a message may name it.
pub(super) fn reference(text: &str) -> Result<String, String> {
    name("a reference", text).map(str::to_owned)
}

fn name<'t>(what: &str, text: &'t str) -> Result<&'t str, String> {
    if text.trim().is_empty() || text.len() > NAME_MAX || text.contains('\0') {
        return Err(format!("{what} is 1 to {NAME_MAX} bytes of text"));
    }
    Ok(text)
}

/// A time like 90s, 15m, 6h or 1d.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let read = || {
        let (count, unit) = text.split_at_checked(text.find(|c: char| !c.is_ascii_digit())?)?;
        let (_, seconds) = UNITS.into_iter().find(|(name, _)| *name == unit)?;
        count.parse::<u64>().ok()?.checked_mul(seconds).map(Duration::from_secs)
    };
    read().ok_or_else(|| "must be a time like 90s, 15m, 6h or 1d".to_owned())
}

/// An amount above zero.
pub(super) fn positive_usd(text: &str) -> Result<Usd, String> {
    let amount = text.parse::<Usd>().map_err(|error| error.to_string())?;
    if amount.is_positive() { Ok(amount) } else { Err("must be more than zero".to_owned()) }
}

/// An amount that a balance is compared with. Nothing falls below zero, so that means never.
pub(super) fn threshold(text: &str) -> Result<Usd, String> {
    let amount = text.parse::<Usd>().map_err(|error| error.to_string())?;
    if amount.is_negative() { Err("must not be less than zero".to_owned()) } else { Ok(amount) }
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
    fn a_campaign_is_any_text_that_a_message_may_name() {
        assert_eq!(campaign_id("Spring 2026/é").unwrap().as_str(), "Spring 2026/é");
        assert!(campaign_id(&"x".repeat(1_024)).is_ok());
        for text in ["", "  ", "a\0b", &"x".repeat(1_025)] {
            assert!(campaign_id(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_time_has_a_whole_number_and_a_unit() {
        for (text, seconds) in [("0s", 0), ("90s", 90), ("15m", 900), ("6h", 21_600), ("1d", 86_400)] {
            assert_eq!(duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in ["", "15", "m", "-1m", "1.5h", "1 m", "2w", "99999999999999999999s", "999999999999999999d"] {
            assert!(duration(text).is_err(), "{text}");
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
