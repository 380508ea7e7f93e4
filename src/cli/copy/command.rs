//! The command from top to bottom.

use crate::cli::Exit;
use crate::cli::Globals;
use crate::cli::copy::Args;
use crate::cli::copy::brief::brief;
use crate::cli::copy::cost::Prices;
use crate::cli::copy::estimate::estimate;
use crate::cli::copy::identity;
use crate::cli::copy::setup;
use crate::cli::copy::survey::survey;
use crate::cli::list_run::Commission;
use crate::cli::list_run::List;
use crate::cli::list_run::ListRun;
use crate::cli::list_run::budget;
use crate::cli::list_run::live_for;
use crate::jobs::Work;
use crate::lists::Need;
use crate::worker::Overrides;
use crate::worker::Tasks;
use anyhow::Result;
use std::sync::Arc;

/// Has copy written for a list.
///
/// # Errors
/// Bad input before anything is spent; a list that changed, or a store that failed, afterwards.
pub async fn run(args: Args, globals: &Globals) -> Result<Exit> {
    let tasks = Tasks::default();
    let result = copy(&args, globals, &tasks).await;
    tasks.drain().await;
    result
}

async fn copy(args: &Args, globals: &Globals, tasks: &Tasks) -> Result<Exit> {
    let config = globals.load_config()?;
    let brief = brief(args, &config.live)?;
    let list = List::look_through(&args.list, args.output.as_ref(), "copy", Need::Anything)?;
    list.spare(&args.instructions, "the file of instructions")?;
    let live = live_for(&config, &args.list, globals, tasks).await?;

    let routes = setup::routes(&brief, &live, &config, globals).await?;
    setup::check_routes(&routes, &brief, globals)?;
    let budget =
        budget(&args.list, globals, || Ok(estimate(&survey(&list, &Prices::new(&brief, &routes, &live))?, &routes)))?;
    let Some(budget) = budget else { return Ok(Exit::Done) };

    let content = identity::content(&list, &brief);
    let work = Work::Copy(Arc::new(brief));
    let commission = Commission { work, content, live, overrides: Overrides::default(), budget };
    ListRun { args: &args.list, globals, config: &config, tasks }.carry_out(commission, list).await
}
