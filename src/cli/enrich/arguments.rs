//! What `weir enrich` takes.

use crate::cli::arguments::positive_usd;
use crate::domain::Usd;
use crate::lists::Format;
use std::path::PathBuf;

/// What `weir enrich` takes.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The list: CSV with a header row, or NDJSON; - for standard input
    pub(super) file: PathBuf,
    /// Write the enriched list here; by default NAME.enriched.csv beside FILE, - for standard output
    #[arg(short, long, value_name = "OUT")]
    pub(super) output: Option<PathBuf>,
    /// Use this waterfall of the configuration; by default work_email, else the only one
    #[arg(long, value_name = "NAME")]
    pub(super) waterfall: Option<String>,
    /// Spend at most so much on this job, over all its runs; with --sandbox 10.00 unless given
    #[arg(long, value_name = "USD", value_parser = positive_usd, allow_negative_numbers = true)]
    pub(super) budget: Option<Usd>,
    /// Spend at most so much on one lead, instead of what the waterfall says
    #[arg(long, value_name = "USD", value_parser = positive_usd, allow_negative_numbers = true)]
    pub(super) max_per_lead: Option<Usd>,
    /// Say what it could cost, and stop: no call, no spend
    #[arg(long)]
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
    match text {
        "csv" => Ok(Format::Csv),
        "ndjson" => Ok(Format::Ndjson),
        _ => Err("must be csv or ndjson".to_owned()),
    }
}
