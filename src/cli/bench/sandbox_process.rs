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
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

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

/// What it says of one operation at one provider.
#[derive(Deserialize)]
struct Count {
    calls: u64,
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

    /// How many calls have arrived, of every kind.
    pub(super) async fn calls(&self) -> Result<u64> {
        let url = self.base_urls.values().next().context("the sandbox serves nobody")?;
        let host = url.trim_start_matches("http://").split('/').next().unwrap_or_default();
        let mut stream = TcpStream::connect(host).await?;
        let request = format!("GET /_sandbox/counts HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        let (_, body) = answer.split_once("\r\n\r\n").context("the sandbox's counts cannot be understood")?;
        sum_of_calls(body)
    }

    /// To ask the system about it.
    pub(super) fn process(&self) -> Process {
        Process(self.child.id())
    }
}

fn sum_of_calls(counts: &str) -> Result<u64> {
    let counts: BTreeMap<String, BTreeMap<String, Count>> = serde_json::from_str(counts)?;
    Ok(counts.values().flat_map(BTreeMap::values).map(|count| count.calls).sum())
}

impl Drop for SandboxProcess {
    fn drop(&mut self) {
        // It may have ended by itself, with Ctrl-C for instance.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox;
    use crate::sandbox::Counts;

    #[test]
    fn the_sandboxs_counts_are_read_as_it_writes_them() {
        let of = |operation: &'static str, calls: u64| {
            BTreeMap::from([(operation, sandbox::Count { calls, ..sandbox::Count::default() })])
        };
        let counts = [("leadmagic", of("find_email", 3)), ("zerobounce", of("verify_email", 2))];
        let told = serde_json::to_string(&Counts(BTreeMap::from(counts))).unwrap();
        assert_eq!(sum_of_calls(&told).unwrap(), 5);
    }
}
