//! `weir bench ledger`: holds and settlements through the real ledger, in turn with its floor.

use crate::cli::Globals;
use crate::cli::bench::database;
use crate::cli::bench::floor_postgres;
use crate::cli::bench::floor_wallet;
use crate::cli::bench::load::Load;
use crate::cli::bench::measure::Measured;
use crate::cli::bench::measure::median;
use crate::cli::bench::scratch::scratch;
use crate::cli::bench::visit::APART;
use crate::cli::bench::visit::TOGETHER;
use crate::cli::bench::visit::Turn;
use crate::cli::bench::wallets;
use crate::cli::bench::wallets::Place;
use crate::cli::output;
use crate::cli::output::OutputError;
use anyhow::Result;
use clap::value_parser;
use secrecy::SecretString;
use serde_json::Value;
use serde_json::json;
use std::path::Path;

/// What `weir bench ledger` takes.
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// Measure for so many seconds, after one of warming up
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = value_parser!(u32).range(1..=600))]
    seconds: u32,
    /// Keep so many boundaries under way, at each store
    #[arg(long, value_name = "N", default_value_t = 512, value_parser = value_parser!(u32).range(1..=10_000))]
    in_flight: u32,
    /// Spread them over so many wallets
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = value_parser!(u32).range(1..=10_000))]
    wallets: u32,
    /// Run everything so many times, in turn, and tell the medians
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = value_parser!(u32).range(1..=100))]
    runs: u32,
    /// Measure the shared store, in this PostgreSQL database of the benchmark's own; by default a new file
    #[arg(long, value_name = "URL", value_parser = database::address)]
    store: Option<SecretString>,
    /// Use the wallets through so many stores at once too, as so many workers do
    #[arg(long, value_name = "N", default_value_t = 1, requires = "store",
          value_parser = value_parser!(u32).range(1..=64))]
    stores: u32,
}

/// One way of using the ledger, and what came of it.
struct Way {
    part: &'static str,
    turns: &'static [Turn],
    stores: u32,
    runs: Vec<Measured>,
}

/// The runs of each way.
struct Runs {
    apart: Way,
    together: Way,
    /// Apart through several stores, if that was asked for.
    shared: Option<Way>,
    floor: Vec<Measured>,
}

pub(super) async fn run(args: &Args, globals: &Globals) -> Result<()> {
    // Before anything is measured.
    args.store.as_ref().map(database::reach).transpose()?;
    let mut runs = Runs::new(args.stores);
    for n in 1..=args.runs {
        let directory = scratch(globals)?;
        let floor = measure_floor(directory.path(), args).await?;
        tracing::info!("run {n} of {}: {:.0} operations/s in the floor", args.runs, floor.operations_per_s);
        runs.floor.push(floor);
        for way in runs.ways_mut() {
            let measured = way.measure(directory.path(), args).await?;
            tracing::info!("run {n} of {}: {:.0} operations/s {}", args.runs, measured.operations_per_s, way.part);
            way.runs.push(measured);
        }
    }
    Ok(print(&runs, args, globals)?)
}

async fn measure_floor(directory: &Path, args: &Args) -> Result<Measured> {
    match &args.store {
        None => floor_wallet::run(directory, args.load()).await,
        Some(url) => floor_postgres::run(url, args.load()).await,
    }
}

impl Args {
    const fn load(&self) -> Load {
        Load { seconds: self.seconds, in_flight: self.in_flight, wallets: self.wallets }
    }
}

impl Way {
    const fn new(part: &'static str, turns: &'static [Turn], stores: u32) -> Self {
        Self { part, turns, stores, runs: Vec::new() }
    }

    async fn measure(&self, directory: &Path, args: &Args) -> Result<Measured> {
        let path = directory.join(format!("{}.db", self.part));
        let place = args.store.as_ref().map_or(Place::File(&path), Place::Database);
        wallets::run(place, self.turns, args.load(), self.stores).await
    }
}

impl Runs {
    fn new(stores: u32) -> Self {
        Self {
            apart: Way::new("apart", APART, 1),
            together: Way::new("together", TOGETHER, 1),
            shared: (stores > 1).then(|| Way::new("stores", APART, stores)),
            floor: Vec::new(),
        }
    }

    /// In the order of measuring: what is compared stands side by side.
    fn ways_mut(&mut self) -> impl Iterator<Item = &mut Way> {
        [&mut self.apart].into_iter().chain(&mut self.shared).chain([&mut self.together])
    }

    fn ways(&self) -> impl Iterator<Item = &Way> {
        [&self.apart].into_iter().chain(&self.shared).chain([&self.together])
    }

    /// What is told besides the medians, by its name.
    fn ratios(&self) -> Vec<(&'static str, f64)> {
        let mut ratios = vec![("apart_to_floor", ratio(&self.apart.runs, &self.floor))];
        if let Some(shared) = &self.shared {
            ratios.push(("stores_to_one", ratio(&shared.runs, &self.apart.runs)));
        }
        ratios
    }
}

/// Of neighbours in time: the machine's own drift stays out of it.
fn ratio(of: &[Measured], to: &[Measured]) -> f64 {
    median(of.iter().zip(to).map(|(of, to)| of.operations_per_s / to.operations_per_s))
}

fn print(runs: &Runs, args: &Args, globals: &Globals) -> Result<(), OutputError> {
    let ways = runs.ways().map(|way| (way.part, way.stores, Measured::median(&way.runs)));
    let parts: Vec<_> = ways.chain([("floor", 1, Measured::median(&runs.floor))]).collect();
    let ratios = runs.ratios();
    if globals.json {
        let figures = parts.iter().map(|(part, stores, measured)| figures(part, *stores, measured, args));
        let head = [("bench", json!("ledger")), ("part", json!("ratio"))];
        let told = head.into_iter().chain(ratios.into_iter().map(|(name, ratio)| (name, json!(ratio))));
        return output::lines(figures.chain([told.collect()]));
    }
    let header = ["", "holds+settles/s", "boundaries/s", "p50 ms", "p99 ms", "CPU us each"];
    output::table(header, parts.iter().map(|(part, _, measured)| row(part, measured)))?;
    let mut lines = vec![
        "apart: a boundary for each hold and each settlement, as in the floor".to_owned(),
        "together: a settlement and the lead's next hold in one boundary, as the worker does it".to_owned(),
    ];
    if args.stores > 1 {
        lines.push(format!("stores: apart, through {} stores on the same wallets", args.stores));
    }
    lines.extend(ratios.iter().map(|(name, ratio)| format!("{ratio:.2} {}", name.replace("_to_", " / "))));
    lines.push("every run was exact".to_owned());
    output::lines(lines)
}

fn figures(part: &str, stores: u32, measured: &Measured, args: &Args) -> Value {
    json!({
        "bench": "ledger",
        "part": part,
        "store": if args.store.is_some() { "postgres" } else { "sqlite" },
        "stores": stores,
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
