//! What every command takes that works a list.

use crate::cli::arguments::positive_usd;
use crate::domain::Usd;
use crate::lists::Format;
use std::path::PathBuf;

/// The list, the money for it, and how it is worked.
#[derive(clap::Args, Debug)]
pub(in crate::cli) struct ListArgs {
    /// The list: CSV with a header row, or NDJSON; - for standard input
    pub(super) file: PathBuf,
    /// Spend at most so much on this job, over all its runs; with --sandbox 10.00 unless given
    #[arg(long, value_name = "USD", value_parser = positive_usd, allow_negative_numbers = true)]
    pub(super) budget: Option<Usd>,
    /// Say what it could cost, and stop: no call, no spend, and so no budget
    #[arg(long, conflicts_with = "budget")]
    pub(super) estimate: bool,
    /// Decide and call for so many leads at once
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(super) concurrency: Option<u32>,
    /// Take a lead's field from this column, e.g. company=Firma; may be repeated
    #[arg(long = "map", value_name = "FIELD=COLUMN")]
    pub(super) mapping: Vec<String>,
    /// Read FILE in this form whatever its name
    #[arg(long, value_name = "csv|ndjson", value_parser = format)]
    pub(super) format: Option<Format>,
    /// With --sandbox, keep the rates and caps of the configuration
    #[arg(long)]
    pub(super) keep_limits: bool,
}

fn format(text: &str) -> Result<Format, String> {
    text.parse().map_err(|()| "must be csv or ndjson".to_owned())
}
