//! How many tokens a text can be, before anybody has counted: what a model's hold is made from.
//!
//! Where OpenAI has published a model's vocabulary the text is counted with it. Elsewhere its bytes are
//! counted: no vocabulary has a token for less than a byte.

use std::collections::HashSet;
use std::sync::LazyLock;
use tiktoken_rs::CoreBPE;

/// A published vocabulary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Vocabulary {
    O200k,
    Cl100k,
}

/// Families of models by how their names begin, and the vocabulary each is counted with; the first that
/// fits decides. Other families may have other vocabularies, and are counted in bytes.
const FAMILIES: [(&str, Vocabulary); 13] = [
    ("gpt-6", Vocabulary::O200k),
    ("gpt-5", Vocabulary::O200k),
    ("gpt-4.5", Vocabulary::O200k),
    ("gpt-4.1", Vocabulary::O200k),
    ("gpt-4o", Vocabulary::O200k),
    ("chatgpt-4o", Vocabulary::O200k),
    ("gpt-oss", Vocabulary::O200k),
    ("o4", Vocabulary::O200k),
    ("o3", Vocabulary::O200k),
    ("o1", Vocabulary::O200k),
    ("gpt-4", Vocabulary::Cl100k),
    ("gpt-3.5", Vocabulary::Cl100k),
    ("gpt-35", Vocabulary::Cl100k),
];

/// Built once, when first asked for: it is a table of 200,000 entries. `None` if it were damaged, and then
/// bytes are counted.
static O200K: LazyLock<Option<CoreBPE>> = LazyLock::new(|| tiktoken_rs::o200k_base().ok());
static CL100K: LazyLock<Option<CoreBPE>> = LazyLock::new(|| tiktoken_rs::cl100k_base().ok());

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

/// The vocabulary of a model, if it is published. A fine-tuned model (`ft:`) has that of its family, and
/// so has OpenAI's behind a router (`openai/`); what others call alike need not have it.
fn vocabulary(model: &str) -> Option<Vocabulary> {
    let name = model.strip_prefix("ft:").or_else(|| model.strip_prefix("openai/")).unwrap_or(model);
    let is_of = |family: &str| {
        name.strip_prefix(family).is_some_and(|rest| rest.is_empty() || rest.starts_with(['-', '.', ':', '@']))
    };
    FAMILIES.iter().find(|(family, _)| is_of(family)).map(|(_, vocabulary)| *vocabulary)
}

/// Counts; `None` when the tokenizer gives up, as it may on a text made to that end. Words that look like
/// control tokens (`<|endoftext|>`) are counted as the plain text that they are to a server.
fn count(vocabulary: Vocabulary, text: &str) -> Option<u64> {
    let tokenizer: &Option<CoreBPE> = match vocabulary {
        Vocabulary::O200k => &O200K,
        Vocabulary::Cl100k => &CL100K,
    };
    let count = tokenizer.as_ref()?.count(text, &HashSet::new()).ok()?;
    u64::try_from(count).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_has_the_vocabulary_of_its_family() {
        for (model, expected) in [
            ("gpt-5.4-mini", Some(Vocabulary::O200k)),
            ("gpt-6-luna", Some(Vocabulary::O200k)),
            ("gpt-6.1-sol", Some(Vocabulary::O200k)),
            ("gpt-4o-mini-2024-07-18", Some(Vocabulary::O200k)),
            ("gpt-4.1", Some(Vocabulary::O200k)),
            ("gpt-oss:20b", Some(Vocabulary::O200k)),
            ("o3-mini", Some(Vocabulary::O200k)),
            ("openai/gpt-5-nano", Some(Vocabulary::O200k)),
            ("ft:gpt-4o-mini:acme::1", Some(Vocabulary::O200k)),
            ("gpt-4-turbo", Some(Vocabulary::Cl100k)),
            ("gpt-35-turbo", Some(Vocabulary::Cl100k)),
            ("gpt-50", None),
            ("gpt-2", None),
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
            assert_eq!(bound("mistral-small", text), bytes, "{text}");
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
