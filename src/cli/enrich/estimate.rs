//! What a list could cost: the worst case, and what it would cost at an assumed find rate.

use crate::domain::Address;
use crate::domain::Lead;
use crate::domain::Operation;
use crate::domain::ProviderName;
use crate::domain::Query;
use crate::domain::Step;
use crate::domain::Usd;
use crate::lists::Counts;
use crate::worker::Route;
use crate::worker::Routes;
use rust_decimal::Decimal;
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
        let mut asked = Decimal::ONE;
        if entrants.like.email.is_some() {
            for (place, route) in routes.verify.iter().enumerate() {
                let price = worst_price(route, &example_verification());
                worst_of_lead = worst_of_lead.saturating_add(price);
                let share = if place == 0 { Decimal::ONE } else { Decimal::ZERO };
                estimate.add(route, entrants.leads, price, share);
            }
        }
        for route in &routes.find {
            let Some(query) = route.adapter.find_query(&entrants.like) else { continue };
            let price = worst_price(route, &query);
            worst_of_lead = worst_of_lead.saturating_add(price);
            let found = asked * Decimal::new(i64::from(ASSUMED_FIND_RATE), 2);
            estimate.add(route, entrants.leads, price, found);
            for (place, verifier) in routes.verify.iter().enumerate() {
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

/// A lead with an address is verified and taken to be fine in the assumed case; in the worst it is
/// searched like the others.
fn groups(counts: &Counts) -> [Entrants; 3] {
    let name =
        Lead { full_name: Some("Ada Sample".to_owned()), domain: Some("acme.test".to_owned()), ..Lead::default() };
    let profile = Lead { linkedin_url: Some("https://www.linkedin.com/in/ada".to_owned()), ..Lead::default() };
    let address = Lead { email: Address::parse("ada@acme.test"), ..name.clone() };
    [
        Entrants { leads: counts.with_address, like: address },
        Entrants { leads: counts.by_name, like: name },
        Entrants { leads: counts.by_profile_only, like: profile },
    ]
}

fn example_verification() -> Query {
    Address::parse("ada@acme.test").map_or(Query::ByProfile(String::new()), Query::Verify)
}

fn worst_price(route: &Route, query: &Query) -> Usd {
    route.price.of(route.adapter.worst_case(query)).unwrap_or(Usd::MAX)
}

fn times(price: Usd, count: Decimal) -> Usd {
    price.to_decimal().checked_mul(count).and_then(|sum| Usd::round_up(sum).ok()).unwrap_or(Usd::MAX)
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
        write!(f, "{:<30} {:>18} {:>18}", "step", "worst case", "assumed")?;
        for (Step { provider, operation }, (worst, assumed)) in &self.by_step {
            write!(f, "\n{:<30} {worst:>18} {assumed:>18}", step_text(provider, *operation))?;
        }
        Ok(())
    }
}

fn step_text(provider: &ProviderName, operation: Operation) -> String {
    format!("{provider}.{}", operation.as_str())
}
