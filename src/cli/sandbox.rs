//! `weir sandbox`: serve simulated providers until told to stop.

use crate::cli::Exit;
use crate::cli::Globals;
use crate::cli::arguments;
use crate::cli::output;
use crate::providers::TABLE;
use crate::sandbox::Options;
use crate::sandbox::Sandbox;
use anyhow::Context;
use anyhow::Result;
use serde_json::json;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;
use tokio::signal::unix::SignalKind;
use tokio::signal::unix::signal;

/// What `weir sandbox` takes.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Listen here; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8900")]
    listen: SocketAddr,
    /// Take this many milliseconds for a search or a verification
    #[arg(long, value_name = "MS", default_value_t = 0)]
    latency: u64,
    /// End this share of calls, 0 to 1, in the vendor's own internal error
    #[arg(long, value_name = "RATE", default_value = "0", value_parser = arguments::share)]
    fail: f64,
    /// Throttle this share of calls, 0 to 1
    #[arg(long, value_name = "RATE", default_value = "0", value_parser = arguments::share)]
    throttle: f64,
    /// Decide by this number who is known to whom: the same number, the same world
    #[arg(long, value_name = "N", default_value_t = Options::default().seed)]
    seed: u64,
    /// Let each finder know this many of 100 people
    #[arg(long, value_name = "PCT", default_value_t = Options::default().find_rate,
          value_parser = clap::value_parser!(u8).range(0..=100))]
    find_rate: u8,
    /// Append one JSON line per call to this file, without names, addresses or keys
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    /// Enforce the vendors' own limits on reading late answers
    #[arg(long)]
    keep_limits: bool,
}

impl From<Args> for Options {
    fn from(args: Args) -> Self {
        Self {
            seed: args.seed,
            latency: Duration::from_millis(args.latency),
            fail: args.fail,
            throttle: args.throttle,
            find_rate: args.find_rate,
            record: args.record,
            keep_limits: args.keep_limits,
        }
    }
}

/// Serves until Ctrl-C or SIGTERM.
///
/// # Errors
/// When the address or the record's file cannot be had.
pub async fn run(args: Args, globals: &Globals) -> Result<Exit> {
    let listen = args.listen;
    let sandbox =
        Sandbox::bind(listen, args.into()).await.with_context(|| format!("the sandbox cannot start on {listen}"))?;
    // Before the addresses are printed: whoever reads them may stop us from then on.
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    print_addresses(&sandbox, globals)?;
    tracing::info!(address = %sandbox.address(), "sandbox: serving");
    let stop = async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    };
    sandbox.serve(stop).await?;
    Ok(Exit::Done)
}

/// Every provider's address, then the same as variables that override the configuration.
fn print_addresses(sandbox: &Sandbox, globals: &Globals) -> Result<()> {
    let kinds = TABLE.iter().map(|provider| provider.kind());
    let served: Vec<_> = kinds.filter_map(|kind| Some((kind, sandbox.base_url(kind)?))).collect();
    if globals.json {
        let objects = served.iter().map(|(kind, url)| json!({ "provider": kind, "base_url": url }));
        return Ok(output::lines(objects)?);
    }
    output::lines(served.iter().map(|(kind, url)| format!("{kind:<16} {url}")))?;
    output::line("")?;
    let variable = |kind: &str, url: &str| format!("WEIR__PROVIDERS__{}__BASE_URL={url}", kind.to_uppercase());
    Ok(output::lines(served.iter().map(|(kind, url)| variable(kind, url)))?)
}
