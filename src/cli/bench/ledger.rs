//! `weir bench ledger`: holds and settlements through the real ledger, in turn with its floor.

use crate::cli::Globals;
use crate::cli::bench::floor_wallet;
use crate::cli::bench::load::Load;
use crate::cli::bench::measure::Measured;
use crate::cli::bench::measure::median;
use crate::cli::bench::scratch::scratch;
use crate::cli::bench::visit::APART;
use crate::cli::bench::visit::TOGETHER;
use crate::cli::bench::wallets;
use crate::cli::output;
use crate::cli::output::OutputError;
use anyhow::Result;
use clap::value_parser;
use serde_json::Value;
use serde_json::json;

/// What `weir bench ledger` takes.
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// Measure for so many seconds, after one of warming up
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = value_parser!(u32).range(1..=600))]
    seconds: u32,
    /// Keep so many boundaries under way
    #[arg(long, value_name = "N", default_value_t = 512, value_parser = value_parser!(u32).range(1..=10_000))]
    in_flight: u32,
    /// Spread them over so many wallets
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = value_parser!(u32).range(1..=10_000))]
    wallets: u32,
    /// Run everything so many times, in turn, and tell the medians
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = value_parser!(u32).range(1..=100))]
    runs: u32,
}

/// The runs of each way.
#[derive(Default)]
struct Runs {
    apart: Vec<Measured>,
    together: Vec<Measured>,
    floor: Vec<Measured>,
}

pub(super) async fn run(args: &Args, globals: &Globals) -> Result<()> {
    let load = Load { seconds: args.seconds, in_flight: args.in_flight, wallets: args.wallets };
    let mut runs = Runs::default();
    for n in 1..=args.runs {
        let directory = scratch(globals)?;
        let path = |name: &str| directory.path().join(name);
        let apart = wallets::run(&path("apart.db"), APART, load).await?;
        let floor = floor_wallet::run(directory.path(), load).await?;
        let together = wallets::run(&path("together.db"), TOGETHER, load).await?;
        tracing::info!(
            "run {n} of {}: {:.0} operations/s apart, {:.0} together, {:.0} in the floor",
            args.runs,
            apart.operations_per_s,
            together.operations_per_s,
            floor.operations_per_s
        );
        runs.apart.push(apart);
        runs.together.push(together);
        runs.floor.push(floor);
    }
    Ok(print(&runs, args, globals)?)
}

impl Runs {
    fn medians(&self) -> [(&'static str, Measured); 3] {
        [
            ("apart", Measured::median(&self.apart)),
            ("together", Measured::median(&self.together)),
            ("floor", Measured::median(&self.floor)),
        ]
    }

    /// Of neighbours in time: the machine's own drift stays out of it.
    fn ratio(&self) -> f64 {
        let pairs = self.apart.iter().zip(&self.floor);
        median(pairs.map(|(apart, floor)| apart.operations_per_s / floor.operations_per_s))
    }
}

fn print(runs: &Runs, args: &Args, globals: &Globals) -> Result<(), OutputError> {
    let medians = runs.medians();
    let ratio = runs.ratio();
    if globals.json {
        let parts = medians.iter().map(|(part, measured)| figures(part, measured, args));
        let ratio = json!({ "bench": "ledger", "part": "ratio", "apart_to_floor": ratio });
        return output::lines(parts.chain([ratio]));
    }
    let header = ["", "holds+settles/s", "boundaries/s", "p50 ms", "p99 ms", "CPU us each"];
    output::table(header, medians.iter().map(|(part, measured)| row(part, measured)))?;
    output::lines([
        "apart: a boundary for each hold and each settlement, as in the floor".to_owned(),
        "together: a settlement and the lead's next hold in one boundary, as the worker does it".to_owned(),
        format!("{ratio:.2} apart / floor; every run was exact"),
    ])
}

fn figures(part: &str, measured: &Measured, args: &Args) -> Value {
    json!({
        "bench": "ledger",
        "part": part,
        "wallets": args.wallets,
        "in_flight": args.in_flight,
        "runs": args.runs,
        "per_s": measured.operations_per_s.round(),
        "boundaries_per_s": measured.requests_per_s.round(),
        "p50_us": (measured.p50_us * 10.0).round() / 10.0,
        "p99_us": (measured.p99_us * 10.0).round() / 10.0,
        "us_self": (measured.own_us * 10.0).round() / 10.0,
        "exact": true,
    })
}

fn row(part: &str, measured: &Measured) -> [String; 6] {
    [
        part.to_owned(),
        format!("{:.0}", measured.operations_per_s),
        format!("{:.0}", measured.requests_per_s),
        format!("{:.1}", measured.p50_us / 1000.0),
        format!("{:.1}", measured.p99_us / 1000.0),
        format!("{:.1}", measured.own_us),
    ]
}
