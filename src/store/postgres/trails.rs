//! Trails: what has happened to a lead, or to all leads of a slice at once.

use crate::domain::Attempt;
use crate::domain::ConfigVersion;
use crate::domain::Usd;
use crate::jobs::Learned;
use crate::jobs::StoredAttempt;
use crate::ledger::JobKey;
use crate::ledger::LeadNo;
use crate::ledger::LedgerError;
use crate::store::postgres::attempts::IDS;
use crate::store::postgres::attempts::PRODUCT;
use crate::store::postgres::attempts::column;
use crate::store::postgres::attempts::read_attempt;
use crate::store::postgres::attempts::read_learned;
use crate::store::postgres::ledger::all;
use crate::store::postgres::ledger::number;
use deadpool_postgres::GenericClient;
use std::collections::HashMap;
use tokio_postgres::Row;

/// The columns that [`read_attempt`] reads, with [`PRODUCT`] behind them.
const ATTEMPT: &str = "(id & 4095)::int4, run, step, about, key_source, handle, outcome, detail, found, claim, \
     source, charged, duration_ms, unsaid";

/// What has happened to one lead, oldest first.
#[derive(Default)]
pub(super) struct Trail {
    pub(super) attempts: Vec<Attempt>,
    /// What overtaken owners had learned of those that are begun.
    pub(super) learned: Vec<Learned>,
}

/// The trails of a job's leads from `first` to `last`, in one query; a lead without attempts has none.
pub(super) async fn read_trails(
    client: &impl GenericClient,
    job: JobKey,
    first: LeadNo,
    last: LeadNo,
) -> Result<HashMap<LeadNo, Trail>, LedgerError> {
    let sql = format!(
        "SELECT ((id >> 12) & 16777215)::int4, CASE WHEN outcome IS NULL THEN learned END, {ATTEMPT}, {PRODUCT} \
         FROM attempts WHERE id BETWEEN $1 AND $2 ORDER BY id"
    );
    let (first, _) = IDS.ids_of_lead(job, first)?;
    let (_, last) = IDS.ids_of_lead(job, last)?;
    let mut trails: HashMap<LeadNo, Trail> = HashMap::new();
    for row in all(client, &sql, &[&first, &last]).await? {
        let trail = trails.entry(LeadNo(number(&row, 0)?)).or_default();
        let attempt = read_attempt(&row, 2)?;
        if let Some(text) = column::<Option<&str>>(&row, 1)? {
            let (end, owed) = read_learned(text)?;
            trail.learned.push(Learned { n: attempt.n, end, owed });
        }
        trail.attempts.push(attempt);
    }
    Ok(trails)
}

/// All attempts of a lead with what only the store knows of them, oldest first.
pub(super) async fn stored_trail(
    client: &impl GenericClient,
    job: JobKey,
    lead: LeadNo,
) -> Result<Vec<StoredAttempt>, LedgerError> {
    let sql = format!(
        "SELECT {ATTEMPT}, {PRODUCT}, began_at, config, CASE WHEN hold IS NOT NULL THEN amount END \
         FROM attempts WHERE id BETWEEN $1 AND $2 ORDER BY id"
    );
    let (first, last) = IDS.ids_of_lead(job, lead)?;
    let rows = all(client, &sql, &[&first, &last]).await?;
    rows.iter().map(read_stored).collect()
}

fn read_stored(row: &Row) -> Result<StoredAttempt, LedgerError> {
    Ok(StoredAttempt {
        attempt: read_attempt(row, 0)?,
        began_ms: column(row, 15)?,
        config_version: ConfigVersion::new(column::<&str>(row, 16)?),
        held: column::<Option<i64>>(row, 17)?.map(Usd::from_nanos),
    })
}
