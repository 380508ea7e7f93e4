//! How a simulated model counts tokens: in words.
//!
//! No real tokenizer counts fewer, because each cuts a text at every one of these gaps, and at more; so
//! whoever holds money for a tokenizer's count has held enough, as with a real model.

/// The words of a text.
pub(super) fn count(text: &str) -> u64 {
    let words = text.split(is_gap).filter(|run| is_word(run)).count();
    u64::try_from(words).unwrap_or(u64::MAX)
}

/// The start of a text, with this many of its words; nothing at all for none.
pub(super) fn cut(text: &str, words: u64) -> &str {
    if words == 0 {
        return "";
    }
    let (mut end, mut left) = (0, words);
    for run in text.split_inclusive(is_gap) {
        if is_word(run) {
            let Some(fewer) = left.checked_sub(1) else { break };
            left = fewer;
        }
        end += run.len();
    }
    text.get(..end).unwrap_or_default()
}

/// Tokenizers keep `it's` whole, and some characters beyond ASCII are marks on the letter before them.
fn is_gap(c: char) -> bool {
    c.is_ascii() && !c.is_ascii_alphanumeric() && c != '\''
}

fn is_word(run: &str) -> bool {
    run.bytes().any(|byte| byte.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_counted() {
        for (text, words) in [
            ("", 0),
            (" — ';' ", 0),
            ("Hi Ada, it's me.", 4),
            (r#"{"first_name":"Ada"}"#, 3),
            ("na\u{ef}ve", 1),
            ("co\u{301}op", 1),
        ] {
            assert_eq!(count(text), words, "{text}");
        }
    }

    #[test]
    fn a_text_is_cut_before_the_word_that_is_too_many() {
        let text = r#"{"a":"Hi Ada"}"#;
        for (words, start) in [(0, ""), (1, r#"{"a":""#), (2, r#"{"a":"Hi "#), (3, text), (9, text)] {
            assert_eq!(cut(text, words), start, "{words}");
        }
    }

    #[test]
    fn what_is_cut_has_the_words_that_were_asked_for() {
        let text = "It's Ada's caf\u{e9} — 42 na\u{ef}ve, co-op (and more).";
        for words in 0..=count(text) {
            assert_eq!(count(cut(text, words)), words);
        }
    }
}
