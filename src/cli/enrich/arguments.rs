//! What `weir enrich` takes.

use crate::cli::arguments::positive_usd;
use crate::cli::list_run::ListArgs;
use crate::domain::Usd;
use std::path::PathBuf;

/// What `weir enrich` takes.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Write the enriched list here; by default NAME.enriched.csv beside FILE, - for standard output
    #[arg(short, long, value_name = "OUT")]
    pub(super) output: Option<PathBuf>,
    /// Use this waterfall of the configuration; by default work_email, else the only one
    #[arg(long, value_name = "NAME")]
    pub(super) waterfall: Option<String>,
    /// Spend at most so much on one lead, instead of what the waterfall says
    #[arg(long, value_name = "USD", value_parser = positive_usd, allow_negative_numbers = true)]
    pub(super) max_per_lead: Option<Usd>,
    #[command(flatten)]
    pub(super) list: ListArgs,
}
