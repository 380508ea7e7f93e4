//! A user's folder: lists, a configuration, keys in the environment, and `weir` run in it.

use crate::enrich::lists::usd;
use crate::enrich::running::Answer;
use crate::enrich::running::Running;
use crate::enrich::sandbox_process::SandboxProcess;
use rust_decimal::Decimal;
use serde_json::Value;
use serde_json::json;
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use tempfile::TempDir;

/// Every provider, with the USD of a credit.
pub(super) const PRICES: [(&str, &str); 6] = [
    ("leadmagic", "0.0125"),
    ("prospeo", "0.0198"),
    ("findymail", "0.0198"),
    ("icypeas", "0.019"),
    ("zerobounce", "0.0129"),
    ("millionverifier", "0.0039"),
];

/// What a test's configuration says; no rates, and room for as many calls as there are leads.
#[derive(Clone, Copy, Default)]
pub(super) struct Config<'a> {
    pub(super) find: &'a [&'a str],
    pub(super) verify: &'a [&'a str],
    /// More keys of `[worker]`.
    pub(super) worker: &'a str,
    /// More keys of every provider.
    pub(super) every_provider: &'a str,
}

/// A temporary folder, gone with this value.
pub(super) struct Folder {
    root: TempDir,
    environment: BTreeMap<String, String>,
}

impl Config<'_> {
    /// The file. Where no sandbox is named, nobody answers.
    pub(super) fn text(&self) -> String {
        let Self { find, verify, worker, every_provider } = self;
        let mut text = format!("[worker]\n{worker}\n");
        for (name, price) in PRICES {
            text.push_str(&format!(
                "[providers.{name}]\nbase_url = \"http://127.0.0.1:9\"\nhouse_key = \"env:{}\"\ncredit_price = \"{price}\"\n\
                 requests_per_second = 1000000\nreads_per_minute = 1000000\nmax_in_flight = 1000\n{every_provider}\n",
                key_variable(name)
            ));
        }
        format!("{text}[waterfalls.work_email]\nfind = {find:?}\nverify = {verify:?}\n")
    }
}

impl Folder {
    /// Without a configuration, with a key for every provider.
    pub(super) fn empty() -> Self {
        let root = TempDir::new().unwrap();
        let mut environment = BTreeMap::from([("HOME".to_owned(), root.path().display().to_string())]);
        environment.extend(std::env::var("PATH").map(|path| ("PATH".to_owned(), path)));
        environment.extend(PRICES.map(|(name, _)| (key_variable(name), format!("house-key-of-{name}"))));
        Self { root, environment }
    }

    /// With this configuration, its providers played by `sandbox`.
    pub(super) fn new(config: Config<'_>, sandbox: &SandboxProcess) -> Self {
        let mut folder = Self::empty();
        folder.environment.extend(sandbox.variables.iter().cloned());
        folder.configure(&config.text());
        folder
    }

    pub(super) fn configure(&self, text: &str) {
        self.write("config/weir.toml", text);
    }

    pub(super) fn set(&mut self, variable: &str, value: &str) {
        self.environment.insert(variable.to_owned(), value.to_owned());
    }

    pub(super) fn unset(&mut self, variable: &str) {
        self.environment.remove(variable);
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    pub(super) fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    /// What a file holds, if it is there.
    pub(super) fn find(&self, name: &str) -> Option<String> {
        fs::read_to_string(self.path(name)).ok()
    }

    pub(super) fn read(&self, name: &str) -> String {
        self.find(name).unwrap()
    }

    /// Every file and folder below.
    pub(super) fn everything(&self) -> BTreeSet<PathBuf> {
        let mut found = BTreeSet::new();
        let mut folders = vec![self.root.path().to_owned()];
        while let Some(folder) = folders.pop() {
            for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
                if path.is_dir() {
                    folders.push(path.clone());
                }
                found.insert(path);
            }
        }
        found
    }

    /// The unfinished lists that a killed run leaves behind, and a running one works on.
    pub(super) fn unfinished(&self) -> Vec<PathBuf> {
        let is_unfinished = |path: &Path| path.file_name().unwrap().to_string_lossy().starts_with(".weir-");
        self.everything().into_iter().filter(|path| is_unfinished(path)).collect()
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_weir"));
        command.args(args).env_clear().envs(&self.environment).current_dir(self.root.path());
        command
    }

    pub(super) fn start(&self, args: &[&str]) -> Running {
        Running::start(&mut self.command(args), b"")
    }

    pub(super) fn run(&self, args: &[&str]) -> Answer {
        self.start(args).finish()
    }

    pub(super) fn run_on(&self, input: &str, args: &[&str]) -> Answer {
        Running::start(&mut self.command(args), input.as_bytes()).finish()
    }

    /// Enriches `leads.csv` to its end with this budget, and takes the enriched list.
    pub(super) fn enrich(&self, budget: &str) -> String {
        self.run(&["enrich", "leads.csv", "--budget", budget]).done();
        self.read("leads.enriched.csv")
    }

    /// The JSON lines of a command that must succeed.
    pub(super) fn json(&self, args: &[&str]) -> Vec<Value> {
        let answer = self.run(&[args, &["--json"]].concat()).done();
        answer.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// The only job there is.
    pub(super) fn job(&self) -> String {
        let jobs = self.json(&["jobs", "list"]);
        assert_eq!(jobs.len(), 1, "{jobs:?}");
        jobs[0]["job_id"].as_str().unwrap().to_owned()
    }

    /// What is in the wallet, held or not.
    pub(super) fn balance(&self) -> Decimal {
        amount(&self.json(&["wallet", "show", "local"])[0]["balance"])
    }

    /// What all jobs have cost, by the ledger; no step of a lead may be in it twice, no balance below zero.
    pub(super) fn spent(&self) -> Decimal {
        let mut paid = BTreeSet::new();
        let mut spent = Decimal::ZERO;
        for entry in self.json(&["wallet", "ledger", "local"]) {
            assert!(!amount(&entry["balance"]).is_sign_negative(), "{entry}");
            if entry["kind"] == "settle" {
                let step = ["job_id", "lead_id", "provider", "operation"].map(|field| entry[field].to_string());
                assert!(paid.insert(step), "charged twice: {entry}");
                spent -= amount(&entry["amount"]);
            }
        }
        spent
    }

    /// Every sum in the store is right, and no money is held: to be asked when no job is running.
    pub(super) fn assert_audit_is_clean(&self) {
        let audit = &self.json(&["wallet", "audit"])[0];
        assert_eq!((&audit["ok"], &audit["open_holds"]), (&json!(true), &json!(0)), "{audit}");
    }
}

/// The variable that holds the house's key.
pub(super) fn key_variable(provider: &str) -> String {
    format!("{}_API_KEY", provider.to_uppercase())
}

fn amount(value: &Value) -> Decimal {
    usd(value.as_str().unwrap())
}
