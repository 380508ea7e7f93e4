//! Happenings of the group commit, as the columns of their table.

use crate::domain::WorkspaceId;
use crate::ledger::Happening;
use crate::store::postgres::ledger::int;
use crate::store::settling::failing_key;

/// A happening's columns, besides its kind and key.
#[derive(Default)]
pub(super) struct Told<'a> {
    /// The failing key that it tells of.
    pub(super) failing: Option<String>,
    pub(super) workspace: Option<&'a str>,
    pub(super) job: Option<i64>,
    pub(super) run: Option<i32>,
    pub(super) campaign: Option<&'a str>,
    pub(super) provider: Option<&'a str>,
    pub(super) key_source: Option<&'a str>,
    pub(super) balance: Option<i64>,
    pub(super) threshold: Option<i64>,
    pub(super) amount: Option<i64>,
    pub(super) reference: Option<&'a str>,
}

pub(super) fn tell(what: &Happening) -> Told<'_> {
    let told = Told::default();
    match what {
        Happening::WalletLow { workspace, balance, threshold }
        | Happening::WalletEmpty { workspace, balance, threshold } => Told {
            workspace: Some(workspace.as_str()),
            balance: Some(balance.nanos()),
            threshold: Some(threshold.nanos()),
            ..told
        },
        Happening::CampaignDeactivated { workspace, campaign, by } => {
            Told { workspace: Some(workspace.as_str()), campaign: Some(campaign), reference: Some(by.as_str()), ..told }
        }
        Happening::CampaignActivated { workspace, campaign } | Happening::CampaignRefused { workspace, campaign } => {
            Told { workspace: Some(workspace.as_str()), campaign: Some(campaign), ..told }
        }
        Happening::RechargeRequested { workspace, amount, reference }
        | Happening::RechargeFailed { workspace, amount, reference } => Told {
            workspace: Some(workspace.as_str()),
            amount: Some(amount.nanos()),
            reference: Some(reference),
            ..told
        },
        Happening::KeyRejected { workspace, provider, key_source } => Told {
            failing: Some(failing_key(workspace.as_ref(), provider, what.kind())),
            workspace: workspace.as_ref().map(WorkspaceId::as_str),
            provider: Some(provider.as_str()),
            key_source: Some(key_source.as_str()),
            ..told
        },
        Happening::ProviderOutOfCredits { provider } => {
            Told { failing: Some(failing_key(None, provider, what.kind())), provider: Some(provider.as_str()), ..told }
        }
        Happening::JobCompleted { workspace, job, run } => {
            Told { workspace: Some(workspace.as_str()), job: Some(job.0), run: Some(int(run.get())), ..told }
        }
    }
}
