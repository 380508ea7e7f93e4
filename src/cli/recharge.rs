//! Auto-recharge on the command line: its terms, changed and shown, and what became of the requests.

use crate::cli::BadInput;
use crate::cli::arguments;
use crate::clock::timestamp;
use crate::domain::Usd;
use crate::domain::WorkspaceId;
use crate::ledger::RechargeState;
use crate::ledger::RechargeTerms;
use crate::ledger::StoredRecharge;
use crate::store::Store;
use anyhow::Result;
use serde_json::Map;
use serde_json::Value;
use serde_json::json;
use std::time::Duration;

/// So many of the newest requests are looked at: as many declines in a row turn the asking off.
const REQUESTS: usize = 3;
/// The longest cool-off: as far as the monthly limit looks back.
const LONGEST_COOL_OFF: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// What of the terms is to change.
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
    /// Does nothing change?
    pub(super) fn is_empty(&self) -> bool {
        let Self { below, amount, cool_off, per_day, per_month, none } = self;
        let amounts = [below, amount, per_day, per_month];
        !none && cool_off.is_none() && amounts.into_iter().all(Option::is_none)
    }

    /// The terms with what was given in place of what was there. They are whole or not at all: any part may
    /// change once threshold and amount are known.
    pub(super) fn apply(&self, terms: Option<RechargeTerms>) -> Result<Option<RechargeTerms>, BadInput> {
        if self.is_empty() {
            return Ok(terms);
        }
        if self.none || self.below == Some(Usd::ZERO) {
            return Ok(None);
        }
        let below = self.below.or(terms.map(|terms| terms.below));
        let amount = self.amount.or(terms.map(|terms| terms.amount));
        let (below, amount) = match (below, amount) {
            (Some(below), Some(amount)) => (below, amount),
            (Some(_), None) => {
                return Err(needs("--auto-recharge-below", "--auto-recharge-amount: how much to ask for"));
            }
            (None, Some(_)) => {
                return Err(needs("--auto-recharge-amount", "--auto-recharge-below: when to ask for it"));
            }
            (None, None) => return Err(needs(self.limit(), "--auto-recharge-below and --auto-recharge-amount")),
        };
        check(self.limited(terms, below, amount)).map(Some)
    }

    /// Limits that nobody has set follow the amount.
    fn limited(&self, terms: Option<RechargeTerms>, below: Usd, amount: Usd) -> RechargeTerms {
        let usual = RechargeTerms::usual(below, amount);
        let Some(before) = terms else {
            return RechargeTerms {
                cool_off: self.cool_off.unwrap_or(usual.cool_off),
                per_day: self.per_day.unwrap_or(usual.per_day),
                per_month: self.per_month.unwrap_or(usual.per_month),
                ..usual
            };
        };
        let usual_before = RechargeTerms::usual(before.below, before.amount);
        let kept = |limit: Usd, was_usual: Usd, usual: Usd| if limit == was_usual { usual } else { limit };
        let per_day = kept(before.per_day, usual_before.per_day, usual.per_day);
        let per_month = kept(before.per_month, usual_before.per_month, usual.per_month);
        RechargeTerms {
            cool_off: self.cool_off.unwrap_or(before.cool_off),
            per_day: self.per_day.unwrap_or(per_day),
            per_month: self.per_month.unwrap_or(per_month),
            ..usual
        }
    }

    /// The first limit that was given.
    const fn limit(&self) -> &'static str {
        if self.cool_off.is_some() {
            "--auto-recharge-cool-off"
        } else if self.per_day.is_some() {
            "--auto-recharge-per-day"
        } else {
            "--auto-recharge-per-month"
        }
    }
}

fn needs(given: &str, missing: &str) -> BadInput {
    BadInput(format!("{given} needs {missing}"))
}

/// Refuses limits under which nothing would ever be asked for.
fn check(terms: RechargeTerms) -> Result<RechargeTerms, BadInput> {
    let RechargeTerms { amount, per_day, per_month, .. } = terms;
    let refuse = |option: &str, limit: Usd, more: &str, than: Usd| {
        Err(BadInput(format!("{option} {limit} is less than {more} {than}: nothing would ever be asked for")))
    };
    if per_day < amount {
        return refuse("--auto-recharge-per-day", per_day, "--auto-recharge-amount", amount);
    }
    if per_month < amount {
        return refuse("--auto-recharge-per-month", per_month, "--auto-recharge-amount", amount);
    }
    Ok(terms)
}

fn cool_off(text: &str) -> Result<Duration, String> {
    let cool_off = arguments::duration(text)?;
    if cool_off > LONGEST_COOL_OFF { Err("must not be longer than 30d".to_owned()) } else { Ok(cool_off) }
}

/// The newest requests of a workspace, the newest first.
#[derive(Default)]
pub(super) struct Requests {
    newest: Vec<StoredRecharge>,
    /// The terms were set just now, which forgets earlier declines.
    set_anew: bool,
}

impl Requests {
    /// Reads them.
    pub(super) async fn of(store: &dyn Store, workspace: &WorkspaceId) -> Result<Self> {
        let newest = store.recharges(workspace, u32::try_from(REQUESTS)?).await?;
        Ok(Self { newest, set_anew: false })
    }

    /// The same, after the terms were set.
    pub(super) fn set_anew(self) -> Self {
        Self { set_anew: true, ..self }
    }

    fn in_flight(&self) -> Option<&StoredRecharge> {
        self.newest.iter().find(|request| request.state == RechargeState::Asked)
    }

    /// Declined in a row, as far as is known: of the newest requests.
    fn declined(&self) -> usize {
        if self.set_anew {
            return 0;
        }
        self.newest.iter().take_while(|request| request.state == RechargeState::Declined).count()
    }
}

/// The terms and the newest request, for people.
pub(super) fn lines(terms: Option<RechargeTerms>, requests: &Requests) -> Vec<String> {
    let mut lines = match terms {
        Some(RechargeTerms { below, amount, cool_off, per_day, per_month }) => vec![
            format!("auto recharge      {amount} USD, below {below} USD"),
            format!("  at most          {per_day} USD within 24 hours, {per_month} USD within 30 days"),
            format!("  cool-off         {} s after an answer", cool_off.as_secs()),
        ],
        None => vec!["auto recharge      none".to_owned()],
    };
    if let Some(StoredRecharge { reference, amount, state, asked_ms, .. }) = requests.newest.first() {
        let (at, state) = (timestamp(*asked_ms), state.as_str());
        lines.push(format!("  last request     {amount} USD under {reference}, {at}: {state}"));
    }
    if terms.is_some() && requests.declined() >= REQUESTS {
        lines.push(format!(
            "  off              the last {REQUESTS} requests were declined: nothing more is asked for until the terms \
             are set again after that"
        ));
    }
    lines
}

/// The same for programs.
pub(super) fn fields(terms: Option<RechargeTerms>, requests: &Requests) -> Map<String, Value> {
    let usd = |of: fn(RechargeTerms) -> Usd| terms.map(|terms| of(terms).to_string());
    let values = [
        ("auto_recharge_below", json!(usd(|terms| terms.below))),
        ("auto_recharge_amount", json!(usd(|terms| terms.amount))),
        ("auto_recharge_cool_off_seconds", json!(terms.map(|terms| terms.cool_off.as_secs()))),
        ("auto_recharge_per_day", json!(usd(|terms| terms.per_day))),
        ("auto_recharge_per_month", json!(usd(|terms| terms.per_month))),
        ("auto_recharge_in_flight", json!(requests.in_flight().map(|request| request.reference.as_str()))),
        ("auto_recharge_declined", json!(requests.declined())),
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
        line.changes.apply(terms).map_err(|error| error.to_string())
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
    fn limits_that_nobody_has_set_follow_the_amount_and_those_that_were_set_stay() {
        let first = ["--auto-recharge-below", "5", "--auto-recharge-amount", "20"];
        let mut terms = apply(None, &first).unwrap();
        assert_eq!(terms, Some(RechargeTerms::usual(usd("5"), usd("20"))));
        for (line, cool_off, per_day, per_month) in [
            (vec!["--auto-recharge-cool-off", "15m"], 900, "200", "2000"),
            (vec!["--auto-recharge-per-day", "100"], 900, "100", "2000"),
            (vec!["--auto-recharge-amount", "50"], 900, "100", "5000"),
            (vec!["--auto-recharge-per-month", "50", "--auto-recharge-below", "1"], 900, "100", "50"),
        ] {
            terms = apply(terms, &line).unwrap();
            let now = terms.unwrap();
            assert_eq!((now.cool_off.as_secs(), now.per_day, now.per_month), (cool_off, usd(per_day), usd(per_month)));
        }
        assert_eq!(terms.map(|terms| (terms.below, terms.amount)), Some((usd("1"), usd("50"))));
        assert_eq!(apply(terms, &[]), Ok(terms));
        assert_eq!(apply(terms, &["--no-auto-recharge"]), Ok(None));
        assert_eq!(apply(terms, &["--auto-recharge-below", "0"]), Ok(None));
    }

    #[test]
    fn terms_that_are_not_whole_or_would_never_ask_are_refused() {
        let mut told = String::new();
        for line in [
            vec!["--auto-recharge-below", "5"],
            vec!["--auto-recharge-amount", "5"],
            vec!["--auto-recharge-cool-off", "5m"],
            vec!["--auto-recharge-per-month", "5"],
            vec!["--auto-recharge-below", "5", "--auto-recharge-amount", "20", "--auto-recharge-per-day", "19.99"],
            vec!["--auto-recharge-below", "5", "--auto-recharge-amount", "20", "--auto-recharge-per-month", "1"],
        ] {
            told += &format!("{}\n", apply(None, &line).unwrap_err());
        }
        expect![[r#"
            --auto-recharge-below needs --auto-recharge-amount: how much to ask for
            --auto-recharge-amount needs --auto-recharge-below: when to ask for it
            --auto-recharge-cool-off needs --auto-recharge-below and --auto-recharge-amount
            --auto-recharge-per-month needs --auto-recharge-below and --auto-recharge-amount
            --auto-recharge-per-day 19.990000000 is less than --auto-recharge-amount 20.000000000: nothing would ever be asked for
            --auto-recharge-per-month 1.000000000 is less than --auto-recharge-amount 20.000000000: nothing would ever be asked for
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
        let declined = |n| request(n, RechargeState::Declined);
        let asked = Requests { newest: vec![request(2, RechargeState::Asked), declined(1)], set_anew: false };
        let off = || Requests { newest: vec![declined(3), declined(2), declined(1)], set_anew: false };
        assert_eq!((asked.in_flight().unwrap().reference.as_str(), asked.declined()), ("recharge_2", 0));
        assert_eq!((off().in_flight().is_none(), off().declined(), off().set_anew().declined()), (true, 3, 0));
        expect![[r#"
            auto recharge      20.000000000 USD, below 5.000000000 USD
              at most          200.000000000 USD within 24 hours, 2000.000000000 USD within 30 days
              cool-off         60 s after an answer
              last request     20.000000000 USD under recharge_3, 2027-01-15T08:00:00.000Z: declined
              off              the last 3 requests were declined: nothing more is asked for until the terms are set again after that"#]]
        .assert_eq(&lines(terms, &off()).join("\n"));
        assert_eq!(lines(None, &Requests::default()), ["auto recharge      none"]);
    }
}
