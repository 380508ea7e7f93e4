//! How many tokens a text can be, before anybody has counted: what a model's hold is made from.
//!
//! Where OpenAI has published a model's vocabulary the text is counted with it. Elsewhere its bytes are
//! counted: no vocabulary has a token for less than a byte.

use std::collections::HashSet;
use std::sync::LazyLock;
use tiktoken_rs::CoreBPE;
use tiktoken_rs::tokenizer::Tokenizer;
use tiktoken_rs::tokenizer::get_tokenizer;

/// A published vocabulary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Vocabulary {
    O200k,
    Cl100k,
}

/// Built once, when first asked for: it is a table of 200,000 entries, see [`warm`]. `None` if it were damaged, and
/// then bytes are counted.
static O200K: LazyLock<Option<CoreBPE>> = LazyLock::new(|| tiktoken_rs::o200k_base().ok());
static CL100K: LazyLock<Option<CoreBPE>> = LazyLock::new(|| tiktoken_rs::cl100k_base().ok());

/// Builds what this model's tokens are counted with, if anything: for whoever begins work, on a thread that nobody
/// waits for. It takes a moment once, and nothing ever after.
pub(crate) fn warm(model: &str) {
    if let Some(vocabulary) = vocabulary(model) {
        tokenizer(vocabulary);
    }
}

/// A count is raised by a share of itself, this one: the newest generations may cut some words finer than
/// the vocabulary that was published last.
const SHARE_ABOVE: u64 = 8;

/// The most tokens that this model can make of the text.
pub(super) fn bound(model: &str, text: &str) -> u64 {
    let counted = vocabulary(model).and_then(|vocabulary| count(vocabulary, text));
    let raised = counted.map(|count| count.saturating_add(count.div_ceil(SHARE_ABOVE)));
    // Bytes bound it from above whatever the vocabulary.
    raised.map_or_else(|| bytes(text), |raised| raised.min(bytes(text)))
}

/// The bytes of a text, as the most tokens that any model can make of it.
pub(super) fn bytes(text: &str) -> u64 {
    u64::try_from(text.len()).unwrap_or(u64::MAX)
}

/// The vocabulary of a model, if it is published: the library keeps OpenAI's own list. A fine-tuned model (`ft:`)
/// has that of its family. The name alone decides, whoever serves it: clouds, gateways and routers (`openai/`)
/// call OpenAI's models as it does. What they have named by themselves is in no list.
fn vocabulary(model: &str) -> Option<Vocabulary> {
    match get_tokenizer(model.strip_prefix("openai/").unwrap_or(model))? {
        // Alike but for their control tokens, and those are counted as text.
        Tokenizer::O200kBase | Tokenizer::O200kHarmony => Some(Vocabulary::O200k),
        Tokenizer::Cl100kBase => Some(Vocabulary::Cl100k),
        // Of models that hold no conversation.
        Tokenizer::P50kBase | Tokenizer::P50kEdit | Tokenizer::R50kBase | Tokenizer::Gpt2 => None,
    }
}

fn tokenizer(vocabulary: Vocabulary) -> Option<&'static CoreBPE> {
    match vocabulary {
        Vocabulary::O200k => O200K.as_ref(),
        Vocabulary::Cl100k => CL100K.as_ref(),
    }
}

/// Counts; `None` when the tokenizer gives up, as it may on a text made to that end. Words that look like
/// control tokens (`<|endoftext|>`) are counted as the plain text that they are to a server.
fn count(vocabulary: Vocabulary, text: &str) -> Option<u64> {
    let count = tokenizer(vocabulary)?.count(text, &HashSet::new()).ok()?;
    u64::try_from(count).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_has_the_vocabulary_that_is_published_for_it() {
        for (model, expected) in [
            ("gpt-5.4-mini", Some(Vocabulary::O200k)),
            ("gpt-4o-mini-2024-07-18", Some(Vocabulary::O200k)),
            ("gpt-4.1", Some(Vocabulary::O200k)),
            ("gpt-oss-20b", Some(Vocabulary::O200k)),
            ("o3-mini", Some(Vocabulary::O200k)),
            ("openai/gpt-5-nano", Some(Vocabulary::O200k)),
            ("ft:gpt-4o-mini:acme::1", Some(Vocabulary::O200k)),
            ("gpt-4-turbo", Some(Vocabulary::Cl100k)),
            ("gpt-35-turbo", Some(Vocabulary::Cl100k)),
            ("gpt-6-luna", None),
            ("gpt-6.1-sol", None),
            ("openai/gpt-6-luna", None),
            ("gpt-2", None),
            ("davinci", None),
            ("o1000", None),
            ("acme/gpt-4o-distilled", None),
            ("mistral-small", None),
            ("claude-haiku-5-5", None),
            ("", None),
        ] {
            assert_eq!(vocabulary(model), expected, "{model}");
        }
    }

    #[test]
    fn published_vocabularies_are_counted_with() {
        for model in ["gpt-5.4-mini", "gpt-4-turbo"] {
            warm(model);
            // Two tokens, and the share above.
            assert_eq!(bound(model, "hello world"), 3, "{model}");
        }
        let text = "The recipient of this letter writes software for small companies. ".repeat(100);
        let counted = bound("gpt-5.4-mini", &text);
        assert!(counted > 1_000 && counted < bytes(&text) / 3, "{counted}");
    }

    #[test]
    fn any_other_model_is_counted_in_bytes() {
        for (text, bytes) in [("", 0), ("hello world", 11), ("äöü", 6), ("日本", 6)] {
            for model in ["mistral-small", "gpt-6-luna"] {
                warm(model);
                assert_eq!(bound(model, text), bytes, "{model} {text}");
            }
        }
    }

    #[test]
    fn no_text_is_more_tokens_than_bytes() {
        let long = ["a", " ", "\n", "^", "漢", "\u{1F469}\u{200D}", "<|endoftext|>", "Ab1 ", "\\\""]
            .map(|it| it.repeat(9_000));
        for text in long.iter().map(String::as_str).chain(["", "x", "é", "<|im_start|>"]) {
            for model in ["gpt-5.4-mini", "gpt-4-turbo"] {
                let counted = bound(model, text);
                assert!(counted <= bytes(text) && (counted > 0 || text.is_empty()), "{counted} of {}", text.len());
            }
        }
    }

    #[test]
    fn control_tokens_are_plain_text() {
        assert!(bound("gpt-5.4-mini", "<|endoftext|>") > 2);
    }
}
