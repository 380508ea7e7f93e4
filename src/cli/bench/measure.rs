//! How a figure is taken: loops side by side, and a window in which what they do counts.

use crate::cli::bench::process::Process;
use crate::cli::bench::process::Spent;
use crate::cli::bench::process::Stopwatch;
use crate::cli::bench::process::us_each;
use anyhow::Result;
use hdrhistogram::Histogram;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;
use tokio::runtime::Builder;
use tokio::task::JoinSet;
use tokio::task::spawn_blocking;
use tokio::time::Instant;
use tokio::time::sleep_until;

/// Before anything counts, so that connections are open and caches filled.
const WARM_UP: Duration = Duration::from_secs(1);

/// The longest latency that is told from longer ones: a minute, in microseconds.
const LONGEST_US: u64 = 60_000_000;

/// What was measured in one window, or the median of several.
#[derive(Clone, Copy, Debug)]
pub(super) struct Measured {
    pub(super) operations_per_s: f64,
    /// A request may carry several operations.
    pub(super) requests_per_s: f64,
    /// Latency of a request, in microseconds.
    pub(super) p50_us: f64,
    pub(super) p99_us: f64,
    /// CPU of this process for one operation, in microseconds.
    pub(super) own_us: f64,
    /// CPU of the process beside it for one operation, in microseconds.
    pub(super) beside_us: f64,
}

/// Runs `loops` futures of `start` side by side for `seconds`, on a runtime of one thread: a second
/// thread makes so small requests slower, not faster.
pub(super) async fn measure<F>(
    loops: u32,
    seconds: u32,
    beside: Option<Process>,
    start: impl Fn(Tally) -> F + Send + 'static,
) -> Result<Measured>
where
    F: Future<Output = Result<()>> + Send + 'static,
{
    let on_one_thread = move || {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(run_side_by_side(loops, seconds, beside, start))
    };
    spawn_blocking(on_one_thread).await?
}

async fn run_side_by_side<F>(
    loops: u32,
    seconds: u32,
    beside: Option<Process>,
    start: impl Fn(Tally) -> F,
) -> Result<Measured>
where
    F: Future<Output = Result<()>> + Send + 'static,
{
    let tally = Tally::begin(seconds)?;
    let mut running = JoinSet::new();
    for _ in 0..loops {
        running.spawn(start(tally.clone()));
    }
    sleep_until(tally.opens).await;
    let stopwatch = Stopwatch::start(beside)?;
    sleep_until(tally.closes).await;
    let spent = stopwatch.stop()?;
    while let Some(ended) = running.join_next().await {
        ended??;
    }
    Ok(tally.measured(spent))
}

/// Counts what ends within the window. Shared by all loops of a measurement.
#[derive(Clone)]
pub(super) struct Tally {
    opens: Instant,
    closes: Instant,
    counts: Arc<Mutex<Counts>>,
}

struct Counts {
    operations: u64,
    latencies_us: Histogram<u64>,
}

impl Tally {
    /// A window of `seconds` that opens after the warm-up.
    pub(super) fn begin(seconds: u32) -> Result<Self> {
        let opens = Instant::now() + WARM_UP;
        let closes = opens + Duration::from_secs(u64::from(seconds));
        let counts = Counts { operations: 0, latencies_us: Histogram::new_with_bounds(1, LONGEST_US, 3)? };
        Ok(Self { opens, closes, counts: Arc::new(Mutex::new(counts)) })
    }

    /// Is there time to begin something?
    pub(super) fn goes_on(&self) -> bool {
        Instant::now() < self.closes
    }

    /// A request of so many operations, sent at `sent`, has been answered.
    pub(super) fn answered(&self, sent: Instant, operations: u64) {
        let now = Instant::now();
        if (self.opens..self.closes).contains(&now) {
            let latency = now.saturating_duration_since(sent);
            let mut counts = self.counts();
            counts.operations += operations;
            counts.latencies_us.saturating_record(u64::try_from(latency.as_micros()).unwrap_or(LONGEST_US));
        }
    }

    fn measured(&self, spent: Spent) -> Measured {
        let counts = self.counts();
        let seconds = self.closes.saturating_duration_since(self.opens).as_secs_f64();
        Measured {
            operations_per_s: counts.operations as f64 / seconds,
            requests_per_s: counts.latencies_us.len() as f64 / seconds,
            p50_us: counts.latencies_us.value_at_quantile(0.5) as f64,
            p99_us: counts.latencies_us.value_at_quantile(0.99) as f64,
            own_us: us_each(spent.own, counts.operations),
            beside_us: us_each(spent.beside, counts.operations),
        }
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Measured {
    /// The median of each figure.
    pub(super) fn median(runs: &[Self]) -> Self {
        let of = |figure: fn(&Self) -> f64| median(runs.iter().map(figure));
        Self {
            operations_per_s: of(|run| run.operations_per_s),
            requests_per_s: of(|run| run.requests_per_s),
            p50_us: of(|run| run.p50_us),
            p99_us: of(|run| run.p99_us),
            own_us: of(|run| run.own_us),
            beside_us: of(|run| run.beside_us),
        }
    }
}

/// The middle one; of an even number, the upper of the two.
pub(super) fn median(figures: impl IntoIterator<Item = f64>) -> f64 {
    let mut sorted: Vec<f64> = figures.into_iter().collect();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_slow_run_does_not_move_the_median() {
        assert_eq!(median([100.0, 3.0, 101.0]), 100.0);
        assert_eq!(median([2.0, 1.0]), 2.0);
    }

    #[tokio::test(start_paused = true)]
    async fn only_what_ends_within_the_window_counts() {
        let tally = Tally::begin(2).unwrap();
        tally.answered(Instant::now(), 1);
        let sent = Instant::now();
        tokio::time::advance(WARM_UP + Duration::from_millis(10)).await;
        tally.answered(sent, 4);
        assert!(tally.goes_on());
        tokio::time::advance(Duration::from_secs(2)).await;
        tally.answered(sent, 1);
        assert!(!tally.goes_on());
        let cpu = Duration::from_micros(20);
        let measured = tally.measured(Spent { wall: Duration::ZERO, own: cpu, beside: 2 * cpu });
        assert_eq!((measured.operations_per_s, measured.requests_per_s), (2.0, 0.5));
        assert_eq!((measured.own_us, measured.beside_us), (5.0, 10.0));
    }
}
