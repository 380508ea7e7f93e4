//! `weir worker` as processes of their own.

use crate::cli::bench::process::Process;
use crate::cli::bench::worker::configuration::KEY_VARIABLE;
use crate::roster::Roster;
use anyhow::Context;
use anyhow::Result;
use anyhow::bail;
use anyhow::ensure;
use secrecy::ExposeSecret;
use secrecy::SecretString;
use std::env;
use std::path::Path;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;
use std::time::Duration;
use tokio::time::Instant;
use tokio::time::sleep;

/// Who was heard of within this is alive: workers say so every second.
pub(super) const ALIVE: Duration = Duration::from_secs(5);
/// For connecting, and for draining.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(20);

/// What overrides a key of the configuration begins so.
const OVERRIDE: &str = "WEIR__";

/// Workers that run, until dropped.
pub(super) struct Workers(Vec<Child>);

impl Workers {
    /// Starts so many of this program on the configuration in `folder`. The addresses, which may hold
    /// passwords, go through the environment.
    pub(super) fn start(count: u32, folder: &Path, store: &SecretString, broker: &SecretString) -> Result<Self> {
        let mut workers = Self(Vec::new());
        for _ in 0..count {
            let mut command = Command::new(env::current_exe()?);
            let overrides = env::vars_os().map(|(name, _)| name);
            for name in overrides.filter(|name| name.to_string_lossy().starts_with(OVERRIDE)) {
                command.env_remove(name);
            }
            command.args(["worker", "--sandbox", "--config"]).arg(folder);
            command.env("WEIR__STORE__URL", store.expose_secret()).env("WEIR__BROKER__URL", broker.expose_secret());
            command.env(KEY_VARIABLE, "bench").env("WEIR_LOG", "warn");
            command.stdin(Stdio::null()).stdout(Stdio::null());
            workers.0.push(command.spawn().context("a worker cannot be started")?);
        }
        Ok(workers)
    }

    /// Waits until all of them say that they live.
    pub(super) async fn wait_ready(&mut self, roster: &dyn Roster) -> Result<()> {
        let until = Instant::now() + PATIENCE;
        while roster.workers(ALIVE).await?.len() < self.0.len() {
            self.require_alive()?;
            ensure!(Instant::now() < until, "the workers are not ready after {} s", PATIENCE.as_secs());
            sleep(PAUSE).await;
        }
        Ok(())
    }

    /// None of them must have ended by itself.
    pub(super) fn require_alive(&mut self) -> Result<()> {
        for worker in &mut self.0 {
            if let Some(status) = worker.try_wait()? {
                bail!("a worker has ended with {status}");
            }
        }
        Ok(())
    }

    /// CPU time of all of them so far.
    pub(super) fn cpu(&self) -> Result<Duration> {
        self.processes().map(Process::cpu).sum()
    }

    /// The most memory that any of them has had, in KiB.
    pub(super) fn peak_kib(&self) -> Result<u64> {
        let peaks = self.processes().map(Process::peak_kib).collect::<Result<Vec<_>>>()?;
        peaks.into_iter().max().context("there is no worker")
    }

    /// Asks all of them to drain, and waits for their ends.
    pub(super) async fn stop(mut self) -> Result<()> {
        for worker in &self.0 {
            let told = Command::new("kill").args(["-TERM", &worker.id().to_string()]).status();
            ensure!(told.context("there is no `kill` to stop a worker with")?.success(), "a worker is gone already");
        }
        let until = Instant::now() + PATIENCE;
        for worker in &mut self.0 {
            let status = loop {
                match worker.try_wait()? {
                    Some(status) => break status,
                    None => ensure!(Instant::now() < until, "a worker did not end in {} s", PATIENCE.as_secs()),
                }
                sleep(PAUSE).await;
            };
            ensure!(status.success(), "a worker has ended with {status}");
        }
        Ok(())
    }

    fn processes(&self) -> impl Iterator<Item = Process> {
        self.0.iter().map(|worker| Process(worker.id()))
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        for worker in &mut self.0 {
            // Of a process that has ended there is nothing to kill.
            let _ = worker.kill();
            let _ = worker.wait();
        }
    }
}
