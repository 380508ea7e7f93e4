//! The table at the end.

use crate::cli::output;
use crate::domain::Status;
use crate::domain::Usd;
use crate::jobs::Progress;
use crate::jobs::StoredJob;
use crate::jobs::Work;
use crate::ledger::Balance;
use crate::worker::StepTotals;
use crate::worker::Totals;
use rust_decimal::Decimal;
use serde_json::Map;
use serde_json::Value;
use serde_json::json;

/// What this run of the command has spent.
pub(super) fn spend(totals: &Totals) -> Usd {
    totals.by_step.values().fold(Usd::ZERO, |sum, step| sum.saturating_add(step.spend))
}

/// Leads by status, calls and spend by step, cost of each good lead, balance left.
pub(super) fn text(job: &StoredJob, progress: &Progress, totals: &Totals, balance: Option<Balance>) -> String {
    let mut parts = Vec::new();
    let statuses = progress.by_status.iter().map(|(status, count)| [status.to_string(), count.to_string()]);
    parts.push(output::table_text(["leads", ""], statuses));
    let reasons = progress.by_reason.iter().map(|(reason, count)| [reason.to_string(), count.to_string()]);
    parts.push(output::table_text(["reasons", ""], reasons));
    let busy = |of_step: &StepTotals| of_step.called > 0 || of_step.cached > 0;
    if totals.by_step.values().any(busy) {
        let steps = totals.by_step.iter().filter(|(_, of_step)| busy(of_step)).map(|(step, of_step)| {
            [step.to_string(), of_step.called.to_string(), of_step.cached.to_string(), of_step.spend.to_string()]
        });
        parts.push(output::table_text(["step", "calls", "from cache", "USD"], steps));
    }
    parts.extend(last_lines(&job.work, progress, totals, balance));
    parts.join("\n")
}

/// The same for programs, on one line.
pub(super) fn json(job: &StoredJob, progress: &Progress, totals: &Totals, balance: Option<Balance>) -> Value {
    let counted =
        |words: Vec<(String, u64)>| words.into_iter().map(|(word, n)| (word, n.into())).collect::<Map<_, _>>();
    let steps = totals.by_step.iter().map(|(step, of_step)| {
        let StepTotals { called, cached, spend } = of_step;
        json!({ "step": step.to_string(), "calls": called, "cached": cached, "spend": spend.to_string() })
    });
    json!({
        "job_id": job.id.as_str(),
        "leads": progress.leads,
        "done": progress.done,
        "by_status": counted(progress.by_status.iter().map(|(status, n)| (status.to_string(), *n)).collect()),
        "by_reason": counted(progress.by_reason.iter().map(|(reason, n)| (reason.to_string(), *n)).collect()),
        "cost": progress.cost.unwrap_or(Usd::ZERO).to_string(),
        "spent_now": spend(totals).to_string(),
        "steps": steps.collect::<Vec<_>>(),
        "available": balance.map(|balance| balance.available().to_string()),
    })
}

fn last_lines(work: &Work, progress: &Progress, totals: &Totals, balance: Option<Balance>) -> Vec<String> {
    let cost = progress.cost.unwrap_or(Usd::ZERO);
    let (good, called) = match work {
        Work::Enrich(_) => (Status::Verified, "verified addresses"),
        Work::Copy(_) => (Status::Written, "written e-mails"),
    };
    let count = progress.by_status.iter().find(|(status, _)| *status == good).map_or(0, |(_, n)| *n);
    let mut lines = vec![format!("spent {} USD now, {cost} USD on this job in all", spend(totals))];
    if let Some(each) = cost.to_decimal().checked_div(Decimal::from(count)) {
        lines.push(format!("{each:.4} USD for each of {count} {called}"));
    }
    if let Some(balance) = balance {
        lines.push(format!("{} USD left in the wallet", balance.available()));
        if balance.held.is_positive() {
            lines.push(format!("{} USD held for calls whose answer is not recorded yet", balance.held));
        }
    }
    if totals.repeated > 0 {
        lines.push(format!("{} calls made again, because an earlier run died before their answer", totals.repeated));
    }
    for (provider, loss) in &totals.possible_loss {
        lines.push(format!("{provider}: calls that nobody is charged for may have cost the house up to {loss} USD"));
    }
    lines
}
