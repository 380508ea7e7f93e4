//! What the providers of this world cost, counted the simple way.

use crate::config::Live;
use crate::config::ProviderSettings;
use crate::config::Waterfall;
use crate::domain::ConfigVersion;
use crate::domain::Dialect;
use crate::domain::Operation;
use crate::domain::ProviderName;
use crate::domain::Step;
use crate::domain::Usd;
use crate::domain::WaterfallName;
use crate::waterfall::Risky;
use crate::worker::simulation::dice::Dice;
use rust_decimal::Decimal;
use secrecy::SecretString;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// The one waterfall.
pub(super) const WATERFALL: &str = "work_email";

/// In front of a provider's name, the address that its calls go to.
pub(super) const SCHEME: &str = "sim://";

const FINDERS: [&str; 3] = ["leadmagic", "prospeo", "findymail"];
const VERIFIERS: [&str; 2] = ["millionverifier", "zerobounce"];

/// Thousandths of a dollar per credit.
const PRICES: [(&str, i64); 5] =
    [("leadmagic", 12), ("prospeo", 20), ("findymail", 10), ("millionverifier", 4), ("zerobounce", 8)];

/// The configurations of this world: the one in force, and the one that a reload brings, at other prices.
pub(super) fn draw_lives(dice: &mut Dice, leads_in_flight: u32) -> Vec<Arc<Live>> {
    let waterfall = draw_waterfall(dice);
    let rate = dice.percent(30).then(|| u32::try_from(dice.between(3, 20)).unwrap());
    let max_in_flight = u32::try_from(dice.between(2, 6)).unwrap();
    let cache_max_age = if dice.percent(50) { Duration::from_secs(30 * 86_400) } else { Duration::ZERO };
    let factors = [("before", 100), ("after", i64::try_from(dice.between(50, 200)).unwrap())];
    let lives = factors.map(|(version, factor)| {
        let settings = |(name, price): (&str, i64)| {
            let price = Decimal::new(price * factor, 5);
            (ProviderName::new(name), provider(name, price, rate, max_in_flight))
        };
        Arc::new(Live {
            version: ConfigVersion::new(version),
            providers: PRICES.into_iter().map(settings).collect(),
            models: BTreeMap::new(),
            waterfalls: BTreeMap::from([(waterfall.name.clone(), waterfall.clone())]),
            cache_max_age,
            low_balance: Usd::from_nanos(100_000_000),
            leads_in_flight,
        })
    });
    lives.to_vec()
}

fn draw_waterfall(dice: &mut Dice) -> Waterfall {
    let names = |names: &[&str]| names.iter().copied().map(ProviderName::new).collect::<Vec<_>>();
    let (mut find, mut verify) = (names(&FINDERS), names(&VERIFIERS));
    find.rotate_left(dice.place(FINDERS.len()));
    verify.rotate_left(dice.place(VERIFIERS.len()));
    find.truncate(2 + dice.place(2));
    verify.truncate(1 + dice.place(2));
    Waterfall {
        name: WaterfallName::new(WATERFALL),
        find,
        verify,
        risky: if dice.percent(50) { Risky::KeepLooking } else { Risky::Accept },
        trust_finders: dice.percent(20),
        max_spend_per_lead: dice.percent(30).then(|| Usd::from_nanos(30_000_000)),
    }
}

fn provider(name: &str, price: Decimal, rate: Option<u32>, max_in_flight: u32) -> ProviderSettings {
    ProviderSettings {
        name: ProviderName::new(name),
        kind: name.to_owned(),
        base_url: format!("{SCHEME}{name}"),
        house_key: Some(SecretString::from(house_key(name))),
        house_key_source: None,
        credit_price: Some(price),
        requests_per_second: rate,
        reads_per_minute: None,
        poll_deadline: None,
        max_in_flight,
        timeout: Duration::from_secs(30),
        max_tries: 3,
        breaker_failures: 10,
        breaker_open: Duration::from_secs(30),
        enabled: true,
        dialect: Dialect::default(),
    }
}

pub(super) fn house_key(provider: &str) -> String {
    format!("house-{provider}")
}

/// The credits that a question can cost at most.
pub(super) fn worst_credits(step: &Step, by_profile: bool) -> Decimal {
    match (step.provider.as_str(), step.operation) {
        ("leadmagic", Operation::VerifyEmail) => Decimal::new(25, 2),
        ("leadmagic", Operation::FindEmail) if by_profile => Decimal::from(5),
        _ => Decimal::ONE,
    }
}

/// What so many credits cost under each configuration, by its version.
pub(super) fn prices_of(lives: &[Arc<Live>], step: &Step, credits: Decimal) -> Vec<(ConfigVersion, Usd)> {
    let price = |live: &Arc<Live>| {
        let credit = live.providers.get(&step.provider).and_then(|provider| provider.credit_price).unwrap();
        (live.version.clone(), Usd::round_up(credit * credits).unwrap())
    };
    lives.iter().map(price).collect()
}
