//! From the configuration to what a lead's steps need: adapter, key, gate, price.

use crate::config::Live;
use crate::config::ProviderSettings;
use crate::config::Waterfall;
use crate::domain::ConfigVersion;
use crate::domain::KeySource;
use crate::domain::Lead;
use crate::domain::Operation;
use crate::domain::ProviderName;
use crate::domain::Step;
use crate::domain::Usd;
use crate::http::Gate;
use crate::http::Gates;
use crate::http::KeyId;
use crate::http::Limits;
use crate::http::Target;
use crate::jobs::StoredJob;
use crate::pricing::CreditPrice;
use crate::providers::Provider;
use crate::providers::by_kind;
use crate::waterfall::FindStep;
use crate::waterfall::Plan;
use crate::waterfall::Risky;
use std::sync::Arc;
use std::time::Duration;

/// One step as it can be made now: with this key, through this gate, at this price.
pub struct Route {
    /// Which step.
    pub step: Step,
    /// Who translates.
    pub adapter: &'static dyn Provider,
    /// Where the calls go, with which key.
    pub target: Target,
    /// Tells the key apart.
    pub key: KeyId,
    /// Whose it is.
    pub key_source: KeySource,
    /// What a credit costs.
    pub price: CreditPrice,
    /// Rate, breaker and pauses of (provider, key).
    pub gate: Arc<Gate>,
    /// Tries of one call, the first included.
    pub max_tries: u32,
    /// How long a late answer is waited for.
    pub poll_deadline: Duration,
    /// Least time between two reads of late answers.
    pub read_interval: Duration,
}

/// A waterfall's routes, and the providers it names that cannot be used.
#[derive(Default)]
pub struct Routes {
    /// Finders, in order.
    pub find: Vec<Arc<Route>>,
    /// Verifiers, in order.
    pub verify: Vec<Arc<Route>>,
    /// Left out, and why; each provider once.
    pub left_out: Vec<(ProviderName, String)>,
}

/// A job as a worker works it.
pub struct JobWork {
    /// The job.
    pub job: StoredJob,
    /// Its steps.
    pub routes: Routes,
    /// The policy for risky addresses.
    pub risky: Risky,
    /// Does a finder's own `valid` count?
    pub trust_finders: bool,
    /// The cap of one lead.
    pub lead_cap: Option<Usd>,
    /// How old a reused answer may be.
    pub cache_max_age: Duration,
    /// The configuration in force.
    pub config_version: ConfigVersion,
}

/// A read of late answers at most every two seconds, however many are allowed a minute.
const LEAST_READ_INTERVAL: Duration = Duration::from_secs(2);
const DEFAULT_POLL_DEADLINE: Duration = Duration::from_secs(120);

impl Routes {
    /// Resolves a waterfall with the house's keys.
    pub fn with_house_keys(live: &Live, waterfall: &Waterfall, gates: &Gates) -> Self {
        let mut left_out: Vec<(ProviderName, String)> = Vec::new();
        let mut resolve = |names: &[ProviderName], operation| {
            let mut routes = Vec::new();
            for name in names {
                match route(live.providers.get(name), name, operation, gates) {
                    Ok(route) => routes.push(Arc::new(route)),
                    Err(why) if left_out.iter().all(|(known, _)| known != name) => left_out.push((name.clone(), why)),
                    Err(_) => {}
                }
            }
            routes
        };
        let find = resolve(&waterfall.find, Operation::FindEmail);
        let verify = resolve(&waterfall.verify, Operation::VerifyEmail);
        Self { find, verify, left_out }
    }
}

fn route(
    settings: Option<&ProviderSettings>,
    name: &ProviderName,
    operation: Operation,
    gates: &Gates,
) -> Result<Route, String> {
    let settings = settings.ok_or("it is not in the configuration")?;
    if !settings.enabled {
        return Err("it is disabled (enabled = false)".to_owned());
    }
    let Some(key) = settings.house_key.clone() else {
        return Err(match settings.house_key_source.as_deref().map(|source| source.strip_prefix("env:")) {
            Some(Some(variable)) => format!("no key: set {variable}"),
            Some(None) | None => format!("no key: set house_key under [providers.{name}]"),
        });
    };
    let adapter = by_kind(&settings.kind).ok_or("it cannot find or verify addresses")?;
    let price = settings.credit_price.and_then(CreditPrice::new).ok_or("it has no credit_price")?;
    let key_id = KeyId::of(&key);
    let limits = Limits {
        requests_per_second: settings.requests_per_second,
        max_in_flight: Some(settings.max_in_flight),
        breaker_failures: settings.breaker_failures,
        breaker_open: settings.breaker_open,
    };
    let per_minute = settings.reads_per_minute.map_or(Duration::ZERO, |reads| Duration::from_secs(60) / reads.max(1));
    Ok(Route {
        step: Step::new(name.clone(), operation),
        adapter,
        target: Target { base_url: settings.base_url.as_str().into(), key, timeout: settings.timeout },
        key: key_id,
        key_source: KeySource::House,
        price,
        gate: gates.gate(name, key_id, &limits),
        max_tries: settings.max_tries,
        poll_deadline: settings.poll_deadline.unwrap_or(DEFAULT_POLL_DEADLINE),
        read_interval: per_minute.max(LEAST_READ_INTERVAL),
    })
}

impl JobWork {
    /// The plan for one lead: each finder with the question it asks about it.
    pub fn plan(&self, lead: &Lead) -> Plan {
        let find = self.routes.find.iter();
        Plan {
            find: find.map(|r| FindStep { step: r.step.clone(), query: r.adapter.find_query(lead) }).collect(),
            verify: self.routes.verify.iter().map(|route| route.step.clone()).collect(),
            risky: self.risky,
            trust_finders: self.trust_finders,
        }
    }

    /// The route of a step, unless the provider has left the plan.
    pub fn route(&self, step: &Step) -> Option<&Arc<Route>> {
        self.routes.find.iter().chain(&self.routes.verify).find(|route| route.step == *step)
    }
}
