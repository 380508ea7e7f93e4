//! The figures of `weir bench worker`, as lines of JSON or for people.

use crate::cli::Globals;
use crate::cli::bench::measure::median;
use crate::cli::bench::worker::case::Case;
use crate::cli::bench::worker::floor::FloorRan;
use crate::cli::bench::worker::throughput::Ran;
use crate::cli::output;
use crate::cli::output::OutputError;
use serde_json::Value;
use serde_json::json;

const KIB_PER_MB: f64 = 1024.0;

/// A case, its runs, and those of its floor, if that was measured.
pub(super) struct Measured {
    pub(super) case: Case,
    pub(super) weir: Vec<Ran>,
    pub(super) floor: Vec<FloorRan>,
}

/// The medians of some runs.
struct Figures {
    leads_per_s: f64,
    whole_per_s: Option<f64>,
    own_us: f64,
    sandbox_us: Option<f64>,
    peak_mb: f64,
}

impl Measured {
    pub(super) const fn new(case: Case) -> Self {
        Self { case, weir: Vec::new(), floor: Vec::new() }
    }

    /// What tells it from the others.
    pub(super) fn name(&self) -> String {
        let Case { workspaces, workers, .. } = self.case;
        format!("{workers} worker{}, {workspaces} workspace{}", plural(workers), plural(workspaces))
    }

    fn weir(&self) -> Figures {
        let of = |figure: fn(&Ran) -> f64| median(self.weir.iter().map(figure));
        Figures {
            leads_per_s: of(|run| run.leads_per_s),
            whole_per_s: Some(of(|run| run.whole_per_s)),
            own_us: of(|run| run.workers_us),
            sandbox_us: Some(of(|run| run.sandbox_us)),
            peak_mb: of(|run| run.peak_kib as f64 / KIB_PER_MB),
        }
    }

    /// `None` when it was not measured.
    fn floor(&self) -> Option<Figures> {
        let of = |figure: fn(&FloorRan) -> f64| median(self.floor.iter().map(figure));
        (!self.floor.is_empty()).then(|| Figures {
            leads_per_s: of(|run| run.per_s),
            whole_per_s: None,
            own_us: of(|run| run.us_self),
            sandbox_us: None,
            peak_mb: of(|run| run.peak_rss_mb as f64),
        })
    }

    /// Of neighbours in time: rate to the floor's rate, and CPU of a lead to the floor's.
    fn to_floor(&self) -> Option<(f64, f64)> {
        let pairs = || self.weir.iter().zip(&self.floor);
        (!self.floor.is_empty()).then(|| {
            let rate = median(pairs().map(|(weir, floor)| weir.leads_per_s / floor.per_s));
            (rate, median(pairs().map(|(weir, floor)| weir.workers_us / floor.us_self)))
        })
    }

    /// The rate to that of the `first` case in the same turns.
    fn to_first(&self, first: &Self) -> f64 {
        median(self.weir.iter().zip(&first.weir).map(|(ours, theirs)| ours.leads_per_s / theirs.leads_per_s))
    }
}

const fn plural(count: u32) -> &'static str {
    if count == 1 { "" } else { "s" }
}

/// Prints what was measured; cases are compared with the first of them.
pub(super) fn print(all: &[Measured], globals: &Globals) -> Result<(), OutputError> {
    if globals.json { output::lines(all.iter().flat_map(|measured| lines(measured, all.first()))) } else { table(all) }
}

/// A line for weir, one for the floor, and one for how they compare.
fn lines(measured: &Measured, first: Option<&Measured>) -> Vec<Value> {
    let floor = measured.floor().map(|floor| line("floor", measured, &floor));
    let to_floor = measured.to_floor();
    let ratio = json!({
        "bench": "worker",
        "part": "ratio",
        "workspaces": measured.case.workspaces,
        "workers": measured.case.workers,
        "weir_to_floor": to_floor.map(|(rate, _)| rate),
        "us_weir_to_floor": to_floor.map(|(_, cpu)| cpu),
        "to_first": first.map(|first| measured.to_first(first)),
    });
    [line("weir", measured, &measured.weir())].into_iter().chain(floor).chain([ratio]).collect()
}

fn line(part: &str, measured: &Measured, figures: &Figures) -> Value {
    let case = &measured.case;
    let tenth = |figure: f64| (figure * 10.0).round() / 10.0;
    json!({
        "bench": "worker",
        "part": part,
        "leads": case.leads(),
        "latency_ms": case.latency_ms,
        "in_flight": case.in_flight,
        "workspaces": case.workspaces,
        "workers": if part == "floor" { 1 } else { case.workers },
        "runs": measured.weir.len(),
        "leads_per_s": figures.leads_per_s.round(),
        "whole_per_s": figures.whole_per_s.map(f64::round),
        "us_self": tenth(figures.own_us),
        "us_sandbox": figures.sandbox_us.map(tenth),
        "peak_mb": figures.peak_mb.round(),
        "exact": true,
    })
}

fn table(all: &[Measured]) -> Result<(), OutputError> {
    let header = ["", "leads/s", "from the start", "CPU us a lead", "sandbox's CPU us", "MB"];
    let rows = all.iter().flat_map(|measured| {
        let floor = measured.floor().map(|floor| row("its floor".to_owned(), &floor));
        [row(measured.name(), &measured.weir())].into_iter().chain(floor)
    });
    output::table(header, rows)?;
    let mut notes =
        vec!["leads/s: once the first tenth is done; from the start: the coming in of the jobs too".to_owned()];
    for measured in all {
        let name = measured.name();
        if let Some((rate, cpu)) = measured.to_floor() {
            notes.push(format!("{name}: {rate:.2} of its floor's leads/s, with {cpu:.2} of its CPU a lead"));
        }
        if let Some(first) = all.first().filter(|first| first.case != measured.case) {
            notes.push(format!("{name}: {:.2} of the leads/s of {}", measured.to_first(first), first.name()));
        }
    }
    notes.push("every run was exact".to_owned());
    output::lines(notes)
}

fn row(name: String, figures: &Figures) -> [String; 6] {
    let or_none = |figure: Option<f64>| figure.map_or_else(String::new, |figure| format!("{figure:.0}"));
    [
        name,
        format!("{:.0}", figures.leads_per_s),
        or_none(figures.whole_per_s),
        format!("{:.0}", figures.own_us),
        or_none(figures.sandbox_us),
        format!("{:.0}", figures.peak_mb),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    fn measured(workers: u32, rates: [f64; 3]) -> Measured {
        let case = Case { leads_each: 20_000, workspaces: 1, workers, latency_ms: 0, in_flight: 512 };
        let ran = |leads_per_s| Ran {
            leads_per_s,
            whole_per_s: 900.0,
            workers_us: 150.0,
            sandbox_us: 20.0,
            peak_kib: 81_920,
        };
        Measured { weir: rates.map(ran).to_vec(), ..Measured::new(case) }
    }

    fn floor(per_s: u32) -> FloorRan {
        serde_json::from_value(json!({"per_s": per_s, "us_self": 100.0, "peak_rss_mb": 70, "exact": true})).unwrap()
    }

    #[test]
    fn weir_stands_beside_its_floor_and_beside_the_first_case() {
        let one =
            Measured { floor: [2_000, 2_000, 4_000].map(floor).to_vec(), ..measured(1, [1_000.0, 1_400.0, 2_000.0]) };
        let two = measured(2, [1_500.0, 2_100.0, 1_000.0]);
        let told = lines(&one, Some(&one)).into_iter().chain(lines(&two, Some(&one)));
        let told: Vec<String> = told.map(|line| line.to_string()).collect();
        expect![[r#"
            {"bench":"worker","part":"weir","leads":20000,"latency_ms":0,"in_flight":512,"workspaces":1,"workers":1,"runs":3,"leads_per_s":1400.0,"whole_per_s":900.0,"us_self":150.0,"us_sandbox":20.0,"peak_mb":80.0,"exact":true}
            {"bench":"worker","part":"floor","leads":20000,"latency_ms":0,"in_flight":512,"workspaces":1,"workers":1,"runs":3,"leads_per_s":2000.0,"whole_per_s":null,"us_self":100.0,"us_sandbox":null,"peak_mb":70.0,"exact":true}
            {"bench":"worker","part":"ratio","workspaces":1,"workers":1,"weir_to_floor":0.5,"us_weir_to_floor":1.5,"to_first":1.0}
            {"bench":"worker","part":"weir","leads":20000,"latency_ms":0,"in_flight":512,"workspaces":1,"workers":2,"runs":3,"leads_per_s":1500.0,"whole_per_s":900.0,"us_self":150.0,"us_sandbox":20.0,"peak_mb":80.0,"exact":true}
            {"bench":"worker","part":"ratio","workspaces":1,"workers":2,"weir_to_floor":null,"us_weir_to_floor":null,"to_first":1.5}"#]]
        .assert_eq(&told.join("\n"));
    }
}
