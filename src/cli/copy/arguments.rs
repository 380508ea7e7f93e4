//! What `weir copy` takes.

use crate::cli::list_run::ListArgs;
use crate::domain::Purpose;
use crate::messages::OUTPUT_TOKENS_LIMIT;
use crate::messages::USUAL_OUTPUT_TOKENS;
use std::path::PathBuf;

/// What `weir copy` takes.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Write the list with its copy here; by default NAME.copy.csv beside FILE, - for standard output
    #[arg(short, long, value_name = "OUT")]
    pub(super) output: Option<PathBuf>,
    /// Let this model of the configuration write
    #[arg(long, value_name = "NAME")]
    pub(super) model: String,
    /// Tell it what this file says, at most 32 KiB; a lead's fields, like {first_name}, are filled in
    #[arg(long, value_name = "FILE")]
    pub(super) instructions: PathBuf,
    /// Read this page first, e.g. https://{domain}/about; may be repeated, up to 10 times
    #[arg(long = "scrape", value_name = "URL-TEMPLATE")]
    pub(super) pages: Vec<String>,
    /// What it is written for; the two are counted apart
    #[arg(long, value_name = "live|warmup", default_value = Purpose::Live.as_str(), value_parser = purpose)]
    pub(super) purpose: Purpose,
    /// Let the model write at most so many tokens for a lead, reasoning included
    #[arg(long, value_name = "N", default_value_t = USUAL_OUTPUT_TOKENS,
          value_parser = clap::value_parser!(u32).range(1..=i64::from(OUTPUT_TOKENS_LIMIT)))]
    pub(super) max_output_tokens: u32,
    #[command(flatten)]
    pub(super) list: ListArgs,
}

fn purpose(text: &str) -> Result<Purpose, String> {
    text.parse().map_err(|()| "must be live or warmup".to_owned())
}
