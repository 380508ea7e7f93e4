//! What an attempt brought, as its row keeps it: JSON, of the parts that there are.

use crate::domain::AnswerSource;
use crate::domain::AttemptEnd;
use crate::domain::Draft;
use crate::domain::Product;
use crate::domain::Tokens;
use crate::ledger::LedgerError;
use serde::Deserialize;
use serde::Serialize;
use std::sync::Arc;

/// A product as it is stored: with a text it is a page, else a model's answer.
#[derive(Default, Serialize, Deserialize)]
struct Parts {
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<Arc<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tokens: Option<Counts>,
}

#[derive(Serialize, Deserialize)]
struct Counts {
    input: u64,
    cached_input: u64,
    cache_write: u64,
    output: u64,
    reasoning: u64,
}

/// What goes into `product` of an attempt that ended so. What was taken from an earlier attempt stands there, and
/// is not kept twice.
pub(super) fn write_product(end: &AttemptEnd) -> Result<Option<String>, LedgerError> {
    let Some(product) = end.product.as_ref().filter(|_| end.source != AnswerSource::Cached) else { return Ok(None) };
    let parts = match product {
        Product::Text(text) => Parts { text: Some(Arc::clone(text)), ..Parts::default() },
        Product::Copy { draft, tokens } => Parts {
            text: None,
            subject: draft.as_ref().map(|draft| draft.subject.clone()),
            body: draft.as_ref().map(|draft| draft.body.clone()),
            tokens: tokens.map(Counts::from),
        },
    };
    serde_json::to_string(&parts).map(Some).map_err(|_| LedgerError::Corrupt("a product cannot be written".to_owned()))
}

/// Reads what [`write_product`] wrote.
pub(super) fn read_product(text: &str) -> Result<Product, LedgerError> {
    // What the parser says quotes the text.
    let unreadable = || LedgerError::Corrupt("what an attempt brought cannot be read".to_owned());
    let Parts { text, subject, body, tokens } = serde_json::from_str(text).map_err(|_| unreadable())?;
    let draft = match (subject, body) {
        (Some(subject), Some(body)) => Some(Arc::new(Draft { subject, body })),
        (None, None) => None,
        (Some(_), None) | (None, Some(_)) => return Err(unreadable()),
    };
    Ok(match text {
        Some(text) => Product::Text(text),
        None => Product::Copy { draft, tokens: tokens.map(Tokens::from) },
    })
}

impl From<Tokens> for Counts {
    fn from(tokens: Tokens) -> Self {
        let Tokens { input, cached_input, cache_write, output, reasoning } = tokens;
        Self { input, cached_input, cache_write, output, reasoning }
    }
}

impl From<Counts> for Tokens {
    fn from(counts: Counts) -> Self {
        let Counts { input, cached_input, cache_write, output, reasoning } = counts;
        Self { input, cached_input, cache_write, output, reasoning }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Outcome;

    fn end_with(source: AnswerSource, product: Option<Product>) -> AttemptEnd {
        AttemptEnd { source, product, ..AttemptEnd::not_asked(Outcome::Scraped) }
    }

    #[test]
    fn a_product_is_read_as_it_was_written() {
        let draft = Draft { subject: "Hi \"Ada\"".to_owned(), body: "A\nB\u{0}".to_owned() };
        let tokens = Tokens { input: 1, cached_input: 2, cache_write: 3, output: u64::MAX, reasoning: 5 };
        for (product, stored) in [
            (Product::Text("# Acme {\u{0}}".into()), "{\"text\":\"# Acme {\\u0000}\"}"),
            (Product::Text("".into()), "{\"text\":\"\"}"),
            (Product::Copy { draft: None, tokens: None }, "{}"),
            (
                Product::Copy { draft: Some(Arc::new(draft)), tokens: None },
                "{\"subject\":\"Hi \\\"Ada\\\"\",\"body\":\"A\\nB\\u0000\"}",
            ),
            (
                Product::Copy { draft: None, tokens: Some(tokens) },
                "{\"tokens\":{\"input\":1,\"cached_input\":2,\"cache_write\":3,\"output\":18446744073709551615,\
                 \"reasoning\":5}}",
            ),
        ] {
            for source in [AnswerSource::Called, AnswerSource::NotAsked] {
                let text = write_product(&end_with(source, Some(product.clone()))).unwrap();
                assert_eq!(text.as_deref(), Some(stored));
            }
            assert_eq!(read_product(stored).unwrap(), product);
        }
    }

    #[test]
    fn what_was_taken_from_an_earlier_attempt_is_not_kept_twice() {
        let taken = end_with(AnswerSource::Cached, Some(Product::Text("# Acme".into())));
        assert_eq!(write_product(&taken).unwrap(), None);
        assert_eq!(write_product(&end_with(AnswerSource::Called, None)).unwrap(), None);
    }

    #[test]
    fn what_cannot_be_read_is_corrupt_and_not_quoted() {
        for text in
            ["", "{\"subject\":\"Ada\"}", "{\"body\":\"Ada\"}", "{\"text\":[\"Ada\"]}", "{\"tokens\":{\"input\":1}}"]
        {
            let error = read_product(text).unwrap_err();
            assert!(matches!(error, LedgerError::Corrupt(_)) && !error.to_string().contains("Ada"), "{error}");
        }
    }
}
