//! What a commit caused, as rows: written with it, taken by whoever tells it, deleted when it is told.

use crate::domain::KeySource;
use crate::domain::ProviderName;
use crate::domain::Run;
use crate::domain::Usd;
use crate::domain::WorkspaceId;
use crate::ledger::Happening;
use crate::ledger::JobKey;
use crate::ledger::Later;
use crate::ledger::LedgerError;
use crate::ledger::Outbox;
use crate::ledger::Stopper;
use crate::ledger::StoredHappening;
use crate::store::postgres::PostgresStore;
use crate::store::postgres::attempts::column;
use crate::store::postgres::attempts::word;
use crate::store::postgres::ledger::all;
use crate::store::postgres::ledger::count_all;
use crate::store::postgres::ledger::execute;
use crate::store::postgres::ledger::int;
use crate::store::postgres::ledger::transact;
use crate::store::settling::failing_key;
use deadpool_postgres::Transaction;
use std::time::Duration;
use tokio_postgres::Row;

impl Outbox for PostgresStore {
    fn take_happenings(&self, limit: u32, lease: Duration) -> Later<'_, Vec<StoredHappening>> {
        Box::pin(transact(self, (limit, lease), |transaction, (limit, lease)| {
            Box::pin(take(transaction, *limit, *lease))
        }))
    }

    fn forget_happenings(&self, told: Vec<i64>) -> Later<'_, ()> {
        Box::pin(transact(self, told, |transaction, told| {
            Box::pin(async move {
                execute(transaction, "DELETE FROM happenings WHERE seq = ANY ($1)", &[told]).await.map(drop)
            })
        }))
    }

    fn happenings(&self) -> Later<'_, u64> {
        Box::pin(async move {
            let client = self.client().await?;
            count_all(&client, "SELECT count(*) FROM happenings", &[]).await
        })
    }

    fn key_works(&self, workspace: Option<&WorkspaceId>, provider: Option<&ProviderName>) -> Later<'_, ()> {
        let beginning = match provider {
            Some(provider) => failing_key(workspace, provider, ""),
            None => format!("{}/", workspace.map_or("", WorkspaceId::as_str)),
        };
        Box::pin(transact(self, beginning, |transaction, beginning| Box::pin(forget_failing(transaction, beginning))))
    }
}

/// A duration in the store's milliseconds.
pub(super) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// Forgets the failing keys whose names begin so: their next failure is told again.
pub(super) async fn forget_failing(transaction: &Transaction<'_>, beginning: &str) -> Result<(), LedgerError> {
    execute(transaction, "DELETE FROM failing_keys WHERE starts_with(key, $1)", &[&beginning]).await.map(drop)
}

/// Records a happening; one of the same key is recorded once.
pub(super) async fn insert_happening(
    transaction: &Transaction<'_>,
    key: &str,
    what: &Happening,
) -> Result<(), LedgerError> {
    let sql = "INSERT INTO happenings (kind, key, at, workspace, job, run, campaign, provider, key_source, balance, \
                 threshold, amount, reference) \
               VALUES ($1, $2, now_ms(), $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) ON CONFLICT DO NOTHING";
    let columns = to_columns(what);
    let workspace = columns.workspace.as_ref().map(WorkspaceId::as_str);
    let (job, run) = (columns.job.map(|job| job.0), columns.run.map(|run| int(run.get())));
    let provider = columns.provider.as_ref().map(ProviderName::as_str);
    let key_source = columns.key_source.map(KeySource::as_str);
    let (balance, threshold) = (columns.balance.map(Usd::nanos), columns.threshold.map(Usd::nanos));
    let amount = columns.amount.map(Usd::nanos);
    let kind = what.kind();
    execute(
        transaction,
        sql,
        &[
            &kind,
            &key,
            &workspace,
            &job,
            &run,
            &columns.campaign,
            &provider,
            &key_source,
            &balance,
            &threshold,
            &amount,
            &columns.reference,
        ],
    )
    .await
    .map(drop)
}

async fn take(transaction: &Transaction<'_>, limit: u32, lease: Duration) -> Result<Vec<StoredHappening>, LedgerError> {
    let sql = "WITH next AS (SELECT seq FROM happenings WHERE taken_until <= now_ms() AND kind = ANY ($3) \
                 ORDER BY seq LIMIT $1 FOR UPDATE SKIP LOCKED) \
               UPDATE happenings h SET taken_until = now_ms() + $2 FROM next WHERE h.seq = next.seq \
               RETURNING h.seq, h.kind, h.key, h.at, h.workspace, h.job, h.run, h.campaign, h.provider, \
                 h.key_source, h.balance, h.threshold, h.amount, h.reference";
    let rows = all(transaction, sql, &[&i64::from(limit), &millis(lease), &Happening::KINDS]).await?;
    let mut taken: Vec<StoredHappening> = rows.iter().map(read_happening).collect::<Result<_, _>>()?;
    taken.sort_by_key(|happening| happening.seq);
    Ok(taken)
}

fn read_happening(row: &Row) -> Result<StoredHappening, LedgerError> {
    let text = |at| column::<Option<&str>>(row, at);
    let amount = |at| column::<Option<i64>>(row, at).map(|nanos| nanos.map(Usd::from_nanos));
    let kind: &str = column(row, 1)?;
    let columns = Columns {
        workspace: text(4)?.map(WorkspaceId::new),
        job: column::<Option<i64>>(row, 5)?.map(JobKey),
        run: column::<Option<i32>>(row, 6)?.map(|run| Run::new(run.cast_unsigned())),
        campaign: column(row, 7)?,
        provider: text(8)?.map(ProviderName::new),
        key_source: text(9)?.map(word).transpose()?,
        balance: amount(10)?,
        threshold: amount(11)?,
        amount: amount(12)?,
        reference: column(row, 13)?,
    };
    let unreadable = || LedgerError::Corrupt(format!("a happening of kind {kind} lacks a part"));
    Ok(StoredHappening {
        seq: column(row, 0)?,
        key: column(row, 2)?,
        at_ms: column(row, 3)?,
        what: from_columns(kind, columns).ok_or_else(unreadable)?,
    })
}

/// The columns of a happening, besides its kind.
#[derive(Default)]
struct Columns {
    workspace: Option<WorkspaceId>,
    job: Option<JobKey>,
    run: Option<Run>,
    campaign: Option<String>,
    provider: Option<ProviderName>,
    key_source: Option<KeySource>,
    balance: Option<Usd>,
    threshold: Option<Usd>,
    amount: Option<Usd>,
    reference: Option<String>,
}

fn to_columns(what: &Happening) -> Columns {
    match what.clone() {
        Happening::WalletLow { workspace, balance, threshold }
        | Happening::WalletEmpty { workspace, balance, threshold } => Columns {
            workspace: Some(workspace),
            balance: Some(balance),
            threshold: Some(threshold),
            ..Columns::default()
        },
        Happening::CampaignDeactivated { workspace, campaign, by } => Columns {
            workspace: Some(workspace),
            campaign: Some(campaign),
            reference: Some(by.as_str().to_owned()),
            ..Columns::default()
        },
        Happening::CampaignActivated { workspace, campaign } | Happening::CampaignRefused { workspace, campaign } => {
            Columns { workspace: Some(workspace), campaign: Some(campaign), ..Columns::default() }
        }
        Happening::RechargeRequested { workspace, amount, reference }
        | Happening::RechargeFailed { workspace, amount, reference } => Columns {
            workspace: Some(workspace),
            amount: Some(amount),
            reference: Some(reference),
            ..Columns::default()
        },
        Happening::KeyRejected { workspace, provider, key_source } => {
            Columns { workspace, provider: Some(provider), key_source: Some(key_source), ..Columns::default() }
        }
        Happening::ProviderOutOfCredits { provider } => Columns { provider: Some(provider), ..Columns::default() },
        Happening::JobCompleted { workspace, job, run } => {
            Columns { workspace: Some(workspace), job: Some(job), run: Some(run), ..Columns::default() }
        }
    }
}

/// Reads what [`to_columns`] wrote; the kinds are those of [`Happening::kind`].
fn from_columns(kind: &str, columns: Columns) -> Option<Happening> {
    let Columns { workspace, job, run, campaign, provider, key_source, balance, threshold, amount, reference } =
        columns;
    Some(match kind {
        "weir.wallet_low.v1" => {
            Happening::WalletLow { workspace: workspace?, balance: balance?, threshold: threshold? }
        }
        "weir.wallet_empty.v1" => {
            Happening::WalletEmpty { workspace: workspace?, balance: balance?, threshold: threshold? }
        }
        "weir.campaign_deactivated.v1" => {
            let by = Stopper::parse(reference.as_deref());
            Happening::CampaignDeactivated { workspace: workspace?, campaign: campaign?, by }
        }
        "weir.campaign_activated.v1" => Happening::CampaignActivated { workspace: workspace?, campaign: campaign? },
        "weir.campaign_refused.v1" => Happening::CampaignRefused { workspace: workspace?, campaign: campaign? },
        "weir.recharge_requested.v1" => {
            Happening::RechargeRequested { workspace: workspace?, amount: amount?, reference: reference? }
        }
        "weir.recharge_failed.v1" => {
            Happening::RechargeFailed { workspace: workspace?, amount: amount?, reference: reference? }
        }
        "weir.key_rejected.v1" => Happening::KeyRejected { workspace, provider: provider?, key_source: key_source? },
        "weir.provider_out_of_credits.v1" => Happening::ProviderOutOfCredits { provider: provider? },
        "weir.job_completed.v1" => Happening::JobCompleted { workspace: workspace?, job: job?, run: run? },
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_happening_is_read_as_it_was_written() {
        let workspace = WorkspaceId::new("acme");
        let provider = ProviderName::new("findymail");
        let (balance, threshold) = (Usd::from_nanos(9), Usd::from_nanos(10));
        let key_source = KeySource::House;
        let (campaign, amount, reference) = ("c1".to_owned(), Usd::from_nanos(11), "recharge_1".to_owned());
        let every = [
            Happening::WalletLow { workspace: workspace.clone(), balance, threshold },
            Happening::WalletEmpty { workspace: workspace.clone(), balance, threshold },
            Happening::CampaignDeactivated {
                workspace: workspace.clone(),
                campaign: campaign.clone(),
                by: Stopper::Wallet,
            },
            Happening::CampaignDeactivated {
                workspace: workspace.clone(),
                campaign: campaign.clone(),
                by: Stopper::Command,
            },
            Happening::CampaignActivated { workspace: workspace.clone(), campaign: campaign.clone() },
            Happening::CampaignRefused { workspace: workspace.clone(), campaign },
            Happening::RechargeRequested { workspace: workspace.clone(), amount, reference: reference.clone() },
            Happening::RechargeFailed { workspace: workspace.clone(), amount, reference },
            Happening::KeyRejected { workspace: None, provider: provider.clone(), key_source },
            Happening::KeyRejected {
                workspace: Some(workspace.clone()),
                provider: provider.clone(),
                key_source: KeySource::Own,
            },
            Happening::ProviderOutOfCredits { provider },
            Happening::JobCompleted { workspace, job: JobKey(7), run: Run::new(2) },
        ];
        for kind in Happening::KINDS {
            assert!(every.iter().any(|what| what.kind() == *kind), "{kind} is not tried");
        }
        for what in every {
            assert!(Happening::KINDS.contains(&what.kind()));
            assert_eq!(from_columns(what.kind(), to_columns(&what)), Some(what));
        }
    }

    #[test]
    fn a_happening_that_lacks_a_part_is_none() {
        assert_eq!(from_columns("weir.wallet_low.v1", Columns::default()), None);
        assert_eq!(from_columns("weir.unheard_of.v1", Columns::default()), None);
    }
}
