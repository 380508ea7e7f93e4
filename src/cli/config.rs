//! `weir config`: check the configuration, or show what is in force.

use crate::cli::Exit;
use crate::cli::Globals;
use crate::cli::output;
use crate::clock::timestamp;
use crate::config::Config;
use crate::config::Environment;
use crate::config::prepare_inline;
use crate::config::show;
use crate::config::show_json;
use crate::roster::WorkerRow;
use crate::store::OpenError;
use crate::store::Store;
use anyhow::Result;
use serde_json::Value;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;

/// A worker that was heard of within this is alive: it says so every second.
const ALIVE_FOR: Duration = Duration::from_secs(15);

/// What `weir config` takes.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(clap::Subcommand, Debug)]
enum Action {
    /// Say whether the configuration is sound; every mistake is named, and the exit code is then 2
    Check,
    /// Show every key in force and the version, secrets as ***; and, where there is a store, what each worker has
    Show,
}

/// Checks or shows the configuration.
///
/// # Errors
/// Every mistake in it.
pub async fn run(args: &Args, globals: &Globals) -> Result<Exit> {
    let config = globals.load_config()?;
    match (&args.action, globals.json) {
        (Action::Check, false) => print_check(&config)?,
        (Action::Check, true) => output::line(json!({
            "ok": true,
            "version": config.live.version.as_str(),
            "origin": config.origin.to_string(),
            "warnings": config.warnings,
        }))?,
        (Action::Show, _) => match existing_store(globals, &config).await {
            Some(store) => {
                let config = over_files(config, store.stored_config().await?.text);
                print_shown(&config, Some(&store.workers(ALIVE_FOR).await?), globals)?;
            }
            None => print_shown(&config, None, globals)?,
        },
    }
    Ok(Exit::Done)
}

fn print_check(config: &Config) -> Result<()> {
    output::line(format!("ok: version {}, from {}", config.live.version, config.origin))?;
    Ok(output::lines(config.warnings.iter().map(|warning| format!("warning: {warning}")))?)
}

/// The workers are comments: what is shown is TOML.
fn print_shown(config: &Config, workers: Option<&[WorkerRow]>, globals: &Globals) -> Result<()> {
    if !globals.json {
        output::line(show(config).trim_end())?;
        return Ok(output::lines(workers.unwrap_or_default().iter().map(worker_line))?);
    }
    let mut shown = show_json(config);
    if let (Value::Object(fields), Some(workers)) = (&mut shown, workers) {
        fields.insert("workers".to_owned(), workers.iter().map(worker_json).collect());
    }
    Ok(output::line(shown)?)
}

/// There need not be one, and one that cannot be asked says nothing against the files.
async fn existing_store(globals: &Globals, config: &Config) -> Option<Arc<dyn Store>> {
    match globals.open_store(config).await {
        Ok(store) => Some(store),
        Err(error) => {
            if !matches!(error.downcast_ref::<OpenError>(), Some(OpenError::Missing(_))) {
                tracing::warn!("the store cannot be asked, so the files alone are shown: {error:#}");
            }
            None
        }
    }
}

/// The configuration as workers have it: an inline one that is stored stands above the files.
fn over_files(config: Config, stored: Option<String>) -> Config {
    let Some(text) = stored else { return config };
    let environment = Environment::of_process();
    let env = |name: &str| environment.get(name);
    match prepare_inline(&text, &config.folder, &env, environment.variables()) {
        Ok(prepared) => config.with_live(prepared),
        Err(mistakes) => {
            tracing::warn!("the stored inline configuration cannot be used here, the files are shown:\n{mistakes}");
            config
        }
    }
}

fn worker_line(row: &WorkerRow) -> String {
    let WorkerRow { worker, config_version, seen_ms } = row;
    format!("# worker {worker}: version {config_version}, seen {}", timestamp(*seen_ms))
}

fn worker_json(row: &WorkerRow) -> Value {
    json!({
        "worker_id": row.worker.as_str(),
        "config_version": row.config_version.as_str(),
        "seen_at": timestamp(row.seen_ms),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Origin;
    use crate::config::load;
    use crate::domain::ConfigVersion;
    use crate::domain::WorkerId;
    use expect_test::expect;

    #[test]
    fn a_worker_is_shown_with_its_version_and_when_it_was_seen() {
        let worker = WorkerId::new("worker-1");
        let row = WorkerRow { worker, config_version: ConfigVersion::new("0123456789ab"), seen_ms: 1_795_255_200_000 };
        expect![[r#"
            # worker worker-1: version 0123456789ab, seen 2026-11-21T10:00:00.000Z
            {"worker_id":"worker-1","config_version":"0123456789ab","seen_at":"2026-11-21T10:00:00.000Z"}
        "#]]
        .assert_eq(&format!("{}\n{}\n", worker_line(&row), worker_json(&row)));
    }

    #[test]
    fn a_stored_configuration_stands_above_the_files_unless_it_has_a_mistake() {
        let files = load(None, &|_| None, &[]).unwrap();
        let origin = |stored: Option<&str>| over_files(files.clone(), stored.map(str::to_owned)).origin;
        assert_eq!(origin(None), files.origin);
        assert_eq!(origin(Some("[wallet]\nlow_balance = \"5.00\"\n")), Origin::Stored);
        assert_eq!(origin(Some("[wallet]\nlow_balance = 5\n")), files.origin);
    }
}
