//! What makes two runs on a list the same job, as far as the list goes.

use crate::cli::list_run::List;
use crate::domain::Fingerprint;
use crate::domain::JobId;
use std::fmt::Write;

/// The file's bytes, its form and its columns.
pub(in crate::cli) fn parts_of_list(list: &List) -> Vec<String> {
    let digest = list.scan.digest.iter().fold(String::with_capacity(64), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    });
    let mut parts = vec![digest, format!("{:?}", list.scan.format())];
    parts.extend(list.mapping.entries().iter().map(|(field, column)| format!("{field:?}={column}")));
    parts
}

/// The job's id, from what is done and its content.
pub(super) fn job_id(kind: &str, content: Fingerprint) -> JobId {
    let digits: String = content.to_string().chars().take(20).collect();
    JobId::new(format!("{kind}-{digits}"))
}
