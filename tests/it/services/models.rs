//! The models that a test's configuration has, and what their tokens cost: counted here anew, by the sandbox's record.

use crate::services::folder::key_variable;
use rust_decimal::Decimal;
use rust_decimal::RoundingStrategy;
use serde::Deserialize;

/// Served by OpenAI.
pub(crate) const GPT: &str = "gpt-5.4-mini";
/// Served by Anthropic.
pub(crate) const CLAUDE: &str = "claude-haiku-4-5";

/// Who serves models; their tables have the usual keys and no price.
pub(super) const SERVERS: [&str; 2] = ["openai", "anthropic"];

/// Each model, who serves it, and the USD of a million tokens: of input, of input from the cache, of input into it, of
/// output. A single token of any of them is no whole nano-dollar.
const MODELS: [(&str, &str, [&str; 4]); 2] = [
    (GPT, "openai", ["0.7505", "0.0755", "0.9385", "4.5015"]),
    (CLAUDE, "anthropic", ["1.0005", "0.1005", "1.2505", "5.0005"]),
];

/// Tokens, as the sandbox records them: none counts twice, but reasoning, which is part of the output.
#[derive(Deserialize, Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(crate) struct Tokens {
    pub(crate) input: u64,
    pub(crate) cached_input: u64,
    pub(crate) cache_write: u64,
    pub(crate) output: u64,
    pub(crate) reasoning: u64,
}

/// The tables of the servers, with `every_provider` more keys, and of the models.
pub(crate) fn model_tables(every_provider: &str) -> String {
    let server = |name: &str| {
        format!(
            "[providers.{name}]\nbase_url = \"http://127.0.0.1:9\"\nhouse_key = \"env:{}\"\n\
             requests_per_second = 1000000\nreads_per_minute = 1000000\nmax_in_flight = 1000\n{every_provider}\n",
            key_variable(name)
        )
    };
    let model = |(name, provider, [input, cached, written, output]): (&str, &str, [&str; 4])| {
        format!(
            "[models.\"{name}\"]\nprovider = \"{provider}\"\ninput_per_million = \"{input}\"\n\
             cached_input_per_million = \"{cached}\"\ncache_write_per_million = \"{written}\"\n\
             output_per_million = \"{output}\"\n"
        )
    };
    SERVERS.into_iter().map(server).chain(MODELS.into_iter().map(model)).collect()
}

/// What one call to a model costs, rounded up to the next nano-dollar.
pub(crate) fn price_of(model: &str, tokens: Tokens) -> Decimal {
    let (.., prices) = MODELS.into_iter().find(|(name, ..)| *name == model).unwrap();
    let counts = [tokens.input, tokens.cached_input, tokens.cache_write, tokens.output];
    let priced = counts.into_iter().zip(prices).map(|(count, price)| Decimal::from(count) * usd(price));
    let millionths: Decimal = priced.sum();
    (millionths / Decimal::from(1_000_000_u32)).round_dp_with_strategy(9, RoundingStrategy::AwayFromZero)
}

/// The least that is held for a call that may write so many tokens: nobody knows here how its input is bounded.
pub(crate) fn output_price(model: &str, most: u64) -> Decimal {
    price_of(model, Tokens { output: most, ..Tokens::default() })
}

fn usd(text: &str) -> Decimal {
    text.parse().unwrap()
}
