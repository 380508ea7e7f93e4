//! The command from top to bottom.

use crate::cli::Exit;
use crate::cli::Globals;
use crate::cli::enrich::Args;
use crate::cli::enrich::estimate::estimate;
use crate::cli::enrich::identity;
use crate::cli::enrich::setup;
use crate::cli::list_run::Commission;
use crate::cli::list_run::List;
use crate::cli::list_run::ListRun;
use crate::cli::list_run::budget;
use crate::cli::list_run::live_for;
use crate::http::Gates;
use crate::jobs::Work;
use crate::lists::Need;
use crate::worker::Overrides;
use crate::worker::Routes;
use crate::worker::Tasks;
use anyhow::Result;

/// Enriches a list.
///
/// # Errors
/// Bad input before anything is spent; a list that changed, or a store that failed, afterwards.
pub async fn run(args: Args, globals: &Globals) -> Result<Exit> {
    let tasks = Tasks::default();
    let result = enrich(&args, globals, &tasks).await;
    tasks.drain().await;
    result
}

async fn enrich(args: &Args, globals: &Globals, tasks: &Tasks) -> Result<Exit> {
    let config = globals.load_config()?;
    let waterfall = setup::waterfall(&config.live, args.waterfall.as_deref())?;
    let list = List::look_through(&args.list, args.output.as_ref(), "enriched", Need::Lookup)?;
    let live = live_for(&config, &args.list, globals, tasks).await?;
    let lead_cap = args.max_per_lead.or(waterfall.max_spend_per_lead);

    let routes = Routes::with_house_keys(&live, &waterfall, &Gates::default());
    setup::check_routes(&routes, &waterfall, globals)?;
    let budget = budget(&args.list, globals, || Ok(estimate(&list.scan.counts, &routes, lead_cap)))?;
    let Some(budget) = budget else { return Ok(Exit::Done) };

    let content = identity::content(&list, &routes, &waterfall);
    let overrides = Overrides { lead_cap };
    let commission = Commission { work: Work::Enrich(waterfall.name), content, live, overrides, budget };
    ListRun { args: &args.list, globals, config: &config, tasks }.carry_out(commission, list).await
}
