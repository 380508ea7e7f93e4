//! Auto-recharge on the command line: its settings, changed and shown, and what became of the requests.

use crate::cli::BadInput;
use crate::cli::arguments;
use crate::clock::timestamp;
use crate::domain::Usd;
use crate::domain::WorkspaceId;
use crate::ledger::MOST_DECLINES;
use crate::ledger::RechargeChange;
use crate::ledger::RechargeState;
use crate::ledger::RechargeTerms;
use crate::ledger::StoredRecharge;
use crate::ledger::TermsRefused;
use crate::store::Store;
use anyhow::Result;
use serde_json::Map;
use serde_json::Value;
use serde_json::json;
use std::time::Duration;

const BELOW: &str = "--auto-recharge-below";
const AMOUNT: &str = "--auto-recharge-amount";
const COOL_OFF: &str = "--auto-recharge-cool-off";
const PER_DAY: &str = "--auto-recharge-per-day";
const PER_MONTH: &str = "--auto-recharge-per-month";
/// The longest cool-off: as far as the monthly limit looks back.
const LONGEST_COOL_OFF: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// What of the settings is to change.
#[derive(clap::Args, Debug)]
pub(super) struct RechargeArgs {
    /// Ask for money once the balance falls below this; 0 asks no more
    #[arg(long = "auto-recharge-below", value_name = "USD", value_parser = arguments::threshold,
          allow_negative_numbers = true)]
    below: Option<Usd>,
    /// Ask for so much
    #[arg(long = "auto-recharge-amount", value_name = "USD", value_parser = arguments::positive_usd,
          allow_negative_numbers = true)]
    amount: Option<Usd>,
    /// Wait so long after an answer before the next request, 60s unless given
    #[arg(long = "auto-recharge-cool-off", value_name = "DURATION", value_parser = cool_off)]
    cool_off: Option<Duration>,
    /// Ask for so much within 24 hours at most, ten times the amount unless given
    #[arg(long = "auto-recharge-per-day", value_name = "USD", value_parser = arguments::positive_usd,
          allow_negative_numbers = true)]
    per_day: Option<Usd>,
    /// Ask for so much within 30 days at most, a hundred times the amount unless given
    #[arg(long = "auto-recharge-per-month", value_name = "USD", value_parser = arguments::positive_usd,
          allow_negative_numbers = true)]
    per_month: Option<Usd>,
    /// Ask no more
    #[arg(long = "no-auto-recharge", conflicts_with_all = ["below", "amount", "cool_off", "per_day", "per_month"])]
    none: bool,
}

impl RechargeArgs {
    /// What they change; `None` where none is given.
    pub(super) fn change(&self) -> Result<Option<RechargeChange>, BadInput> {
        let Self { below, amount, cool_off, per_day, per_month, none } = *self;
        let (asks_for_nothing, beside_below) = (below == Some(Usd::ZERO), self.beside_below());
        if asks_for_nothing && !beside_below.is_empty() {
            let given = beside_below.join(", ");
            let how = format!("give a threshold above 0, or {BELOW} 0 alone");
            return Err(BadInput(format!("{BELOW} 0 asks for nothing and {given} for something: {how}")));
        }
        if none || asks_for_nothing {
            return Ok(Some(RechargeChange::Off));
        }
        let is_empty = below.is_none() && beside_below.is_empty();
        Ok((!is_empty).then_some(RechargeChange::Set { below, amount, cool_off, per_day, per_month }))
    }

    /// Why the change is refused, in the words of what was given.
    pub(super) fn explain(&self, refused: TermsRefused) -> BadInput {
        let too_low = |option: &str, limit: Usd, amount: Usd| {
            let what = format!("{option} {limit} is less than {AMOUNT} {amount}");
            BadInput(format!("{what}: nothing would ever be asked for; raise the one or lower the other"))
        };
        match refused {
            TermsRefused::Incomplete => self.incomplete(),
            TermsRefused::PerDay(terms) => too_low(PER_DAY, terms.per_day(), terms.amount),
            TermsRefused::PerMonth(terms) => too_low(PER_MONTH, terms.per_month(), terms.amount),
        }
    }

    fn incomplete(&self) -> BadInput {
        BadInput(match (self.below, self.amount) {
            (Some(_), _) => format!("{BELOW} needs {AMOUNT}: how much to ask for"),
            (None, Some(_)) => format!("{AMOUNT} needs {BELOW}: when to ask for it"),
            (None, None) => {
                let given = self.beside_below().join(", ");
                format!("{given}: money is never asked for as it is; give {BELOW} and {AMOUNT} too")
            }
        })
    }

    /// What is given beside the threshold.
    fn beside_below(&self) -> Vec<&'static str> {
        let given = [
            (AMOUNT, self.amount.is_some()),
            (COOL_OFF, self.cool_off.is_some()),
            (PER_DAY, self.per_day.is_some()),
            (PER_MONTH, self.per_month.is_some()),
        ];
        given.into_iter().filter(|(_, is_given)| *is_given).map(|(option, _)| option).collect()
    }
}

fn cool_off(text: &str) -> Result<Duration, String> {
    let cool_off = arguments::duration(text)?;
    if cool_off > LONGEST_COOL_OFF { Err("must not be longer than 30d".to_owned()) } else { Ok(cool_off) }
}

/// What became of a workspace's requests.
#[derive(Default)]
pub(super) struct Requests {
    newest: Option<StoredRecharge>,
    /// In a row.
    declined: u32,
}

impl Requests {
    /// Reads them.
    pub(super) async fn of(store: &dyn Store, workspace: &WorkspaceId) -> Result<Self> {
        let newest = store.recharges(workspace, 1).await?.pop();
        Ok(Self { newest, declined: store.recharge_declines(workspace).await? })
    }

    /// While one is in flight there is none that is newer.
    fn in_flight(&self) -> Option<&StoredRecharge> {
        self.newest.as_ref().filter(|request| request.state == RechargeState::Asked)
    }
}

/// The settings and the newest request, for people.
pub(super) fn lines(terms: Option<RechargeTerms>, requests: &Requests) -> Vec<String> {
    let mut lines = match terms {
        Some(terms) => {
            let (below, amount, cool_off) = (terms.below, terms.amount, terms.cool_off().as_secs());
            let (per_day, per_month) = (terms.per_day(), terms.per_month());
            vec![
                format!("auto recharge      {amount} USD, below {below} USD"),
                format!("  at most          {per_day} USD within 24 hours, {per_month} USD within 30 days"),
                format!("  cool-off         {cool_off} s after an answer"),
            ]
        }
        None => vec!["auto recharge      none".to_owned()],
    };
    if let Some(StoredRecharge { reference, amount, state, asked_ms, .. }) = &requests.newest {
        let (at, state) = (timestamp(*asked_ms), state.as_str());
        lines.push(format!("  last request     {amount} USD under {reference}, {at}: {state}"));
    }
    let declined = requests.declined;
    if terms.is_some() && declined >= MOST_DECLINES {
        let until = "the settings are given again, or money comes for one of them";
        let what = format!("{declined} requests in a row were declined: nothing more is asked for until {until}");
        lines.push(format!("  off              {what}"));
    }
    lines
}

/// The same for programs.
pub(super) fn fields(terms: Option<RechargeTerms>, requests: &Requests) -> Map<String, Value> {
    let usd = |of: fn(RechargeTerms) -> Usd| terms.map(|terms| of(terms).to_string());
    let values = [
        ("auto_recharge_below", json!(usd(|terms| terms.below))),
        ("auto_recharge_amount", json!(usd(|terms| terms.amount))),
        ("auto_recharge_cool_off_seconds", json!(terms.map(|terms| terms.cool_off().as_secs()))),
        ("auto_recharge_per_day", json!(usd(RechargeTerms::per_day))),
        ("auto_recharge_per_month", json!(usd(RechargeTerms::per_month))),
        ("auto_recharge_in_flight", json!(requests.in_flight().map(|request| request.reference.as_str()))),
        ("auto_recharge_declined", json!(requests.declined)),
    ];
    values.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;
    use expect_test::expect;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        changes: RechargeArgs,
    }

    fn usd(text: &str) -> Usd {
        text.parse().unwrap()
    }

    fn apply(terms: Option<RechargeTerms>, line: &[&str]) -> Result<Option<RechargeTerms>, String> {
        let line = Line::try_parse_from(["set"].iter().chain(line)).unwrap();
        let change = line.changes.change().map_err(|error| error.to_string())?;
        let applied = change.map_or(Ok(terms), |change| change.apply(terms));
        applied.map_err(|refused| line.changes.explain(refused).to_string())
    }

    fn request(n: u32, state: RechargeState) -> StoredRecharge {
        StoredRecharge {
            workspace: WorkspaceId::new("acme"),
            reference: format!("recharge_{n}"),
            amount: usd("20"),
            state,
            asked_ms: 1_800_000_000_000,
        }
    }

    #[test]
    fn every_option_changes_its_setting_and_a_limit_that_is_given_stays() {
        let first = ["--auto-recharge-below", "5", "--auto-recharge-amount", "20"];
        let mut terms = apply(None, &first).unwrap();
        assert_eq!(terms, Some(RechargeTerms::usual(usd("5"), usd("20"))));
        for (line, cool_off, per_day, per_month) in [
            (vec!["--auto-recharge-cool-off", "15m"], 900, "200", "2000"),
            // As much as is usual, and yet it was said.
            (vec!["--auto-recharge-per-day", "200"], 900, "200", "2000"),
            (vec!["--auto-recharge-amount", "50"], 900, "200", "5000"),
            (vec!["--auto-recharge-per-month", "50", "--auto-recharge-below", "1"], 900, "200", "50"),
        ] {
            terms = apply(terms, &line).unwrap();
            let now = terms.unwrap();
            let limits = (now.cool_off().as_secs(), now.per_day(), now.per_month());
            assert_eq!(limits, (cool_off, usd(per_day), usd(per_month)), "{line:?}");
        }
        assert_eq!(terms.map(|terms| (terms.below, terms.amount)), Some((usd("1"), usd("50"))));
        assert_eq!(apply(terms, &[]), Ok(terms));
        assert_eq!(apply(terms, &["--no-auto-recharge"]), Ok(None));
        assert_eq!(apply(terms, &["--auto-recharge-below", "0"]), Ok(None));
    }

    #[test]
    fn settings_that_are_not_whole_would_never_ask_or_contradict_each_other_are_refused() {
        let mut told = String::new();
        for line in [
            "below 5",
            "amount 5",
            "cool-off 5m",
            "per-month 5 per-day 5",
            "below 5 amount 20 per-day 19.99",
            "below 5 amount 20 per-month 1",
            "below 0 amount 25",
            "below 0 cool-off 5m per-day 50 per-month 50",
        ] {
            let words: Vec<&str> = line.split(' ').collect();
            let line: Vec<String> =
                words.chunks(2).flat_map(|pair| [format!("--auto-recharge-{}", pair[0]), pair[1].to_owned()]).collect();
            let line: Vec<&str> = line.iter().map(String::as_str).collect();
            told += &format!("{}\n", apply(None, &line).unwrap_err());
        }
        expect![[r#"
            --auto-recharge-below needs --auto-recharge-amount: how much to ask for
            --auto-recharge-amount needs --auto-recharge-below: when to ask for it
            --auto-recharge-cool-off: money is never asked for as it is; give --auto-recharge-below and --auto-recharge-amount too
            --auto-recharge-per-day, --auto-recharge-per-month: money is never asked for as it is; give --auto-recharge-below and --auto-recharge-amount too
            --auto-recharge-per-day 19.990000000 is less than --auto-recharge-amount 20.000000000: nothing would ever be asked for; raise the one or lower the other
            --auto-recharge-per-month 1.000000000 is less than --auto-recharge-amount 20.000000000: nothing would ever be asked for; raise the one or lower the other
            --auto-recharge-below 0 asks for nothing and --auto-recharge-amount for something: give a threshold above 0, or --auto-recharge-below 0 alone
            --auto-recharge-below 0 asks for nothing and --auto-recharge-cool-off, --auto-recharge-per-day, --auto-recharge-per-month for something: give a threshold above 0, or --auto-recharge-below 0 alone
        "#]]
        .assert_eq(&told);
    }

    #[test]
    fn amounts_and_times_that_mean_nothing_are_refused() {
        for line in [
            vec!["--auto-recharge-below", "-0.01"],
            vec!["--auto-recharge-amount", "0"],
            vec!["--auto-recharge-amount", "-1"],
            vec!["--auto-recharge-per-day", "0"],
            vec!["--auto-recharge-cool-off", "10"],
            vec!["--auto-recharge-cool-off", "31d"],
            vec!["--no-auto-recharge", "--auto-recharge-below", "5"],
        ] {
            assert!(Line::try_parse_from(["set"].iter().chain(&line)).is_err(), "{line:?}");
        }
    }

    #[test]
    fn the_request_in_flight_is_shown_and_three_declines_in_a_row_are() {
        let terms = Some(RechargeTerms::usual(usd("5"), usd("20")));
        let of = |newest, declined| Requests { newest: Some(newest), declined };
        let asked = of(request(2, RechargeState::Asked), 1);
        let off = of(request(3, RechargeState::Declined), 3);
        assert_eq!((asked.in_flight().unwrap().reference.as_str(), off.in_flight()), ("recharge_2", None));
        assert_eq!(lines(terms, &asked).len(), 4);
        expect![[r#"
            auto recharge      20.000000000 USD, below 5.000000000 USD
              at most          200.000000000 USD within 24 hours, 2000.000000000 USD within 30 days
              cool-off         60 s after an answer
              last request     20.000000000 USD under recharge_3, 2027-01-15T08:00:00.000Z: declined
              off              3 requests in a row were declined: nothing more is asked for until the settings are given again, or money comes for one of them"#]]
        .assert_eq(&lines(terms, &off).join("\n"));
        assert_eq!(lines(None, &Requests::default()), ["auto recharge      none"]);
    }
}
