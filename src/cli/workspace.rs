//! `weir workspace`: what a workspace has settled, its plan above all.

use crate::cli::BadInput;
use crate::cli::Exit;
use crate::cli::Globals;
use crate::cli::arguments;
use crate::cli::globals::Place;
use crate::cli::output;
use crate::cli::recharge;
use crate::cli::recharge::Requests;
use crate::config::Config;
use crate::domain::Usd;
use crate::domain::WorkspaceId;
use crate::keys::OwnKeyFallback;
use crate::keys::WorkspaceChange;
use crate::keys::WorkspacePlan;
use crate::keys::WorkspaceSettings;
use crate::ledger::TermsRefused;
use anyhow::Result;
use serde_json::Value;
use serde_json::json;

/// What `weir workspace` takes.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(clap::Subcommand, Debug)]
enum Action {
    /// Change what is given and nothing else; the store and the workspace are made where there are none
    Set {
        #[command(flatten)]
        named: Named,
        #[command(flatten)]
        changes: Changes,
    },
    /// Show what a workspace has settled
    Show(Named),
}

#[derive(clap::Args, Debug)]
struct Named {
    /// Which workspace
    #[arg(value_name = "WORKSPACE", value_parser = arguments::workspace_id)]
    workspace: WorkspaceId,
}

#[derive(clap::Args, Debug)]
struct Changes {
    /// Whose keys enrichment runs on: the house's, metered, or the workspace's own where it has one
    #[arg(long, value_name = "metered|unlimited", value_parser = plan)]
    plan: Option<WorkspacePlan>,
    /// What an own key that fails gives way to: nothing, or the house's key, which is charged
    #[arg(long, value_name = "never|house", value_parser = own_key_fallback)]
    own_key_fallback: Option<OwnKeyFallback>,
    /// Announce a balance that falls below this, instead of what the configuration says
    #[arg(long, value_name = "USD", value_parser = arguments::threshold, allow_negative_numbers = true)]
    low_balance: Option<Usd>,
    #[command(flatten)]
    recharge: recharge::RechargeArgs,
}

/// Runs the action that was asked for.
///
/// # Errors
/// When nothing is changed, a recharge's settings are not whole or contradict each other, or the store cannot be used.
pub async fn run(args: Args, globals: &Globals) -> Result<Exit> {
    let config = globals.load_config()?;
    match args.action {
        Action::Set { named: Named { workspace }, changes } => set(&config, globals, &workspace, &changes).await?,
        Action::Show(Named { workspace }) => {
            let store = globals.open_store(&config).await?;
            let settings = store.workspace(&workspace).await?.unwrap_or_default();
            let requests = Requests::of(&*store, &workspace).await?;
            print(&config, globals, &workspace, &settings, &requests)?;
        }
    }
    Ok(Exit::Done)
}

async fn set(config: &Config, globals: &Globals, workspace: &WorkspaceId, changes: &Changes) -> Result<()> {
    let change = changes.read()?;
    let is_there = match globals.place(config)? {
        Place::File(path) => path.exists(),
        Place::Database(_) => true,
    };
    refuse_early(&change, is_there).map_err(|refused| changes.recharge.explain(refused))?;
    let store = globals.make_store(config).await?;
    let changed = store.change_workspace(workspace, change).await?;
    let settings = changed.map_err(|refused| changes.recharge.explain(refused))?;
    let requests = Requests::of(&*store, workspace).await?;
    print(config, globals, workspace, &settings, &requests)
}

/// Refuses what no workspace can take, before a store is made for it. Half of a recharge is for a store that is there
/// to say: it may know the other half.
fn refuse_early(change: &WorkspaceChange, is_there: bool) -> Result<(), TermsRefused> {
    match change.apply(WorkspaceSettings::new()) {
        Err(TermsRefused::Incomplete) if is_there => Ok(()),
        Err(refused) => Err(refused),
        Ok(_) => Ok(()),
    }
}

impl Changes {
    /// What they change, which is something.
    fn read(&self) -> Result<WorkspaceChange, BadInput> {
        let Self { plan, own_key_fallback, low_balance, ref recharge } = *self;
        let change = WorkspaceChange { plan, own_key_fallback, low_balance, recharge: recharge.change()? };
        if change == WorkspaceChange::default() {
            let how = "give --plan, --own-key-fallback, --low-balance, --auto-recharge-... or --no-auto-recharge";
            return Err(BadInput(format!("nothing to change: {how}")));
        }
        Ok(change)
    }
}

fn print(
    config: &Config,
    globals: &Globals,
    workspace: &WorkspaceId,
    settings: &WorkspaceSettings,
    requests: &Requests,
) -> Result<()> {
    if globals.json {
        return Ok(output::line(to_json(workspace, settings, requests))?);
    }
    let WorkspaceSettings { plan, own_key_fallback, low_balance, recharge } = settings;
    let low_balance = match low_balance {
        Some(own) => format!("{own} USD"),
        None => format!("{} USD, as the configuration says", config.live.low_balance),
    };
    output::lines([
        format!("workspace          {workspace}"),
        format!("plan               {plan}"),
        format!("own key fallback   {own_key_fallback}"),
        format!("low balance        {low_balance}"),
    ])?;
    Ok(output::lines(recharge::lines(*recharge, requests))?)
}

fn to_json(workspace: &WorkspaceId, settings: &WorkspaceSettings, requests: &Requests) -> Value {
    let mut object = json!({
        "workspace": workspace.as_str(),
        "plan": settings.plan.as_str(),
        "own_key_fallback": settings.own_key_fallback.as_str(),
        "low_balance": settings.low_balance.map(|usd| usd.to_string()),
    });
    if let Value::Object(fields) = &mut object {
        fields.extend(recharge::fields(settings.recharge, requests));
    }
    object
}

fn plan(text: &str) -> Result<WorkspacePlan, String> {
    text.parse().map_err(|()| "must be metered or unlimited".to_owned())
}

fn own_key_fallback(text: &str) -> Result<OwnKeyFallback, String> {
    text.parse().map_err(|()| "must be never or house".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::load;
    use clap::Parser;
    use expect_test::expect;
    use std::path::Path;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        changes: Changes,
    }

    fn changes(line: &[&str]) -> Changes {
        Line::try_parse_from(["set"].iter().chain(line)).unwrap().changes
    }

    #[test]
    fn only_what_is_given_changes() {
        let mut settings = WorkspaceSettings::new();
        let mut lines = String::new();
        for line in [
            vec!["--plan", "unlimited"],
            vec!["--own-key-fallback", "house", "--low-balance", "2.50"],
            vec!["--auto-recharge-below", "5", "--auto-recharge-amount", "20"],
            vec!["--auto-recharge-amount", "30"],
            vec!["--no-auto-recharge"],
            vec!["--plan", "metered"],
        ] {
            settings = changes(&line).read().unwrap().apply(settings).unwrap();
            lines += &format!("{}\n", to_json(&WorkspaceId::new("acme"), &settings, &Requests::default()));
        }
        let lines =
            lines.replace("\"auto_recharge_", "\"").replace("000000000", "").replace("\"workspace\":\"acme\",", "");
        expect![[r#"
            {"plan":"unlimited","own_key_fallback":"never","low_balance":null,"below":null,"amount":null,"cool_off_seconds":null,"per_day":null,"per_month":null,"in_flight":null,"declined":0}
            {"plan":"unlimited","own_key_fallback":"house","low_balance":"2.500000000","below":null,"amount":null,"cool_off_seconds":null,"per_day":null,"per_month":null,"in_flight":null,"declined":0}
            {"plan":"unlimited","own_key_fallback":"house","low_balance":"2.500000000","below":"5.","amount":"20.","cool_off_seconds":60,"per_day":"200.","per_month":"2000.","in_flight":null,"declined":0}
            {"plan":"unlimited","own_key_fallback":"house","low_balance":"2.500000000","below":"5.","amount":"30.","cool_off_seconds":60,"per_day":"300.","per_month":"3000.","in_flight":null,"declined":0}
            {"plan":"unlimited","own_key_fallback":"house","low_balance":"2.500000000","below":null,"amount":null,"cool_off_seconds":null,"per_day":null,"per_month":null,"in_flight":null,"declined":0}
            {"plan":"metered","own_key_fallback":"house","low_balance":"2.500000000","below":null,"amount":null,"cool_off_seconds":null,"per_day":null,"per_month":null,"in_flight":null,"declined":0}
        "#]]
        .assert_eq(&lines);
    }

    #[test]
    fn a_line_that_changes_nothing_is_refused() {
        assert!(changes(&[]).read().unwrap_err().to_string().starts_with("nothing to change: give --plan, "));
        for line in [["--plan", "metered"].as_slice(), &["--low-balance", "0"], &["--no-auto-recharge"]] {
            assert!(changes(line).read().is_ok(), "{line:?}");
        }
    }

    #[tokio::test]
    async fn what_cannot_be_settled_makes_no_store_and_changes_nothing_in_one() {
        let folder = tempfile::tempdir().unwrap();
        let (data, acme) = (folder.path().join("new"), WorkspaceId::new("acme"));
        let globals = Globals { data: Some(data.clone()), ..Globals::default() };
        let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
        let config = load(Some(&shipped), &|_| None, &[]).unwrap();
        let is_refused = async |line: &str| {
            let words: Vec<&str> = line.split(' ').collect();
            set(&config, &globals, &acme, &changes(&words)).await.unwrap_err().is::<BadInput>()
        };
        for line in [
            "--plan unlimited --auto-recharge-below 5",
            "--plan unlimited --auto-recharge-below 0 --auto-recharge-amount 25",
            "--auto-recharge-below 5 --auto-recharge-amount 20 --auto-recharge-per-day 10",
        ] {
            assert!(is_refused(line).await, "{line}");
            assert!(!data.exists(), "{line}");
        }

        set(&config, &globals, &acme, &changes(&["--own-key-fallback", "house"])).await.unwrap();
        assert!(is_refused("--plan unlimited --auto-recharge-below 5").await);
        let store = globals.open_store(&config).await.unwrap();
        let settled = WorkspaceSettings { own_key_fallback: OwnKeyFallback::House, ..WorkspaceSettings::new() };
        assert_eq!(store.workspace(&acme).await.unwrap(), Some(settled));
    }

    #[test]
    fn words_and_amounts_that_mean_nothing_are_refused() {
        for line in [["--plan", "gold"], ["--own-key-fallback", "own"], ["--low-balance", "-1"]] {
            assert!(Line::try_parse_from(["set"].iter().chain(&line)).is_err(), "{line:?}");
        }
    }
}
