//! Somebody else's words, made fit to keep: capped, and without the control characters that mails,
//! terminals and databases choke on.

/// Text of many lines, at most so many characters of it.
pub(super) fn plain(text: &str, longest: usize) -> String {
    let fit = text.trim().chars().filter(|c| !c.is_control() || ['\n', '\t'].contains(c));
    let mut kept: String = fit.take(longest).collect();
    kept.truncate(kept.trim_end().len());
    kept
}

/// The same in one line: what breaks lines becomes a space.
pub(super) fn one_line(text: &str, longest: usize) -> String {
    let breaks = |c: char| c.is_control() || ['\u{2028}', '\u{2029}'].contains(&c);
    let parts: Vec<&str> = text.split(breaks).map(str::trim).filter(|part| !part.is_empty()).collect();
    plain(&parts.join(" "), longest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_cut_between_characters_and_keeps_its_lines() {
        for (text, longest, kept) in [
            ("", 9, ""),
            (" \n a\r\nb\tc \n", 9, "a\nb\tc"),
            ("a\0b\u{7}c\u{1b}[31m", 9, "abc[31m"),
            ("äöü", 2, "äö"),
            ("ab  cd", 4, "ab"),
            ("日本語", 9, "日本語"),
        ] {
            assert_eq!(plain(text, longest), kept, "{text:?}");
        }
    }

    #[test]
    fn a_line_has_no_breaks() {
        for (text, longest, kept) in [
            ("Hi\r\nBcc: eve@acme.test", 99, "Hi Bcc: eve@acme.test"),
            ("a\n\n\u{2028}b\tc\0", 99, "a b c"),
            ("  keeps  inner spaces ", 99, "keeps  inner spaces"),
            ("\n\n", 99, ""),
            ("abc\ndef", 5, "abc d"),
        ] {
            assert_eq!(one_line(text, longest), kept, "{text:?}");
        }
    }
}
