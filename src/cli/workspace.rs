//! `weir workspace`: what a workspace has settled, its plan above all.

use crate::cli::BadInput;
use crate::cli::Exit;
use crate::cli::Globals;
use crate::cli::arguments;
use crate::cli::output;
use crate::config::Config;
use crate::domain::Usd;
use crate::domain::WorkspaceId;
use crate::keys::OwnKeyFallback;
use crate::keys::Recharge;
use crate::keys::WorkspacePlan;
use crate::keys::WorkspaceSettings;
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
    #[arg(long, value_name = "USD", value_parser = threshold, allow_negative_numbers = true)]
    low_balance: Option<Usd>,
    /// Ask for money once the balance falls below this; 0 asks no more
    #[arg(long, value_name = "USD", value_parser = threshold, allow_negative_numbers = true)]
    auto_recharge_below: Option<Usd>,
    /// Ask for so much
    #[arg(long, value_name = "USD", value_parser = arguments::positive_usd, allow_negative_numbers = true)]
    auto_recharge_amount: Option<Usd>,
}

/// Runs the action that was asked for.
///
/// # Errors
/// When half of a recharge is missing, or the store cannot be used.
pub async fn run(args: Args, globals: &Globals) -> Result<Exit> {
    let config = globals.load_config()?;
    match args.action {
        Action::Set { named: Named { workspace }, changes } => set(&config, globals, &workspace, &changes).await?,
        Action::Show(Named { workspace }) => {
            let store = globals.open_store(&config).await?;
            let settings = store.workspace(&workspace).await?.unwrap_or_default();
            print(&config, globals, &workspace, &settings)?;
        }
    }
    Ok(Exit::Done)
}

async fn set(config: &Config, globals: &Globals, workspace: &WorkspaceId, changes: &Changes) -> Result<()> {
    let store = globals.make_store(config).await?;
    let settings = store.workspace(workspace).await?.unwrap_or_default();
    let settings = changed(settings, changes)?;
    store.set_workspace(workspace, settings.clone()).await?;
    print(config, globals, workspace, &settings)
}

/// The settings with what was given in place of what was there.
fn changed(settings: WorkspaceSettings, changes: &Changes) -> Result<WorkspaceSettings, BadInput> {
    Ok(WorkspaceSettings {
        plan: changes.plan.unwrap_or(settings.plan),
        own_key_fallback: changes.own_key_fallback.unwrap_or(settings.own_key_fallback),
        low_balance: changes.low_balance.or(settings.low_balance),
        recharge: changed_recharge(settings.recharge, changes.auto_recharge_below, changes.auto_recharge_amount)?,
    })
}

/// A recharge is whole or not at all; either half may change when the other is known.
fn changed_recharge(
    recharge: Option<Recharge>,
    below: Option<Usd>,
    amount: Option<Usd>,
) -> Result<Option<Recharge>, BadInput> {
    if below.is_none() && amount.is_none() {
        return Ok(recharge);
    }
    if below == Some(Usd::ZERO) {
        return Ok(None);
    }
    let below = below.or(recharge.map(|recharge| recharge.below));
    let amount = amount.or(recharge.map(|recharge| recharge.amount));
    match (below, amount) {
        (Some(below), Some(amount)) => Ok(Some(Recharge { below, amount })),
        (None, _) => Err(BadInput("--auto-recharge-amount needs --auto-recharge-below: when to ask for it".to_owned())),
        (_, None) => {
            Err(BadInput("--auto-recharge-below needs --auto-recharge-amount: how much to ask for".to_owned()))
        }
    }
}

fn print(config: &Config, globals: &Globals, workspace: &WorkspaceId, settings: &WorkspaceSettings) -> Result<()> {
    if globals.json {
        return Ok(output::line(to_json(workspace, settings))?);
    }
    let WorkspaceSettings { plan, own_key_fallback, low_balance, recharge } = settings;
    let low_balance = match low_balance {
        Some(own) => format!("{own} USD"),
        None => format!("{} USD, as the configuration says", config.live.low_balance),
    };
    let recharge = match recharge {
        Some(Recharge { below, amount }) => format!("{amount} USD, below {below} USD"),
        None => "none".to_owned(),
    };
    Ok(output::lines([
        format!("workspace          {workspace}"),
        format!("plan               {plan}"),
        format!("own key fallback   {own_key_fallback}"),
        format!("low balance        {low_balance}"),
        format!("auto recharge      {recharge}"),
    ])?)
}

fn to_json(workspace: &WorkspaceId, settings: &WorkspaceSettings) -> Value {
    json!({
        "workspace": workspace.as_str(),
        "plan": settings.plan.as_str(),
        "own_key_fallback": settings.own_key_fallback.as_str(),
        "low_balance": settings.low_balance.map(|usd| usd.to_string()),
        "auto_recharge_below": settings.recharge.map(|recharge| recharge.below.to_string()),
        "auto_recharge_amount": settings.recharge.map(|recharge| recharge.amount.to_string()),
    })
}

fn plan(text: &str) -> Result<WorkspacePlan, String> {
    text.parse().map_err(|()| "must be metered or unlimited".to_owned())
}

fn own_key_fallback(text: &str) -> Result<OwnKeyFallback, String> {
    text.parse().map_err(|()| "must be never or house".to_owned())
}

/// An amount that a balance is compared with. Nothing falls below zero, so that means never.
fn threshold(text: &str) -> Result<Usd, String> {
    let amount = text.parse::<Usd>().map_err(|error| error.to_string())?;
    if amount.is_negative() { Err("must not be less than zero".to_owned()) } else { Ok(amount) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;
    use expect_test::expect;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        changes: Changes,
    }

    /// What `weir workspace set acme` makes of settings.
    fn set(settings: WorkspaceSettings, line: &[&str]) -> Result<WorkspaceSettings, BadInput> {
        let line = Line::try_parse_from(["set"].iter().chain(line)).unwrap();
        changed(settings, &line.changes)
    }

    #[test]
    fn only_what_is_given_changes() {
        let mut settings = WorkspaceSettings::new();
        let mut lines = String::new();
        for line in [
            vec![],
            vec!["--plan", "unlimited"],
            vec!["--own-key-fallback", "house", "--low-balance", "2.50"],
            vec!["--auto-recharge-below", "5", "--auto-recharge-amount", "20"],
            vec!["--auto-recharge-amount", "30"],
            vec!["--auto-recharge-below", "0"],
            vec!["--plan", "metered"],
        ] {
            settings = set(settings, &line).unwrap();
            lines += &format!("{}\n", to_json(&WorkspaceId::new("acme"), &settings));
        }
        expect![[r#"
            {"workspace":"acme","plan":"metered","own_key_fallback":"never","low_balance":null,"auto_recharge_below":null,"auto_recharge_amount":null}
            {"workspace":"acme","plan":"unlimited","own_key_fallback":"never","low_balance":null,"auto_recharge_below":null,"auto_recharge_amount":null}
            {"workspace":"acme","plan":"unlimited","own_key_fallback":"house","low_balance":"2.500000000","auto_recharge_below":null,"auto_recharge_amount":null}
            {"workspace":"acme","plan":"unlimited","own_key_fallback":"house","low_balance":"2.500000000","auto_recharge_below":"5.000000000","auto_recharge_amount":"20.000000000"}
            {"workspace":"acme","plan":"unlimited","own_key_fallback":"house","low_balance":"2.500000000","auto_recharge_below":"5.000000000","auto_recharge_amount":"30.000000000"}
            {"workspace":"acme","plan":"unlimited","own_key_fallback":"house","low_balance":"2.500000000","auto_recharge_below":null,"auto_recharge_amount":null}
            {"workspace":"acme","plan":"metered","own_key_fallback":"house","low_balance":"2.500000000","auto_recharge_below":null,"auto_recharge_amount":null}
        "#]]
        .assert_eq(&lines);
    }

    #[test]
    fn half_a_recharge_is_refused() {
        for (option, missing) in
            [("--auto-recharge-below", "--auto-recharge-amount"), ("--auto-recharge-amount", "--auto-recharge-below")]
        {
            let refused = set(WorkspaceSettings::new(), &[option, "5"]).unwrap_err();
            assert!(refused.to_string().starts_with(&format!("{option} needs {missing}")), "{refused}");
        }
    }

    #[test]
    fn words_and_amounts_that_mean_nothing_are_refused() {
        for line in [
            ["--plan", "gold"],
            ["--own-key-fallback", "own"],
            ["--low-balance", "-1"],
            ["--auto-recharge-below", "-0.01"],
            ["--auto-recharge-amount", "0"],
        ] {
            assert!(Line::try_parse_from(["set"].iter().chain(&line)).is_err(), "{line:?}");
        }
    }
}
