//! What a list could cost: the worst case, and what it would cost at an assumed find rate.

use crate::cli::list_run;
use crate::cli::list_run::times;
use crate::cli::output;
use crate::domain::Address;
use crate::domain::Lead;
use crate::domain::Query;
use crate::domain::Step;
use crate::domain::Usd;
use crate::lists::Counts;
use crate::worker::Route;
use crate::worker::Routes;
use rust_decimal::Decimal;
use serde_json::Value;
use serde_json::json;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// Every find step is assumed to find so many of 100 leads it is asked about.
const ASSUMED_FIND_RATE: u32 = 40;

/// Costs of one list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Estimate {
    rows: u64,
    usable: u64,
    worst: Usd,
    assumed: Usd,
    /// Each step's part of the worst case and of the assumed cost.
    by_step: BTreeMap<Step, (Usd, Usd)>,
}

/// Leads that enter the waterfall alike.
struct Entrants {
    leads: u64,
    /// One of them, to ask the adapters with; only its shape counts.
    like: Lead,
}

/// Adds up, step by step. Every finder may find another address, and every verifier may be asked
/// about each.
pub(super) fn estimate(counts: &Counts, routes: &Routes, lead_cap: Option<Usd>) -> Estimate {
    let mut estimate = Estimate {
        rows: counts.rows,
        usable: counts.usable,
        worst: Usd::ZERO,
        assumed: Usd::ZERO,
        by_step: BTreeMap::new(),
    };
    for entrants in groups(counts) {
        let mut worst_of_lead = Usd::ZERO;
        // A lead that comes with an address is assumed to be fine, and is not searched.
        let mut asked = if entrants.like.email.is_some() { Decimal::ZERO } else { Decimal::ONE };
        if entrants.like.email.is_some() {
            for (place, route) in routes.verifiers().enumerate() {
                let price = worst_price(route, &example_verification());
                worst_of_lead = worst_of_lead.saturating_add(price);
                let share = if place == 0 { Decimal::ONE } else { Decimal::ZERO };
                estimate.add(route, entrants.leads, price, share);
            }
        }
        for route in routes.finders() {
            let Some(query) = route.adapter.find_query(&entrants.like) else { continue };
            let price = worst_price(route, &query);
            worst_of_lead = worst_of_lead.saturating_add(price);
            let found = asked * Decimal::new(i64::from(ASSUMED_FIND_RATE), 2);
            estimate.add(route, entrants.leads, price, found);
            for (place, verifier) in routes.verifiers().enumerate() {
                let price = worst_price(verifier, &example_verification());
                worst_of_lead = worst_of_lead.saturating_add(price);
                estimate.add(verifier, entrants.leads, price, if place == 0 { found } else { Decimal::ZERO });
            }
            asked -= found;
        }
        let capped = lead_cap.map_or(worst_of_lead, |cap| cap.min(worst_of_lead));
        estimate.worst = estimate.worst.saturating_add(times(capped, Decimal::from(entrants.leads)));
    }
    estimate
}

impl Estimate {
    fn add(&mut self, route: &Arc<Route>, leads: u64, price: Usd, share: Decimal) {
        let worst = times(price, Decimal::from(leads));
        let assumed = times(price, Decimal::from(leads) * share);
        self.assumed = self.assumed.saturating_add(assumed);
        let of_step = self.by_step.entry(route.step.clone()).or_insert((Usd::ZERO, Usd::ZERO));
        of_step.0 = of_step.0.saturating_add(worst);
        of_step.1 = of_step.1.saturating_add(assumed);
    }
}

/// One lead of each shape that a list can hold.
fn groups(counts: &Counts) -> [Entrants; 5] {
    let name =
        Lead { full_name: Some("Ada Sample".to_owned()), domain: Some("acme.test".to_owned()), ..Lead::default() };
    let profile = Lead { linkedin_url: Some("https://www.linkedin.com/in/ada".to_owned()), ..Lead::default() };
    let with_address = |lead: &Lead| Lead { email: Address::parse("ada@acme.test"), ..lead.clone() };
    [
        Entrants { leads: counts.address_and_name, like: with_address(&name) },
        Entrants { leads: counts.address_and_profile, like: with_address(&profile) },
        Entrants { leads: counts.address_only, like: with_address(&Lead::default()) },
        Entrants { leads: counts.name, like: name },
        Entrants { leads: counts.profile, like: profile },
    ]
}

fn example_verification() -> Query {
    Address::parse("ada@acme.test").map_or(Query::ByProfile(String::new()), Query::Verify)
}

fn worst_price(route: &Route, query: &Query) -> Usd {
    route.worst_price(query).unwrap_or(Usd::MAX)
}

impl fmt::Display for Estimate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} rows, {} of them usable", self.rows, self.usable)?;
        writeln!(f, "worst case: {} USD (every step of every lead, as far as the cap per lead allows)", self.worst)?;
        writeln!(
            f,
            "at a find rate of {ASSUMED_FIND_RATE} % a step: {} USD (an assumption, not a promise)",
            self.assumed
        )?;
        let steps = self.by_step.iter();
        let rows = steps.map(|(step, (worst, assumed))| [step.to_string(), worst.to_string(), assumed.to_string()]);
        f.write_str(&output::table_text(["step", "worst case USD, without the cap", "assumed USD"], rows))
    }
}

impl list_run::Estimate for Estimate {
    fn to_json(&self) -> Value {
        let steps = self.by_step.iter().map(|(step, (worst, assumed))| {
            json!({ "step": step.to_string(), "worst": worst.to_string(), "assumed": assumed.to_string() })
        });
        json!({
            "rows": self.rows,
            "usable": self.usable,
            "worst": self.worst.to_string(),
            "assumed": self.assumed.to_string(),
            "assumed_find_rate_percent": ASSUMED_FIND_RATE,
            "steps": steps.collect::<Vec<_>>(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::load;
    use crate::http::Gates;
    use std::path::Path;

    fn estimate_of(counts: Counts) -> Estimate {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
        let keys = |name: &str| name.ends_with("_API_KEY").then(|| "key".to_owned());
        let live = load(Some(&folder), &keys, &[]).unwrap().live;
        let waterfall = live.default_waterfall(None).unwrap();
        estimate(&counts, &Routes::with_house_keys(&live, waterfall, &Gates::default()), waterfall.max_spend_per_lead)
    }

    fn cells(estimate: &Estimate, step: &str) -> (String, String) {
        let (worst, assumed) = estimate.by_step[&step.parse().unwrap()];
        (worst.to_string(), assumed.to_string())
    }

    #[test]
    fn a_lead_is_counted_once_however_much_it_holds() {
        let estimate = estimate_of(Counts { rows: 1, usable: 1, address_and_name: 1, ..Counts::default() });
        assert_eq!(cells(&estimate, "leadmagic.find_email"), ("0.012500000".into(), "0.000000000".into()));
        // Once for its own address, and once for each of four finders'.
        let verified = cells(&estimate, "millionverifier.verify_email");
        assert_eq!(verified, ("0.019500000".into(), "0.003900000".into()));
    }

    #[test]
    fn an_address_with_nothing_to_search_by_costs_its_verification_alone() {
        let estimate = estimate_of(Counts { rows: 1, usable: 1, address_only: 1, ..Counts::default() });
        assert_eq!(estimate.worst.to_string(), "0.016800000");
        assert_eq!(estimate.assumed.to_string(), "0.003900000");
    }

    #[test]
    fn each_finder_is_assumed_to_find_two_of_five_of_those_it_is_asked_about() {
        let estimate = estimate_of(Counts { rows: 100, usable: 100, name: 100, ..Counts::default() });
        assert_eq!(cells(&estimate, "leadmagic.find_email"), ("1.250000000".into(), "0.500000000".into()));
        assert_eq!(cells(&estimate, "prospeo.find_email"), ("1.980000000".into(), "0.475200000".into()));
    }
}
