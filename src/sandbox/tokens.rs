//! Tokens as JSON, in the counts and in the record.

use crate::domain::Tokens;
use serde::Serialize;

/// [`Tokens`] as they are shown: no token counts twice, but for reasoning, which is part of the output.
#[derive(Serialize)]
#[serde(remote = "Tokens")]
pub(super) struct TokensJson {
    input: u64,
    cached_input: u64,
    cache_write: u64,
    output: u64,
    reasoning: u64,
}

impl TokensJson {
    /// Not shown where there are none.
    pub(super) fn is_nothing(tokens: &Tokens) -> bool {
        *tokens == Tokens::default()
    }
}
