//! The waterfall, and whether it can be used.

use crate::cli::BadInput;
use crate::cli::Globals;
use crate::cli::list_run::TRY_WITHOUT_KEYS;
use crate::config::Live;
use crate::config::Waterfall;
use crate::worker::Routes;
use anyhow::Result;
use std::sync::Arc;

/// Says what was left out, and refuses a waterfall of finders of which none is left.
pub(super) fn check_routes(routes: &Routes, waterfall: &Waterfall, globals: &Globals) -> Result<()> {
    let nothing_left = routes.find.is_empty() && (!waterfall.find.is_empty() || routes.verify.is_empty());
    if !nothing_left {
        for (provider, why) in &routes.left_out {
            tracing::warn!("{provider} is left out: {why}");
        }
        return Ok(());
    }
    // A verifier's key would not help here.
    let finders = routes.left_out.iter().filter(|(provider, _)| waterfall.find.contains(provider));
    let reasons: Vec<String> = finders.map(|(provider, why)| format!("\n  {provider}: {why}")).collect();
    let hint = if globals.sandbox { "" } else { TRY_WITHOUT_KEYS };
    let name = &waterfall.name;
    Err(BadInput(format!("waterfall {name}: no finder can be used{}{hint}", reasons.concat())).into())
}

/// The waterfall that was named, or the one that goes without saying.
pub(super) fn waterfall(live: &Arc<Live>, named: Option<&str>) -> Result<Waterfall> {
    Ok(live.default_waterfall(named).map_err(BadInput)?.clone())
}
