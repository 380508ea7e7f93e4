//! What makes two `weir copy` the same job: the file's bytes, the columns and the brief.

use crate::cli::list_run::List;
use crate::cli::list_run::parts_of_list;
use crate::domain::Brief;
use crate::domain::Fingerprint;

/// The content of the job. Prices, budgets and who reads the pages are not part of it.
pub(super) fn content(list: &List, brief: &Brief) -> Fingerprint {
    let mut parts = parts_of_list(list);
    parts.extend(parts_of_brief(brief));
    // Letter for letter: another spelling of the instructions is another brief.
    Fingerprint::exactly("copy", parts.iter().map(String::as_str))
}

fn parts_of_brief(brief: &Brief) -> Vec<String> {
    let Brief { purpose, model, max_output_tokens, instructions, pages } = brief;
    let mut parts = vec![
        format!("purpose={}", purpose.as_str()),
        format!("model={model}"),
        format!("max_output_tokens={max_output_tokens}"),
        format!("instructions={instructions}"),
    ];
    parts.extend(pages.iter().map(|page| format!("page={page}")));
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Purpose;

    #[test]
    fn a_brief_that_differs_in_anything_is_another() {
        let brief = Brief {
            purpose: Purpose::Live,
            model: "gpt-5.4-mini".to_owned(),
            max_output_tokens: 400,
            instructions: "Write.".to_owned(),
            pages: vec!["https://a".to_owned(), "https://b".to_owned()],
        };
        let others = [
            Brief { purpose: Purpose::Warmup, ..brief.clone() },
            Brief { model: "gpt-5.4".to_owned(), ..brief.clone() },
            Brief { max_output_tokens: 401, ..brief.clone() },
            Brief { instructions: "WRITE.".to_owned(), ..brief.clone() },
            Brief { pages: vec!["https://a".to_owned()], ..brief.clone() },
            Brief { pages: vec!["https://b".to_owned(), "https://a".to_owned()], ..brief.clone() },
            Brief { pages: vec!["https://ahttps://b".to_owned()], ..brief.clone() },
        ];
        let print = |brief: &Brief| Fingerprint::exactly("copy", parts_of_brief(brief).iter().map(String::as_str));
        assert_eq!(print(&brief), print(&brief.clone()));
        for other in &others {
            assert_ne!(print(other), print(&brief), "{other:?}");
        }
    }
}
