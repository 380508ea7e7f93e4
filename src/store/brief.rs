//! What a job is to do, as its row keeps it: its kind, a name, and for copy the brief as JSON.

use crate::domain::Brief;
use crate::domain::WaterfallName;
use crate::jobs::Work;
use crate::ledger::LedgerError;
use serde::Deserialize;
use serde::Serialize;
use std::sync::Arc;

/// A brief as it is stored.
#[derive(Serialize, Deserialize)]
struct Parts {
    purpose: String,
    model: String,
    max_output_tokens: u32,
    instructions: String,
    pages: Vec<String>,
}

/// What goes into `brief`; `None` where an address is searched.
pub(super) fn write_brief(work: &Work) -> Result<Option<String>, LedgerError> {
    let Some(brief) = work.brief() else { return Ok(None) };
    let Brief { purpose, model, max_output_tokens, instructions, pages } = Brief::clone(brief);
    let parts = Parts { purpose: purpose.as_str().to_owned(), model, max_output_tokens, instructions, pages };
    serde_json::to_string(&parts).map(Some).map_err(|_| LedgerError::Corrupt("a brief cannot be written".to_owned()))
}

/// Reads a job's work from its kind, the name of what does it, and what [`write_brief`] wrote.
pub(super) fn read_work(kind: &str, name: &str, brief: Option<&str>) -> Result<Work, LedgerError> {
    match (kind, brief) {
        ("enrich", None) => Ok(Work::Enrich(WaterfallName::new(name))),
        ("copy", Some(text)) => read_brief(text).map(|brief| Work::Copy(Arc::new(brief))),
        _ => Err(LedgerError::Corrupt(format!("a job of the kind {kind:?} that lacks its brief, or has none to have"))),
    }
}

fn read_brief(text: &str) -> Result<Brief, LedgerError> {
    // What the parser says quotes the text.
    let unreadable = || LedgerError::Corrupt("a brief cannot be read".to_owned());
    let parts: Parts = serde_json::from_str(text).map_err(|_| unreadable())?;
    let Parts { purpose, model, max_output_tokens, instructions, pages } = parts;
    let purpose = purpose.parse().map_err(|()| unreadable())?;
    Ok(Brief { purpose, model, max_output_tokens, instructions, pages })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Purpose;

    #[test]
    fn work_is_read_as_it_was_written() {
        let brief = Brief {
            purpose: Purpose::Warmup,
            model: "gpt-5.4-mini".to_owned(),
            max_output_tokens: 400,
            instructions: "Say \"hi\" to {first_name}.\nNo more.".to_owned(),
            pages: vec!["https://{domain}".to_owned(), "https://{domain}/about".to_owned()],
        };
        for work in [Work::Enrich(WaterfallName::new("work_email")), Work::Copy(Arc::new(brief))] {
            let text = write_brief(&work).unwrap();
            assert_eq!(text.is_some(), work.brief().is_some());
            assert_eq!(read_work(work.kind(), work.name(), text.as_deref()).unwrap(), work);
        }
    }

    #[test]
    fn what_cannot_be_read_is_corrupt_and_not_quoted() {
        let odd_purpose =
            "{\"purpose\":\"spam\",\"model\":\"m\",\"max_output_tokens\":1,\"instructions\":\"Ada\",\"pages\":[]}";
        for (kind, brief) in [
            ("copy", None),
            ("enrich", Some("{}")),
            ("scrape", None),
            ("copy", Some("{\"instructions\":\"Ada\"}")),
            ("copy", Some(odd_purpose)),
        ] {
            let error = read_work(kind, "m", brief).unwrap_err();
            assert!(matches!(error, LedgerError::Corrupt(_)) && !error.to_string().contains("Ada"), "{error}");
        }
    }
}
