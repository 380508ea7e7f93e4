//! What makes two `weir enrich` the same job: the file's bytes, the columns, the steps and the policy.

use crate::cli::list_run::List;
use crate::cli::list_run::parts_of_list;
use crate::config::Waterfall;
use crate::domain::Fingerprint;
use crate::waterfall::Risky;
use crate::worker::Route;
use crate::worker::Routes;
use std::sync::Arc;

/// The content of the job. Steps are those that can be made: a key that is added makes another job,
/// whose known answers come from the cache. Prices and caps are not part of it.
pub(super) fn content(list: &List, routes: &Routes, waterfall: &Waterfall) -> Fingerprint {
    let mut parts = parts_of_list(list);
    parts.extend(steps(routes.finders()));
    parts.extend(steps(routes.verifiers()));
    parts.push(match waterfall.risky {
        Risky::KeepLooking => "keep_looking".to_owned(),
        Risky::Accept => "accept".to_owned(),
    });
    parts.push(format!("trust_finders={}", waterfall.trust_finders));
    Fingerprint::of("enrich", parts.iter().map(|part| Some(part.as_str())))
}

fn steps<'r>(routes: impl Iterator<Item = &'r Arc<Route>>) -> impl Iterator<Item = String> {
    routes.map(|route| route.step.to_string())
}
