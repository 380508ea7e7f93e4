//! From the configuration and a workspace's keys to what a lead's steps need: adapter, key, gate, price.

use crate::config::Live;
use crate::config::ProviderSettings;
use crate::config::Waterfall;
use crate::domain::Brief;
use crate::domain::KeySource;
use crate::domain::Operation;
use crate::domain::ProviderName;
use crate::domain::Query;
use crate::domain::Step;
use crate::domain::Usd;
use crate::http::Gate;
use crate::http::Gates;
use crate::http::KeyId;
use crate::http::Limits;
use crate::http::Target;
use crate::keys::Choice;
use crate::keys::choose;
use crate::pricing::CreditPrice;
use crate::pricing::Price;
use crate::pricing::PriceError;
use crate::pricing::TokenPrice;
use crate::providers::Provider;
use crate::providers::by_kind;
use crate::waterfall::Keys;
use crate::worker::keyring::OwnKey;
use crate::worker::keyring::WorkspaceKeys;
use secrecy::SecretString;
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
    /// What is paid for what a call consumes; on the customer's own key nothing is, here.
    pub price: Price,
    /// Rate, breaker and pauses of (provider, key).
    pub gate: Arc<Gate>,
    /// Tries of one call, the first included.
    pub max_tries: u32,
    /// How long a late answer is waited for.
    pub poll_deadline: Duration,
    /// Least time between two reads of late answers, over all workers together.
    pub read_interval: Duration,
    /// The own key behind it, which may be taken away at any time.
    own: Option<Arc<OwnKey>>,
}

/// A step of a waterfall, with the keys it may be tried with.
pub struct StepRoutes {
    /// Which step.
    pub step: Step,
    /// In which order.
    pub keys: Keys,
    /// The one or two routes.
    pub routes: Vec<Arc<Route>>,
}

/// The routes of a job's steps, and the providers it names that cannot be used.
#[derive(Default)]
pub struct Routes {
    /// Finders, in order.
    pub find: Vec<StepRoutes>,
    /// Verifiers, in order.
    pub verify: Vec<StepRoutes>,
    /// Who reads pages.
    pub scrape: Option<StepRoutes>,
    /// Who writes.
    pub write: Option<StepRoutes>,
    /// Left out, and why; each provider once.
    pub left_out: Vec<(ProviderName, String)>,
}

/// What a route is made from.
pub struct Sources<'a> {
    /// The snapshot that the lead started with.
    pub live: &'a Live,
    /// The snapshot now in force: its limits hold for everybody.
    pub newest: &'a Live,
    /// What the workspace has settled, and its own keys.
    pub keys: &'a WorkspaceKeys,
    /// Where calls are admitted.
    pub gates: &'a Gates,
}

/// A read of late answers at most every two seconds, however many are allowed a minute.
const LEAST_READ_INTERVAL: Duration = Duration::from_secs(2);
const DEFAULT_POLL_DEADLINE: Duration = Duration::from_secs(120);

impl Routes {
    /// Resolves a waterfall with the keys that the workspace's plan chooses.
    pub fn resolve(sources: &Sources<'_>, waterfall: &Waterfall) -> Self {
        let mut left_out: Vec<(ProviderName, String)> = Vec::new();
        let mut resolve = |names: &[ProviderName], operation| {
            let mut steps = Vec::new();
            for name in names {
                match step_routes(sources, name, operation, None) {
                    Ok(routes) => steps.push(routes),
                    Err(why) if left_out.iter().all(|(known, _)| known != name) => left_out.push((name.clone(), why)),
                    Err(_) => {}
                }
            }
            steps
        };
        let find = resolve(&waterfall.find, Operation::FindEmail);
        let verify = resolve(&waterfall.verify, Operation::VerifyEmail);
        Self { find, verify, left_out, ..Self::default() }
    }

    /// Resolves a model, and who reads the pages that are asked for: the first provider, by name, that can and
    /// for which there is a key.
    pub fn for_copy(sources: &Sources<'_>, brief: &Brief) -> Self {
        let mut routes = Self::default();
        if let Some(model) = sources.live.models.get(&brief.model) {
            let prices = TokenPrice {
                input: model.input_per_million,
                cached_input: model.cached_input_per_million,
                cache_write: model.cache_write_per_million,
                output: model.output_per_million,
            };
            match step_routes(sources, &model.provider, Operation::WriteCopy, Some(prices)) {
                Ok(write) => routes.write = Some(write),
                Err(why) => routes.left_out.push((model.provider.clone(), why)),
            }
        }
        if !brief.pages.is_empty() {
            for scraper in sources.live.scrapers() {
                match step_routes(sources, &scraper.name, Operation::Scrape, None) {
                    Ok(scrape) => {
                        routes.scrape = Some(scrape);
                        break;
                    }
                    Err(why) => routes.left_out.push((scraper.name.clone(), why)),
                }
            }
        }
        routes
    }

    /// Every step's routes.
    pub fn all(&self) -> impl Iterator<Item = &StepRoutes> {
        self.find.iter().chain(&self.verify).chain(&self.scrape).chain(&self.write)
    }
}

impl Routes {
    /// The waterfall by the house's keys alone, as it is before any workspace is known.
    pub fn with_house_keys(live: &Live, waterfall: &Waterfall, gates: &Gates) -> Self {
        let keys = WorkspaceKeys::house();
        Self::resolve(&Sources { live, newest: live, keys: &keys, gates }, waterfall)
    }

    /// A copy job's by the house's keys alone.
    pub fn for_copy_with_house_keys(live: &Live, brief: &Brief, gates: &Gates) -> Self {
        let keys = WorkspaceKeys::house();
        Self::for_copy(&Sources { live, newest: live, keys: &keys, gates }, brief)
    }

    /// Each finder's first route, in order.
    pub fn finders(&self) -> impl Iterator<Item = &Arc<Route>> + Clone {
        self.find.iter().filter_map(StepRoutes::first)
    }

    /// Each verifier's first route, in order.
    pub fn verifiers(&self) -> impl Iterator<Item = &Arc<Route>> + Clone {
        self.verify.iter().filter_map(StepRoutes::first)
    }
}

impl Route {
    /// What is held for this question: its worst case.
    ///
    /// # Errors
    /// When that is more than can be counted.
    pub fn worst_price(&self, query: &Query) -> Result<Usd, PriceError> {
        self.price.of_worst(self.adapter.worst_case(query))
    }

    /// Has the own key behind it been removed or replaced?
    pub fn is_revoked(&self) -> bool {
        self.own.as_ref().is_some_and(|own| own.is_revoked())
    }

    /// Is not known just now what has become of the own key behind it? Then nothing is sent with it.
    pub fn is_unheard_of(&self) -> bool {
        self.own.as_ref().is_some_and(|own| own.is_unheard_of())
    }
}

impl StepRoutes {
    /// The route of this step by this key.
    pub fn by(&self, key_source: KeySource) -> Option<&Arc<Route>> {
        self.routes.iter().find(|route| route.key_source == key_source)
    }

    /// The route that is tried first.
    pub fn first(&self) -> Option<&Arc<Route>> {
        self.routes.first()
    }
}

fn step_routes(
    sources: &Sources<'_>,
    name: &ProviderName,
    operation: Operation,
    tokens: Option<TokenPrice>,
) -> Result<StepRoutes, String> {
    let settings = sources.live.providers.get(name).ok_or("it is not in the configuration")?;
    if !settings.enabled {
        return Err("it is disabled (enabled = false)".to_owned());
    }
    let own = sources.keys.own(name);
    let house = settings.house_key.as_ref();
    let (keys, own, house) = match choose(&sources.keys.settings, operation, own.is_some(), house.is_some()) {
        Choice::Own => (Keys::Only(KeySource::Own), own, None),
        Choice::House => (Keys::Only(KeySource::House), None, house),
        Choice::OwnThenHouse => (Keys::OwnThenHouse, own, house),
        Choice::Nothing => return Err(missing_key(settings, name)),
    };
    let step = Step::new(name.clone(), operation);
    let mut routes = Vec::new();
    if let Some(own) = own {
        let own = own.ok_or("the customer's own key cannot be opened")?;
        let key = own.secret().clone();
        routes.push(Arc::new(route(sources, settings, &step, Price::Free, key, Some(Arc::clone(own)))?));
    }
    if let Some(house) = house {
        let credits = || settings.credit_price.and_then(CreditPrice::new).map(Price::Credit);
        let price = tokens.map(Price::Token).or_else(credits).ok_or("it has no credit_price")?;
        routes.push(Arc::new(route(sources, settings, &step, price, house.clone(), None)?));
    }
    Ok(StepRoutes { step, keys, routes })
}

fn missing_key(settings: &ProviderSettings, name: &ProviderName) -> String {
    match settings.house_key_source.as_deref().map(|source| source.strip_prefix("env:")) {
        Some(Some(variable)) => format!("no key: set {variable}"),
        Some(None) | None => format!("no key: set house_key under [providers.{name}]"),
    }
}

fn route(
    sources: &Sources<'_>,
    settings: &ProviderSettings,
    step: &Step,
    price: Price,
    key: SecretString,
    own: Option<Arc<OwnKey>>,
) -> Result<Route, String> {
    let adapter = by_kind(&settings.kind).ok_or("no adapter is known for its kind")?;
    let key_source = if own.is_some() { KeySource::Own } else { KeySource::House };
    let key_id = KeyId::of(&key);
    let newest = sources.newest.providers.get(&step.provider).unwrap_or(settings);
    let limits = Limits {
        requests_per_second: newest.requests_per_second,
        max_in_flight: Some(newest.max_in_flight),
        breaker_failures: newest.breaker_failures,
        breaker_open: newest.breaker_open,
    };
    let per_minute = settings.reads_per_minute.map_or(Duration::ZERO, |reads| Duration::from_secs(60) / reads.max(1));
    Ok(Route {
        step: step.clone(),
        adapter,
        target: Target { base_url: settings.base_url.as_str().into(), key, timeout: settings.timeout },
        key: key_id,
        key_source,
        price,
        gate: sources.gates.gate(&step.provider, key_id, &limits),
        max_tries: settings.max_tries,
        poll_deadline: settings.poll_deadline.unwrap_or(DEFAULT_POLL_DEADLINE),
        read_interval: per_minute.max(LEAST_READ_INTERVAL),
        own,
    })
}
