//! The half that is swapped whole: providers, prices, waterfalls, limits.

use crate::config::provider::ProviderSettings;
use crate::config::reader::Reader;
use crate::config::waterfall::Waterfall;
use crate::domain::ConfigVersion;
use crate::domain::Operation;
use crate::domain::ProviderName;
use crate::domain::Usd;
use crate::domain::WaterfallName;
use rust_decimal::Decimal;
use std::collections::BTreeMap;
use std::time::Duration;

/// The waterfall of a job that names none.
const DEFAULT_WATERFALL: &str = "work_email";

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// One snapshot of the live half. A lead finishes on the snapshot it started with.
#[derive(Debug, Clone)]
pub struct Live {
    /// Equal for equal meaning, on every worker.
    pub version: ConfigVersion,
    /// By the table's name.
    pub providers: BTreeMap<ProviderName, ProviderSettings>,
    /// By the provider's own name for the model.
    pub models: BTreeMap<String, ModelPrices>,
    /// By the table's name.
    pub waterfalls: BTreeMap<WaterfallName, Waterfall>,
    /// How old an earlier answer may be to be used again.
    pub cache_max_age: Duration,
    /// A balance below this is announced, unless the workspace has its own threshold.
    pub low_balance: Usd,
    /// Leads a worker decides and calls for at the same time.
    pub leads_in_flight: u32,
}

/// A model's provider, and its prices in USD per million tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelPrices {
    /// Who serves it; its kind is priced by tokens.
    pub provider: ProviderName,
    /// Input that is neither read from nor written to the provider's cache.
    pub input_per_million: Decimal,
    /// Input read from its cache; as any input unless the configuration says otherwise.
    pub cached_input_per_million: Decimal,
    /// Input written to its cache; likewise.
    pub cache_write_per_million: Decimal,
    /// Output, reasoning included.
    pub output_per_million: Decimal,
}

impl Live {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        let leads_in_flight = reader.table(&["worker"]).within("leads_in_flight", 512, 1..=100_000);
        let cache_max_age = reader.table(&["cache"]).within("max_age", 30 * DAY, Duration::ZERO..=3_650 * DAY);
        let low_balance = reader.table(&["wallet"]).or("low_balance", Usd::from_nanos(10_000_000_000));

        let mut providers = BTreeMap::new();
        for name in reader.names("providers") {
            providers.insert(ProviderName::new(name.as_str()), ProviderSettings::read(&name, reader));
        }
        let mut models = BTreeMap::new();
        for name in reader.names("models") {
            let prices = ModelPrices::read(&name, reader, &providers);
            models.insert(name, prices);
        }
        let mut waterfalls = BTreeMap::new();
        for name in reader.names("waterfalls") {
            waterfalls.insert(WaterfallName::new(name.as_str()), Waterfall::read(&name, reader, &providers));
        }
        let version = reader.version();
        Self { version, providers, models, waterfalls, cache_max_age, low_balance, leads_in_flight }
    }

    /// Who can read web pages, by name: those that are enabled.
    pub fn scrapers(&self) -> impl Iterator<Item = &ProviderSettings> {
        self.providers.values().filter(|provider| provider.enabled && provider.can(Operation::Scrape))
    }

    /// A model's prices, and who serves it, enabled or not.
    pub fn model(&self, name: &str) -> Option<(&ModelPrices, &ProviderSettings)> {
        let prices = self.models.get(name)?;
        Some((prices, self.providers.get(&prices.provider)?))
    }

    /// The waterfall of this name; without a name `work_email`, else the only one there is.
    ///
    /// # Errors
    /// A sentence for whoever asked, naming the waterfalls there are.
    pub fn default_waterfall(&self, named: Option<&str>) -> Result<&Waterfall, String> {
        let names: Vec<&str> = self.waterfalls.keys().map(WaterfallName::as_str).collect();
        let names = names.join(", ");
        if let Some(name) = named {
            let found = self.waterfalls.get(&WaterfallName::new(name));
            return found.ok_or_else(|| format!("there is no waterfall `{name}`; there are: {names}"));
        }
        let mut all = self.waterfalls.values();
        match (self.waterfalls.get(&WaterfallName::new(DEFAULT_WATERFALL)), all.next(), all.next()) {
            (Some(waterfall), _, _) | (None, Some(waterfall), None) => Ok(waterfall),
            (None, Some(_), Some(_)) => Err(format!("name the waterfall; there are: {names}")),
            (None, None, _) => Err("the configuration has no waterfall".to_owned()),
        }
    }
}

impl ModelPrices {
    fn read(name: &str, reader: &mut Reader<'_>, providers: &BTreeMap<ProviderName, ProviderSettings>) -> Self {
        let mut table = reader.table(&["models", name]);
        let provider = table.required::<String>("provider").map(ProviderName::new);
        let settings = provider.as_ref().and_then(|provider| providers.get(provider));
        if provider.is_some() && !settings.is_some_and(ProviderSettings::bills_tokens) {
            table.mistake("provider", "must name a provider of kind openai or anthropic");
        }
        let input = table.required("input_per_million");
        let any_input = input.unwrap_or(Decimal::ZERO);
        let cached_input = table.or("cached_input_per_million", any_input);
        let cache_write = table.or("cache_write_per_million", any_input);
        let output = table.required("output_per_million");
        let trusts_cost = settings.is_some_and(|settings| settings.dialect.trusts_reported_cost);
        let prices = [input, Some(cached_input), Some(cache_write), output];
        if trusts_cost && prices.into_iter().all(|price| price.is_some_and(|price: Decimal| price.is_zero())) {
            let message = "must not be zero where output_per_million is and the provider's reported cost is trusted: \
                           these prices are what is held";
            table.mistake("input_per_million", message);
        }
        Self {
            provider: provider.unwrap_or_else(|| ProviderName::new("")),
            input_per_million: any_input,
            cached_input_per_million: cached_input,
            cache_write_per_million: cache_write,
            output_per_million: output.unwrap_or(Decimal::ZERO),
        }
    }
}
