//! The sandbox as a process of its own, so that its CPU can be told from this one's.

use crate::cli::bench::process::Process;
use crate::providers::TABLE;
use anyhow::Context;
use anyhow::Result;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::env;
use std::io::BufRead;
use std::io::BufReader;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;

/// `weir sandbox` on a free port, until dropped.
pub(super) struct SandboxProcess {
    child: Child,
    base_urls: BTreeMap<String, String>,
}

/// A line of `weir sandbox --json`.
#[derive(Deserialize)]
struct Served {
    provider: String,
    base_url: String,
}

impl SandboxProcess {
    /// Starts this program once more; it serves when this returns.
    pub(super) fn start(latency_ms: u32) -> Result<Self> {
        let mut command = Command::new(env::current_exe()?);
        command.args(["sandbox", "--json", "--listen", "127.0.0.1:0", "--latency"]).arg(latency_ms.to_string());
        command.env("WEIR_LOG", "warn").stdin(Stdio::null()).stdout(Stdio::piped());
        let child = command.spawn().context("the sandbox cannot be started")?;
        let mut sandbox = Self { child, base_urls: BTreeMap::new() };
        let printed = sandbox.child.stdout.take().context("the sandbox has no standard output")?;
        for line in BufReader::new(printed).lines().take(TABLE.len()) {
            let Served { provider, base_url } = serde_json::from_str(&line?)?;
            sandbox.base_urls.insert(provider, base_url);
        }
        Ok(sandbox)
    }

    /// Where it serves a kind of provider.
    pub(super) fn base_url(&self, kind: &str) -> Result<&str> {
        let url = self.base_urls.get(kind).map(String::as_str);
        url.with_context(|| format!("the sandbox does not serve {kind}"))
    }

    /// To ask the system about it.
    pub(super) fn process(&self) -> Process {
        Process(self.child.id())
    }
}

impl Drop for SandboxProcess {
    fn drop(&mut self) {
        // It may have ended by itself, with Ctrl-C for instance.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
