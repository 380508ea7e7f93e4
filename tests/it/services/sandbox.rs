//! The providers' side: a `weir sandbox` process, its record of calls, and its faults.

use crate::services::PRICES;
use crate::services::Tokens;
use crate::services::price_of;
use reqwest::Client;
use rust_decimal::Decimal;
use serde::Deserialize;
use serde_json::Value;
use std::fs;
use std::io::BufRead;
use std::io::BufReader;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;
use tempfile::TempDir;

/// The providers that it plays.
pub(crate) const PLAYED: usize = 9;

/// What it prints first: their addresses, an empty line, as many variables.
pub(crate) const LINES: usize = 2 * PLAYED + 1;

/// A running `weir sandbox`, killed when dropped.
pub(crate) struct Sandbox {
    child: Child,
    folder: TempDir,
    /// The variables it printed, which point a `weir` at it.
    pub(super) variables: Vec<(String, String)>,
}

/// One call, as the sandbox recorded it.
#[derive(Deserialize, Debug)]
pub(crate) struct Call {
    pub(crate) provider: String,
    pub(crate) operation: String,
    /// The last four characters of the key.
    pub(crate) key: String,
    /// Provider, operation and inputs in one number.
    pub(crate) question: String,
    pub(crate) status: u16,
    /// What it billed.
    pub(crate) credits: Decimal,
    /// The model that tokens were billed for; empty where none were.
    #[serde(default)]
    pub(crate) model: String,
    /// The tokens billed, told or not.
    #[serde(default)]
    pub(crate) tokens: Tokens,
}

impl Call {
    /// What it billed in USD, at the configured prices.
    pub(crate) fn cost(&self) -> Decimal {
        if !self.model.is_empty() {
            return price_of(&self.model, self.tokens);
        }
        let price = PRICES.into_iter().find(|(name, _)| *name == self.provider);
        price.map_or(Decimal::ZERO, |(_, price)| self.credits * price.parse::<Decimal>().unwrap())
    }
}

impl Sandbox {
    pub(crate) fn start(args: &[&str]) -> Self {
        let folder = TempDir::new().unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_weir"))
            .args(["sandbox", "--listen", "127.0.0.1:0", "--record", "calls.ndjson"])
            .args(args)
            .env_clear()
            .current_dir(folder.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines().take(LINES).map(Result::unwrap);
        let variables: Vec<_> = lines
            .filter_map(|line| line.split_once('=').map(|(name, url)| (name.to_owned(), url.to_owned())))
            .collect();
        assert_eq!(variables.len(), PLAYED, "{variables:?}");
        Self { child, folder, variables }
    }

    /// Where it plays this provider.
    pub(crate) fn url(&self, provider: &str) -> &str {
        let variable = format!("WEIR__PROVIDERS__{}__BASE_URL", provider.to_uppercase());
        let (_, url) = self.variables.iter().find(|(name, _)| *name == variable).unwrap();
        url
    }

    /// Every call so far. One that was answered is in it.
    pub(crate) fn calls(&self) -> Vec<Call> {
        let text = fs::read_to_string(self.folder.path().join("calls.ndjson")).unwrap();
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        whole.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    pub(crate) fn count_of(&self, provider: &str, operation: &str) -> usize {
        self.calls().iter().filter(|call| call.provider == provider && call.operation == operation).count()
    }

    /// Switches a fault: the body of `POST /_sandbox/faults`.
    pub(crate) async fn fault(&self, order: &Value) {
        let (_, url) = self.variables.first().unwrap();
        let host = url.trim_start_matches("http://").split('/').next().unwrap();
        let client = Client::builder().no_proxy().build().unwrap();
        let answer = client.post(format!("http://{host}/_sandbox/faults")).body(order.to_string()).send().await;
        assert!(answer.unwrap().status().is_success(), "{order}");
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        // Of a process that has ended there is nothing to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
