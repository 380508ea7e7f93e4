//! How far it has come, while it runs: a bar on a terminal, a line every few seconds elsewhere.

use crate::cli::list_run::summary;
use crate::worker::Engine;
use crate::worker::Totals;
use indicatif::ProgressBar;
use indicatif::ProgressDrawTarget;
use indicatif::ProgressStyle;
use std::io::IsTerminal;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

const BAR_EVERY: Duration = Duration::from_millis(200);
const LINE_EVERY: Duration = Duration::from_secs(5);
const TEMPLATE: &str = "{bar:20} {pos}/{len} leads, {eta} left, {wide_msg}";

/// Shows the engine's counters until dropped by whoever waits for the work. `done` leads of `leads`
/// had ended before.
pub(super) async fn show(engine: Arc<Engine>, done: u64, leads: u64) {
    if std::io::stderr().is_terminal() {
        show_bar(&engine, done, leads).await;
    } else {
        let begun = Instant::now();
        loop {
            tokio::time::sleep(LINE_EVERY).await;
            let totals = engine.meter.totals();
            let ended = done.saturating_add(totals.ended).min(leads);
            let left = time_left(begun.elapsed(), totals.ended, leads.saturating_sub(ended));
            tracing::info!("{ended} of {leads} leads, {}{left}", counts(&totals));
        }
    }
}

/// At the pace so far; nothing to say before the first lead has ended.
fn time_left(elapsed: Duration, ended: u64, left: u64) -> String {
    match elapsed.as_secs().saturating_mul(left).checked_div(ended) {
        Some(seconds) => format!(", about {seconds} s left"),
        None => String::new(),
    }
}

async fn show_bar(engine: &Engine, done: u64, leads: u64) {
    let bar = ProgressBar::with_draw_target(Some(leads), ProgressDrawTarget::stderr());
    if let Ok(style) = ProgressStyle::with_template(TEMPLATE) {
        bar.set_style(style);
    }
    bar.set_position(done);
    bar.reset_eta();
    let clear = ClearBar(bar);
    loop {
        let totals = engine.meter.totals();
        clear.0.set_position(done.saturating_add(totals.ended).min(leads));
        clear.0.set_message(counts(&totals));
        tokio::time::sleep(BAR_EVERY).await;
    }
}

/// Leaves the terminal as it was, however the waiting ends.
struct ClearBar(ProgressBar);

impl Drop for ClearBar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

fn counts(totals: &Totals) -> String {
    let by_status: Vec<String> = totals.by_status.iter().map(|(status, count)| format!("{status} {count}")).collect();
    format!("{}, spent {} USD", by_status.join(" "), summary::spend(totals))
}
