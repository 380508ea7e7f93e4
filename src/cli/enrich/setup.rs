//! The configuration as this command uses it: with the sandbox in the providers' place, or for real.

use crate::cli::BadInput;
use crate::cli::Globals;
use crate::config::Config;
use crate::config::Live;
use crate::config::Waterfall;
use crate::sandbox::Options;
use crate::sandbox::Sandbox;
use crate::worker::Routes;
use crate::worker::Settings;
use crate::worker::Tasks;
use anyhow::Context;
use anyhow::Result;
use secrecy::SecretString;
use std::net::Ipv4Addr;
use std::net::SocketAddr;
use std::sync::Arc;

/// With the rates lifted, a sandbox provider takes as many calls as there are leads in flight.
const NO_CAP: u32 = 100_000;

/// Starts the sandbox beside the command, and points every provider it serves there.
pub(super) async fn into_sandbox(live: &Live, keep_limits: bool, tasks: &Tasks) -> Result<Live> {
    let free_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let options = Options { keep_limits, ..Options::default() };
    let sandbox = Sandbox::bind(free_port, options).await.context("the sandbox cannot start")?;
    let mut live = live.clone();
    for settings in live.providers.values_mut() {
        let Some(base_url) = sandbox.base_url(&settings.kind) else {
            // What is not simulated is left out: nothing paid is reached from here.
            settings.house_key = None;
            continue;
        };
        settings.base_url = base_url;
        settings.house_key = Some(SecretString::from(format!("sandbox-{}", settings.name)));
        if !keep_limits {
            settings.requests_per_second = None;
            settings.reads_per_minute = None;
            settings.max_in_flight = NO_CAP;
        }
    }
    let token = tasks.token();
    tasks.spawn(async move {
        // It ends with the command; a failing accept shows as a provider that is down.
        let _ = sandbox.serve(async move { token.cancelled().await }).await;
    });
    Ok(live)
}

/// The worker's shape; `--concurrency` wins over the configuration.
pub(super) fn settings(config: &Config, concurrency: Option<u32>) -> Settings {
    let size = |n: u32| usize::try_from(n).unwrap_or(usize::MAX);
    Settings {
        leads_in_flight: size(concurrency.unwrap_or(config.live.leads_in_flight)),
        prefetch: size(config.boot.broker_prefetch),
        slices_per_job: config.boot.slices_per_job,
        lead_deadline: config.boot.lead_deadline,
    }
}

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
    let hint = if globals.sandbox { "" } else { "\nOr try it without keys: add --sandbox." };
    let name = &waterfall.name;
    Err(BadInput(format!("waterfall {name}: no finder can be used{}{hint}", reasons.concat())).into())
}

/// The waterfall that was named, or the one that goes without saying.
pub(super) fn waterfall(live: &Arc<Live>, named: Option<&str>) -> Result<Waterfall> {
    Ok(live.default_waterfall(named).map_err(BadInput)?.clone())
}
