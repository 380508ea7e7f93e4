//! `[providers.*]`: where a provider is, what its credit costs, how it is spoken to, how hard it may be pressed.

use crate::config::dialect;
use crate::config::kinds::Billing;
use crate::config::kinds::Kind;
use crate::config::kinds::USUAL;
use crate::config::mistakes::did_you_mean;
use crate::config::reader::Reader;
use crate::config::values::BaseUrl;
use crate::domain::Dialect;
use crate::domain::Operation;
use crate::domain::ProviderName;
use crate::providers::by_kind;
use rust_decimal::Decimal;
use secrecy::SecretString;
use std::time::Duration;

/// One provider's table. Limits are per key, over all workers together.
#[derive(Debug, Clone)]
pub struct ProviderSettings {
    /// The table's name.
    pub name: ProviderName,
    /// Which adapter; two tables may share one.
    pub kind: String,
    /// No `/` at the end; adapters append their path.
    pub base_url: String,
    /// The house's key; `None` when there is none or its variable is not set.
    pub house_key: Option<SecretString>,
    /// Where the house's key lies, `env:LEADMAGIC_API_KEY`; also while it is not set.
    pub house_key_source: Option<String>,
    /// USD per provider credit; always there with a `house_key`, unless it is priced by its models.
    pub credit_price: Option<Decimal>,
    /// How it is spoken to, where its kind leaves a choice.
    pub dialect: Dialect,
    /// Calls begun per second; `None`: no limit.
    pub requests_per_second: Option<u32>,
    /// Reads of late answers per minute.
    pub reads_per_minute: Option<u32>,
    /// How long a late answer is waited for.
    pub poll_deadline: Option<Duration>,
    /// Calls at the same time.
    pub max_in_flight: u32,
    /// Per HTTP call.
    pub timeout: Duration,
    /// Tries of one call, the first included.
    pub max_tries: u32,
    /// Consecutive faults of the provider that open its breaker.
    pub breaker_failures: u32,
    /// How long the breaker stays open before a probe.
    pub breaker_open: Duration,
    /// A disabled provider is left out of every plan.
    pub enabled: bool,
}

impl ProviderSettings {
    pub(super) fn read(name: &str, reader: &mut Reader<'_>) -> Self {
        let mut table = reader.table(&["providers", name]);
        table.check_name();
        let kind: String = table.or("kind", name.to_owned());
        let known = Kind::named(&kind);
        if known.is_none() {
            let kinds = Kind::names().collect::<Vec<_>>().join(", ");
            let near = did_you_mean(&kind, Kind::names());
            table.mistake("kind", format!("must be one of {kinds}; it defaults to the table's name{near}"));
        }
        let usual = known.unwrap_or(&USUAL);

        let house_key = table.secret("house_key", None);
        let credit_price = match usual.billing {
            Billing::Credits => table.maybe("credit_price", None),
            Billing::Tokens => None,
        };
        if usual.billing == Billing::Credits && table.has("house_key") && !table.has("credit_price") {
            let message = "is missing; without a price no call is made with the house_key (a free one costs \"0\")";
            table.mistake("credit_price", message);
        }

        let millis = Duration::from_millis;
        let settings = Self {
            name: ProviderName::new(name),
            base_url: table.or("base_url", BaseUrl(usual.base_url.to_owned())).0,
            house_key_source: house_key.as_ref().map(|secret| secret.reference.to_string()),
            house_key: house_key.and_then(|secret| secret.value),
            credit_price,
            dialect: dialect::read(&mut table, usual),
            requests_per_second: table.maybe_within("requests_per_second", None, 1..=1_000_000),
            reads_per_minute: table.maybe_within("reads_per_minute", usual.reads_per_minute, 1..=1_000_000),
            poll_deadline: table.maybe_within("poll_deadline", usual.poll_deadline, millis(100)..=millis(3_600_000)),
            max_in_flight: table.within("max_in_flight", usual.max_in_flight, 1..=10_000),
            timeout: table.within("timeout", usual.timeout, millis(10)..=millis(600_000)),
            max_tries: table.within("max_tries", 3, 1..=10),
            breaker_failures: table.within("breaker_failures", 10, 1..=10_000),
            breaker_open: table.within("breaker_open", millis(30_000), millis(10)..=millis(3_600_000)),
            enabled: table.or("enabled", true),
            kind,
        };
        if let (Some(source), None, true) = (&settings.house_key_source, &settings.house_key, settings.enabled) {
            reader.warnings.push(format!("providers.{name}: {source} is not set, so this provider is left out"));
        }
        settings
    }

    /// Takes this operation, as far as its kind is known; an unknown kind is a mistake of its own.
    pub(super) fn can(&self, operation: Operation) -> bool {
        match by_kind(&self.kind) {
            Some(adapter) => adapter.operations().contains(&operation),
            None => Kind::named(&self.kind).is_none(),
        }
    }

    /// Is priced by its models.
    pub(super) fn bills_tokens(&self) -> bool {
        Kind::named(&self.kind).is_some_and(|kind| kind.billing == Billing::Tokens)
    }
}
