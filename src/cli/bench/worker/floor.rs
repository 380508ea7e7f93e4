//! The floor of the whole path: the least programs for it, which lie outside of this repository. They
//! are run as whoever wrote them says, with a provider of their own, and say themselves whether they
//! were exact.

use crate::cli::bench::worker::case::Case;
use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use serde::Deserialize;
use std::path::Path;
use std::path::PathBuf;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;
use std::time::Duration;
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::task::spawn_blocking;
use tokio::time::Instant;
use tokio::time::sleep;

/// Beside the floor, and where the floor looks for it.
const PROVIDER: &str = "provider";
const PROVIDER_ADDRESS: &str = "127.0.0.1:8089";
/// For the provider to listen.
const PATIENCE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(20);
/// Where the programs tell each other their ids.
const MEETING_POINT: &str = "P";

/// The floor's programs; the provider ends with this value.
pub(super) struct Floor {
    program: PathBuf,
    /// Its database, if not the one it takes by itself.
    url: Option<String>,
    folder: TempDir,
    provider: Option<Child>,
}

/// The line that the floor prints, as far as it is looked at.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
pub(super) struct FloorRan {
    pub(super) per_s: f64,
    /// Its own CPU for a lead, in microseconds.
    pub(super) us_self: f64,
    pub(super) peak_rss_mb: u64,
    exact: bool,
}

impl Floor {
    /// Starts the provider beside the `program`, unless one runs already.
    pub(super) async fn start(program: &Path, url: Option<&str>, folder: TempDir) -> Result<Self> {
        let program = program.canonicalize().with_context(|| format!("{} cannot be found", program.display()))?;
        let mut floor = Self { program, url: url.map(str::to_owned), folder, provider: None };
        if TcpStream::connect(PROVIDER_ADDRESS).await.is_ok() {
            return Ok(floor);
        }
        let mut provider = Command::new(floor.program.with_file_name(PROVIDER));
        provider.args(["--threads", "1"]).env(MEETING_POINT, floor.folder.path());
        provider.stdin(Stdio::null()).stdout(Stdio::null());
        floor.provider = Some(provider.spawn().context("the floor's provider cannot be started")?);
        let until = Instant::now() + PATIENCE;
        while TcpStream::connect(PROVIDER_ADDRESS).await.is_err() {
            ensure!(Instant::now() < until, "the floor's provider does not listen on {PROVIDER_ADDRESS}");
            sleep(PAUSE).await;
        }
        Ok(floor)
    }

    /// Runs it once, on as many leads and wallets, with the same latency, and as many leads in flight.
    pub(super) async fn run(&self, case: &Case) -> Result<FloorRan> {
        let mut command = Command::new(&self.program);
        command.args(arguments(case));
        if let Some(url) = &self.url {
            command.args(["--url", url.as_str()]);
        }
        command.env(MEETING_POINT, self.folder.path()).stdin(Stdio::null()).stderr(Stdio::inherit());
        let output = spawn_blocking(move || command.output()).await?.context("the floor cannot be run")?;
        ensure!(output.status.success(), "the floor has ended with {}", output.status);
        let printed = String::from_utf8(output.stdout)?;
        let line = printed.lines().last().context("the floor has printed nothing")?;
        let ran: FloorRan = serde_json::from_str(line).context("what the floor printed cannot be understood")?;
        ensure!(ran.exact, "the floor was not exact");
        Ok(ran)
    }
}

fn arguments(case: &Case) -> [String; 12] {
    let [leads, prefetch, latency, wallets] =
        [case.leads(), case.in_flight, case.latency_ms, case.workspaces].map(|n| n.to_string());
    let word = str::to_owned;
    [
        word("--queue"),
        word("quorum"),
        word("--client"),
        word("reqwest"),
        word("--n"),
        leads,
        word("--prefetch"),
        prefetch,
        word("--ms"),
        latency,
        word("--wallets"),
        wallets,
    ]
}

impl Drop for Floor {
    fn drop(&mut self) {
        if let Some(provider) = &mut self.provider {
            // It may have ended by itself.
            let _ = provider.kill();
            let _ = provider.wait();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_floor_gets_the_same_work_and_its_line_is_read() {
        let case = Case { leads_each: 20, workspaces: 1_000, workers: 2, latency_ms: 50, in_flight: 1_500 };
        let said = "--queue quorum --client reqwest --n 20000 --prefetch 1500 --ms 50 --wallets 1000";
        assert_eq!(arguments(&case).join(" "), said);
        let line = r#"{"bench":"floor","n":18000,"per_s":5040,"wall":3.57,"us_self":125.4,"p50_us":9,"peak_rss_mb":71,"exact":true}"#;
        let ran: FloorRan = serde_json::from_str(line).unwrap();
        assert_eq!(ran, FloorRan { per_s: 5_040.0, us_self: 125.4, peak_rss_mb: 71, exact: true });
    }
}
