//! An operator's folder: a configuration, keys in the environment, and `weir` run in it.

use crate::services::Postgres;
use crate::services::RabbitMq;
use crate::services::Sandbox;
use crate::services::models::SERVERS;
use crate::services::models::model_tables;
use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::io::Seek;
use std::io::Write;
use std::path::PathBuf;
use std::process::Command;
use std::process::Stdio;
use tempfile::TempDir;
use tokio::task::spawn_blocking;

/// Every provider that counts credits, with the USD of one.
pub(crate) const PRICES: [(&str, &str); 7] = [
    ("leadmagic", "0.0125"),
    ("prospeo", "0.0198"),
    ("findymail", "0.0198"),
    ("icypeas", "0.019"),
    ("zerobounce", "0.0129"),
    ("millionverifier", "0.0039"),
    ("firecrawl", "0.005"),
];

/// 32 bytes, base64.
const MASTER_KEY: &str = "d2Vpci10ZXN0cy1tYXN0ZXIta2V5LTMyLWJ5dGVzISE=";

/// What a test's configuration says; no rates, and room for as many calls as there are leads.
#[derive(Clone, Copy)]
pub(crate) struct Config<'a> {
    pub(crate) find: &'a [&'a str],
    pub(crate) verify: &'a [&'a str],
    /// More keys of `[worker]`.
    pub(crate) worker: &'a str,
    /// More keys of every provider.
    pub(crate) every_provider: &'a str,
    /// More tables.
    pub(crate) more: &'a str,
}

/// A temporary folder, gone with this value.
pub(crate) struct ConfigFolder {
    root: TempDir,
    environment: BTreeMap<String, String>,
}

/// How a command ended, and what it said.
pub(crate) struct Answer {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Default for Config<'_> {
    /// LeadMagic finds, MillionVerifier verifies.
    fn default() -> Self {
        Self { find: &["leadmagic"], verify: &["millionverifier"], worker: "", every_provider: "", more: "" }
    }
}

impl Config<'_> {
    /// The file. The variables of a sandbox say where the providers are.
    pub(crate) fn text(&self) -> String {
        let Self { find, verify, worker, every_provider, more } = self;
        let mut text = format!("[worker]\n{worker}\n");
        for (name, price) in PRICES {
            text.push_str(&format!(
                "[providers.{name}]\nbase_url = \"http://127.0.0.1:9\"\nhouse_key = \"env:{}\"\ncredit_price = \"{price}\"\n\
                 requests_per_second = 1000000\nreads_per_minute = 1000000\nmax_in_flight = 1000\n{every_provider}\n",
                key_variable(name)
            ));
        }
        text.push_str(&model_tables(every_provider));
        format!("{text}[waterfalls.work_email]\nfind = {find:?}\nverify = {verify:?}\n{more}\n")
    }
}

impl ConfigFolder {
    /// With a key for every provider. All that runs in it shares store, broker and providers.
    pub(crate) fn new(config: Config<'_>, sandbox: &Sandbox, database: &Postgres, broker: &RabbitMq) -> Self {
        let mut folder = Self { root: TempDir::new().unwrap(), environment: BTreeMap::new() };
        folder.set("HOME", &folder.path("").display().to_string());
        folder.environment.extend(env::var("PATH").map(|path| ("PATH".to_owned(), path)));
        let providers = PRICES.into_iter().map(|(name, _)| name).chain(SERVERS);
        folder.environment.extend(providers.map(|name| (key_variable(name), format!("house-key-of-{name}"))));
        folder.environment.extend(sandbox.variables.iter().cloned());
        folder.set("WEIR__STORE__URL", database.url());
        folder.set("WEIR__BROKER__URL", broker.url());
        folder.set("WEIR_MASTER_KEY", MASTER_KEY);
        folder.set("WEIR_LOG_FORMAT", "json");
        folder.write("config/weir.toml", config.text());
        folder
    }

    /// Sets a variable of what is started from now on.
    pub(crate) fn set(&mut self, variable: &str, value: &str) {
        self.environment.insert(variable.to_owned(), value.to_owned());
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    /// `weir` in this folder, not yet started.
    pub(super) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_weir"));
        command.args(args).env_clear().envs(&self.environment).current_dir(self.root.path()).stdin(Stdio::null());
        command
    }

    /// Runs a command to its end.
    pub(crate) async fn weir(&self, args: &[&str]) -> Answer {
        self.weir_on("", args).await
    }

    /// The same, with `input` on its standard input.
    pub(crate) async fn weir_on(&self, input: &str, args: &[&str]) -> Answer {
        let mut stdin = tempfile::tempfile().unwrap();
        stdin.write_all(input.as_bytes()).unwrap();
        stdin.rewind().unwrap();
        let mut command = self.command(args);
        command.stdin(stdin);
        let output = spawn_blocking(move || command.output()).await.unwrap().unwrap();
        let [out, err] = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
        Answer { code: output.status.code(), out, err }
    }
}

impl Answer {
    /// What it printed; it must have succeeded.
    pub(crate) fn done(self) -> String {
        assert_eq!(self.code, Some(0), "{}", self.err);
        self.out
    }
}

/// The variable that holds the house's key.
pub(super) fn key_variable(provider: &str) -> String {
    format!("{}_API_KEY", provider.to_uppercase())
}
