//! The table at the end.

use crate::cli::output;
use crate::domain::Status;
use crate::domain::Usd;
use crate::jobs::Progress;
use crate::ledger::Balance;
use crate::worker::Totals;
use rust_decimal::Decimal;

/// What this run of the command has spent.
pub(super) fn spend(totals: &Totals) -> Usd {
    totals.by_step.values().fold(Usd::ZERO, |sum, step| sum.saturating_add(step.spend))
}

/// Leads by status, calls and spend by step, cost per verified address, balance left.
pub(super) fn text(progress: &Progress, totals: &Totals, balance: Option<Balance>) -> String {
    let mut parts = Vec::new();
    let statuses = progress.by_status.iter().map(|(status, count)| [status.to_string(), count.to_string()]);
    parts.push(output::table_text(["leads", ""], statuses));
    let reasons = progress.by_reason.iter().map(|(reason, count)| [reason.to_string(), count.to_string()]);
    parts.push(output::table_text(["reasons", ""], reasons));
    if !totals.by_step.is_empty() {
        let steps = totals.by_step.iter().map(|(step, of_step)| {
            [step.to_string(), of_step.called.to_string(), of_step.cached.to_string(), of_step.spend.to_string()]
        });
        parts.push(output::table_text(["step", "calls", "from cache", "USD"], steps));
    }
    parts.extend(last_lines(progress, totals, balance));
    parts.join("\n")
}

fn last_lines(progress: &Progress, totals: &Totals, balance: Option<Balance>) -> Vec<String> {
    let cost = progress.cost.unwrap_or(Usd::ZERO);
    let verified = progress.by_status.iter().find(|(status, _)| *status == Status::Verified).map_or(0, |(_, n)| *n);
    let mut lines = vec![format!("spent {} USD now, {cost} USD on this job in all", spend(totals))];
    if let Some(each) = cost.to_decimal().checked_div(Decimal::from(verified)) {
        lines.push(format!("{:.4} USD for each of {verified} verified addresses", each));
    }
    if let Some(balance) = balance {
        lines.push(format!("{} USD left in the wallet", balance.balance));
        if balance.held.is_positive() {
            lines.push(format!("{} USD of it held for calls whose answer is not known yet", balance.held));
        }
    }
    if totals.repeated > 0 {
        lines.push(format!("{} calls made again, because an earlier run died before their answer", totals.repeated));
    }
    for (provider, loss) in &totals.possible_loss {
        lines.push(format!("{provider}: calls whose answer was lost may have cost the house up to {loss} USD"));
    }
    lines
}
