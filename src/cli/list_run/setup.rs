//! The configuration as a run uses it: with the sandbox in the providers' place, or for real.

use crate::cli::BadInput;
use crate::cli::Globals;
use crate::cli::list_run::ListArgs;
use crate::config::Config;
use crate::config::Live;
use crate::domain::WorkspaceId;
use crate::sandbox::Options;
use crate::sandbox::Sandbox;
use crate::worker::Settings;
use crate::worker::Tasks;
use anyhow::Context;
use anyhow::Result;
use secrecy::SecretString;
use std::net::Ipv4Addr;
use std::net::SocketAddr;

/// What is said to somebody who lacks a key.
pub(in crate::cli) const TRY_WITHOUT_KEYS: &str = "\nOr try it without keys: add --sandbox.";

/// With the rates lifted, a sandbox provider takes as many calls as there are leads in flight.
const NO_CAP: u32 = 100_000;

/// Whose job a run on this machine is.
pub(in crate::cli) fn workspace(globals: &Globals) -> WorkspaceId {
    WorkspaceId::new(if globals.sandbox { "sandbox" } else { "local" })
}

/// The live half as this run uses it; with `--sandbox` that is started beside the command.
///
/// # Errors
/// When the sandbox cannot start, or limits are to be kept that nobody lifts.
pub(in crate::cli) async fn live_for(
    config: &Config,
    args: &ListArgs,
    globals: &Globals,
    tasks: &Tasks,
) -> Result<Live> {
    if globals.sandbox {
        return into_sandbox(&config.live, args.keep_limits, tasks).await;
    }
    if args.keep_limits {
        let how = "--keep-limits: without --sandbox limits are kept anyway; leave it out, or add --sandbox";
        return Err(BadInput(how.to_owned()).into());
    }
    Ok(Live::clone(&config.live))
}

/// Points every provider that the sandbox serves there.
async fn into_sandbox(live: &Live, keep_limits: bool, tasks: &Tasks) -> Result<Live> {
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
