//! How what a store answers is told: `granted`, `charged 3; waits`, `refused capped job`, `conflict`.

use weir::domain::Attempt;
use weir::domain::AttemptEnd;
use weir::domain::AttemptState;
use weir::domain::Outcome;
use weir::domain::Usd;
use weir::domain::WorkspaceId;
use weir::jobs::Claimed;
use weir::ledger::Answer;
use weir::ledger::Charged;
use weir::ledger::Committed;
use weir::ledger::Happening;
use weir::ledger::LedgerError;
use weir::ledger::StoredHappening;

pub(super) fn told(answer: &Result<Committed, LedgerError>) -> String {
    match answer {
        Ok(Committed { charged, answer }) => charged.iter().map(told_charge).chain([told_answer(answer)]).collect(),
        Err(LedgerError::Conflict { .. }) => "conflict".to_owned(),
        Err(error) => error.to_string(),
    }
}

/// What the house has lost is told where there is any.
fn told_charge(charged: &Charged) -> String {
    let paid = short(charged.paid);
    if charged.lost.is_positive() {
        return format!("charged {paid}, lost {}; ", short(charged.lost));
    }
    format!("charged {paid}; ")
}

fn told_answer(answer: &Answer) -> String {
    match answer {
        Answer::Done => "done".to_owned(),
        Answer::Granted => "granted".to_owned(),
        Answer::Cached(end) => format!("cached {}", told_outcome(end.outcome)),
        Answer::Refused(outcome) => format!("refused {}", told_outcome(*outcome)),
        Answer::Wait(_) => "waits".to_owned(),
        Answer::AskedElsewhere => "asked elsewhere".to_owned(),
        Answer::Cancelled => "cancelled".to_owned(),
        Answer::Fenced => "fenced".to_owned(),
    }
}

pub(super) fn told_claim(claimed: &Claimed) -> &'static str {
    match claimed {
        Claimed::Taken(_) => "taken",
        Claimed::Leased => "leased",
        Claimed::Closed => "closed",
    }
}

pub(super) fn told_attempt(attempt: &Attempt) -> String {
    let provider = &attempt.step.provider;
    match &attempt.state {
        AttemptState::Begun => format!("{provider}: begun"),
        AttemptState::Submitted(handle) => format!("{provider}: submitted {handle}"),
        AttemptState::Ended(AttemptEnd { outcome, source, cost, .. }) => {
            format!("{provider}: {}, {}, {}", told_outcome(*outcome), source.as_str(), short(*cost))
        }
    }
}

fn told_outcome(outcome: Outcome) -> String {
    let words = [Some(outcome.as_str()), outcome.detail()];
    words.into_iter().flatten().collect::<Vec<_>>().join(" ")
}

/// A job is told by the happening's key, which names it and its run.
pub(super) fn told_happening(stored: &StoredHappening) -> String {
    let kind = stored.what.kind().trim_start_matches("weir.").trim_end_matches(".v1");
    match &stored.what {
        Happening::WalletLow { workspace, balance, threshold } => {
            format!("{kind} {workspace}: {} below {}", short(*balance), short(*threshold))
        }
        Happening::WalletEmpty { workspace, balance, threshold: _ } => {
            format!("{kind} {workspace}: {} left", short(*balance))
        }
        Happening::CampaignDeactivated { workspace, campaign, by: _ }
        | Happening::CampaignActivated { workspace, campaign }
        | Happening::CampaignRefused { workspace, campaign } => format!("{kind} {workspace}: {campaign}"),
        Happening::RechargeRequested { workspace, amount, reference: _ }
        | Happening::RechargeFailed { workspace, amount, reference: _ } => {
            format!("{kind} {workspace}: {}", short(*amount))
        }
        Happening::KeyRejected { workspace, provider, key_source } => {
            let owner = workspace.as_ref().map_or("nobody", WorkspaceId::as_str);
            format!("{kind} {owner}: {} {provider}", key_source.as_str())
        }
        Happening::ProviderOutOfCredits { provider } => format!("{kind} {provider}"),
        Happening::JobCompleted { workspace, .. } => format!("{kind} {workspace}: {}", stored.key),
    }
}

/// Without the zeros at the end.
pub(crate) fn short(amount: Usd) -> String {
    amount.to_decimal().normalize().to_string()
}
