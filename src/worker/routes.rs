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

    /// Resolves a model, and who reads the pages that are asked for.
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
            routes.scrape = routes.scraper(sources);
        }
        routes
    }

    /// Who reads pages: by name the first provider that can and for which there is a key. Those come first that the
    /// workspace has its own key for; where there are such, and none of them can be used, nobody reads: no house key
    /// takes the place of an own one.
    fn scraper(&mut self, sources: &Sources<'_>) -> Option<StepRoutes> {
        let is_own = |scraper: &&ProviderSettings| match sources.choose(scraper, Operation::Scrape) {
            Choice::Own | Choice::OwnThenHouse => true,
            Choice::House | Choice::Nothing => false,
        };
        let (own, others): (Vec<_>, Vec<_>) = sources.live.scrapers().partition(is_own);
        for scraper in if own.is_empty() { others } else { own } {
            match step_routes(sources, &scraper.name, Operation::Scrape, None) {
                Ok(scrape) => return Some(scrape),
                Err(why) => self.left_out.push((scraper.name.clone(), why)),
            }
        }
        None
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

impl Sources<'_> {
    /// Whose key is taken for this operation at this provider.
    fn choose(&self, settings: &ProviderSettings, operation: Operation) -> Choice {
        let has_own = self.keys.own(&settings.name).is_some();
        choose(&self.keys.settings, operation, has_own, settings.house_key.is_some())
    }
}

impl Route {
    /// What is held for this question: its worst case. Where nothing is charged nothing is counted: a long text takes
    /// its time.
    ///
    /// # Errors
    /// When that is more than can be counted.
    pub fn worst_price(&self, query: &Query) -> Result<Usd, PriceError> {
        match self.price {
            Price::Free => Ok(Usd::ZERO),
            Price::Credit(_) | Price::Token(_) => self.price.of_worst(self.adapter.worst_case(query)),
        }
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
    let (keys, own, house) = match sources.choose(settings, operation) {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::prepare_inline;
    use crate::domain::Consumed;
    use crate::domain::Purpose;
    use crate::domain::WorkspaceId;
    use crate::keys::MasterKey;
    use crate::keys::StoredKey;
    use crate::keys::WorkspacePlan;
    use crate::keys::WorkspaceSettings;
    use crate::providers::Reading;
    use crate::providers::Reply;
    use crate::providers::Request;
    use crate::store::Nature;
    use crate::store::SqliteStore;
    use crate::store::Store;
    use crate::worker::keyring::Keyring;
    use std::path::Path;

    /// Three who read pages, and who writes.
    const LIVE: &str = r#"
        [providers.alpha]
        kind = "firecrawl"
        house_key = "env:KEY"
        credit_price = "0.005"
        [providers.beta]
        kind = "firecrawl"
        house_key = "env:KEY"
        credit_price = "0.005"
        [providers.gamma]
        kind = "firecrawl"
        house_key = "env:KEY"
        credit_price = "0.005"
        [providers.openai]
        house_key = "env:KEY"
        [models.writer]
        provider = "openai"
        input_per_million = "1"
        output_per_million = "1"
    "#;

    /// Thirty-two bytes alike, and others.
    const MASTER_KEYS: [&str; 2] =
        ["AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=", "AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI="];

    fn brief() -> Brief {
        Brief {
            purpose: Purpose::Live,
            model: "writer".to_owned(),
            max_output_tokens: 400,
            instructions: "Write.".to_owned(),
            pages: vec!["https://{domain}".to_owned()],
        }
    }

    fn live() -> Arc<Live> {
        let key = |name: &str| (name == "KEY").then(|| "house".to_owned());
        prepare_inline(LIVE, Path::new(""), &key, &[]).unwrap().live
    }

    /// What copy resolves to for a workspace of this plan with keys of its own at these providers; those behind a
    /// `!` cannot be opened.
    async fn routes_of(plan: WorkspacePlan, own: &[&str]) -> Routes {
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(&folder.path().join("weir.db"), Nature::Paid).unwrap();
        let store: Arc<dyn Store> = Arc::new(store);
        let workspace = WorkspaceId::new("acme");
        let settings = WorkspaceSettings { plan, ..WorkspaceSettings::new() };
        store.set_workspace(&workspace, settings).await.unwrap();
        let [master, another] = MASTER_KEYS.map(|key| MasterKey::parse(&SecretString::from(key)).unwrap());
        for name in own {
            let provider = ProviderName::new(name.trim_start_matches('!'));
            let secret = SecretString::from("own");
            let sealer = if name.starts_with('!') { &another } else { &master };
            let sealed = sealer.seal(&workspace, &provider, "key-1", &secret).unwrap();
            let (key_id, last4) = ("key-1".to_owned(), StoredKey::last4_of(&secret));
            let key = StoredKey { workspace: workspace.clone(), provider, key_id, sealed, last4, stored_ms: 0 };
            store.put_key(key).await.unwrap();
        }
        let keys = Keyring::new(Some(master)).of(&*store, &workspace).await.unwrap();
        let (live, gates) = (live(), Gates::default());
        Routes::for_copy(&Sources { live: &live, newest: &live, keys: &keys, gates: &gates }, &brief())
    }

    #[tokio::test]
    async fn pages_are_read_with_an_own_key_where_there_is_one_and_no_house_key_takes_its_place() {
        for (plan, own, reader, left_out) in [
            (WorkspacePlan::Unlimited, vec![], "alpha house", vec![]),
            (WorkspacePlan::Unlimited, vec!["beta"], "beta own", vec![]),
            (WorkspacePlan::Unlimited, vec!["gamma", "beta"], "beta own", vec![]),
            (WorkspacePlan::Unlimited, vec!["!alpha"], "nobody", vec!["alpha"]),
            (WorkspacePlan::Unlimited, vec!["!beta"], "nobody", vec!["beta"]),
            (WorkspacePlan::Unlimited, vec!["!alpha", "gamma"], "gamma own", vec!["alpha"]),
            (WorkspacePlan::Unlimited, vec!["openai"], "alpha house", vec![]),
            // Its plan takes the house's keys.
            (WorkspacePlan::Metered, vec!["beta"], "alpha house", vec![]),
            (WorkspacePlan::Metered, vec!["!alpha"], "alpha house", vec![]),
        ] {
            let routes = routes_of(plan, &own).await;
            let told = routes.scrape.as_ref().map_or_else(
                || "nobody".to_owned(),
                |scrape| format!("{} {}", scrape.step.provider, scrape.first().unwrap().key_source.as_str()),
            );
            let names: Vec<&str> = routes.left_out.iter().map(|(name, _)| name.as_str()).collect();
            assert_eq!((told.as_str(), names), (reader, left_out), "{plan} {own:?}");
        }
    }

    /// Whoever counts for it has failed.
    struct Uncounted;

    impl Provider for Uncounted {
        fn kind(&self) -> &'static str {
            "openai"
        }

        fn operations(&self) -> &'static [Operation] {
            &[]
        }

        fn worst_case(&self, _query: &Query) -> Consumed {
            panic!("counted for nothing")
        }

        fn request(&self, query: &Query, reference: &str) -> Request {
            by_kind("openai").unwrap().request(query, reference)
        }

        fn read(&self, query: &Query, turn: u8, reply: &Reply<'_>) -> Reading {
            by_kind("openai").unwrap().read(query, turn, reply)
        }
    }

    #[tokio::test]
    async fn nothing_is_counted_where_nothing_is_charged() {
        let mut routes = routes_of(WorkspacePlan::Metered, &["openai"]).await;
        let own = Arc::into_inner(routes.write.take().unwrap().routes.remove(0)).unwrap();
        assert_eq!((own.key_source, own.price), (KeySource::Own, Price::Free));
        let own = Route { adapter: &Uncounted, ..own };
        let query = Query::ByProfile("https://www.linkedin.com/in/ada".to_owned());
        assert_eq!(own.worst_price(&query), Ok(Usd::ZERO));
    }
}
