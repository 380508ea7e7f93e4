//! `weir campaign`: which campaigns are active, and turning one on or off.

use crate::cli::Exit;
use crate::cli::Globals;
use crate::cli::arguments;
use crate::cli::output;
use crate::domain::CampaignId;
use crate::domain::Usd;
use crate::domain::WorkspaceId;
use crate::jobs::Activation;
use crate::jobs::StoredCampaign;
use crate::store::Store;
use anyhow::Result;
use anyhow::anyhow;
use serde_json::Value;
use serde_json::json;
use uuid::Uuid;

/// What `weir campaign` takes.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(clap::Subcommand, Debug)]
enum Action {
    /// List a workspace's campaigns
    List {
        /// Whose campaigns
        #[arg(value_name = "WORKSPACE", value_parser = arguments::workspace_id)]
        workspace: WorkspaceId,
    },
    /// Activate a campaign, a new one too; refused while the wallet cannot pay
    Activate(Named),
    /// Deactivate a campaign: the platform is told; what runs is not stopped
    Deactivate(Named),
}

#[derive(clap::Args, Debug)]
struct Named {
    /// Whose campaign
    #[arg(value_name = "WORKSPACE", value_parser = arguments::workspace_id)]
    workspace: WorkspaceId,
    /// Which one, as its jobs name it
    #[arg(value_name = "CAMPAIGN", value_parser = arguments::campaign_id)]
    campaign: CampaignId,
}

/// Runs the action that was asked for. What changes is a row of the same commit, which the workers tell.
///
/// # Errors
/// When the wallet cannot pay for a campaign, or the store cannot be used.
pub async fn run(args: Args, globals: &Globals) -> Result<Exit> {
    let config = globals.load_config()?;
    let store = globals.open_store(&config).await?;
    match args.action {
        Action::List { workspace } => list(&*store, globals, &workspace).await?,
        Action::Activate(named) => activate(&*store, globals, &named).await?,
        Action::Deactivate(named) => deactivate(&*store, globals, &named).await?,
    }
    Ok(Exit::Done)
}

async fn list(store: &dyn Store, globals: &Globals, workspace: &WorkspaceId) -> Result<()> {
    let campaigns = store.campaigns(workspace).await?;
    if globals.json {
        return Ok(output::lines(campaigns.iter().map(to_json))?);
    }
    let rows = campaigns.iter().map(|StoredCampaign { id, active, jobs, .. }| {
        let state = if *active { "active" } else { "inactive" };
        [id.to_string(), state.to_owned(), jobs.to_string()]
    });
    Ok(output::table(["campaign", "state", "jobs"], rows)?)
}

async fn activate(store: &dyn Store, globals: &Globals, named: &Named) -> Result<()> {
    let Named { workspace, campaign } = named;
    // Each command is a question of its own, and its answer an event of its own.
    let answer = format!("command-{}", Uuid::now_v7());
    match store.activate_campaign(workspace, campaign, Some(&answer)).await? {
        Activation::Active => print_state(globals, named, true, format!("campaign {campaign} is active")),
        Activation::Refused { balance } => Err(anyhow!(refusal(named, balance))),
    }
}

async fn deactivate(store: &dyn Store, globals: &Globals, named: &Named) -> Result<()> {
    let Named { workspace, campaign } = named;
    let told = if store.deactivate_campaign(workspace, campaign).await? {
        format!("campaign {campaign} is inactive")
    } else {
        format!("campaign {campaign} was not active, nothing was changed")
    };
    print_state(globals, named, false, told)
}

fn print_state(globals: &Globals, named: &Named, active: bool, told: String) -> Result<()> {
    if globals.json {
        let Named { workspace, campaign } = named;
        let object = json!({ "workspace": workspace.as_str(), "campaign": campaign.as_str(), "active": active });
        return Ok(output::line(object)?);
    }
    Ok(output::line(told)?)
}

/// What is missing, and what would help.
fn refusal(named: &Named, balance: Usd) -> String {
    let Named { workspace, campaign } = named;
    let why = if balance.is_positive() {
        "a step could not be paid since the last top-up"
    } else {
        "a campaign needs a balance"
    };
    format!(
        "campaign {campaign} is not activated: the wallet of {workspace} has {balance} USD, and {why}; put money in \
         with `weir wallet topup {workspace} USD --ref REF`, then activate it again"
    )
}

fn to_json(campaign: &StoredCampaign) -> Value {
    json!({
        "workspace": campaign.workspace.as_str(),
        "campaign": campaign.id.as_str(),
        "active": campaign.active,
        "jobs": campaign.jobs,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    fn named() -> Named {
        Named { workspace: WorkspaceId::new("acme"), campaign: CampaignId::new("cmp_1") }
    }

    #[test]
    fn a_refusal_names_the_balance_and_what_would_help() {
        expect![
            "campaign cmp_1 is not activated: the wallet of acme has 0.000000000 USD, and a campaign needs a balance; put money in with `weir wallet topup acme USD --ref REF`, then activate it again"
        ]
        .assert_eq(&refusal(&named(), Usd::ZERO));
        let ran_dry = refusal(&named(), Usd::from_nanos(4_000_000));
        assert!(ran_dry.contains("has 0.004000000 USD, and a step could not be paid since"), "{ran_dry}");
    }

    #[test]
    fn a_campaign_is_one_object() {
        let Named { workspace, campaign } = named();
        let stored = StoredCampaign { workspace, id: campaign, active: true, jobs: 3 };
        expect![[r#"{"workspace":"acme","campaign":"cmp_1","active":true,"jobs":3}"#]]
            .assert_eq(&to_json(&stored).to_string());
    }
}
