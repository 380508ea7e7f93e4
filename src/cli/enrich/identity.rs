//! What makes two `weir enrich` the same job: the file's bytes, the columns, the steps and the policy.

use crate::config::Waterfall;
use crate::domain::Fingerprint;
use crate::domain::JobId;
use crate::lists::Mapping;
use crate::lists::Scan;
use crate::waterfall::Risky;
use crate::worker::Route;
use crate::worker::Routes;
use std::fmt::Write;
use std::sync::Arc;

/// The content of the job. Steps are those that can be made: a key that is added makes another job,
/// whose known answers come from the cache. Prices and caps are not part of it.
pub(super) fn content(scan: &Scan, mapping: &Mapping, routes: &Routes, waterfall: &Waterfall) -> Fingerprint {
    let digest = scan.digest.iter().fold(String::with_capacity(64), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    });
    let mut parts = vec![digest, format!("{:?}", scan.format())];
    parts.extend(mapping.entries().iter().map(|(field, column)| format!("{field:?}={column}")));
    parts.extend(steps(routes.finders()));
    parts.extend(steps(routes.verifiers()));
    parts.push(match waterfall.risky {
        Risky::KeepLooking => "keep_looking".to_owned(),
        Risky::Accept => "accept".to_owned(),
    });
    parts.push(format!("trust_finders={}", waterfall.trust_finders));
    Fingerprint::of("enrich", parts.iter().map(|part| Some(part.as_str())))
}

/// The job's id, from its content.
pub(super) fn job_id(content: Fingerprint) -> JobId {
    let digits: String = content.to_string().chars().take(20).collect();
    JobId::new(format!("enrich-{digits}"))
}

fn steps<'r>(routes: impl Iterator<Item = &'r Arc<Route>>) -> impl Iterator<Item = String> {
    routes.map(|route| route.step.to_string())
}
