//! The rows of jobs and leads: intake, endings, results.

use crate::domain::Address;
use crate::domain::CampaignId;
use crate::domain::Ending;
use crate::domain::Fingerprint;
use crate::domain::JobId;
use crate::domain::Lead;
use crate::domain::LeadId;
use crate::domain::ProviderName;
use crate::domain::Reason;
use crate::domain::Run;
use crate::domain::Status;
use crate::domain::Usd;
use crate::domain::WorkspaceId;
use crate::jobs::Held;
use crate::jobs::JobState;
use crate::jobs::LeadResult;
use crate::jobs::Load;
use crate::jobs::LoadError;
use crate::jobs::NewJob;
use crate::jobs::NewLead;
use crate::jobs::Progress;
use crate::jobs::Reply;
use crate::jobs::StoredJob;
use crate::ledger::AccountId;
use crate::ledger::JobKey;
use crate::ledger::LeadNo;
use crate::ledger::LedgerError;
use crate::store::brief::read_work;
use crate::store::brief::write_brief;
use crate::store::postgres::attempts::IDS;
use crate::store::postgres::attempts::column;
use crate::store::postgres::attempts::fingerprint;
use crate::store::postgres::attempts::usd;
use crate::store::postgres::attempts::word;
use crate::store::postgres::error::store_error;
use crate::store::postgres::ledger::all;
use crate::store::postgres::ledger::count;
use crate::store::postgres::ledger::execute;
use crate::store::postgres::ledger::find;
use crate::store::postgres::ledger::int;
use crate::store::postgres::ledger::missing;
use crate::store::postgres::ledger::number;
use deadpool_postgres::GenericClient;
use deadpool_postgres::Transaction;
use std::collections::HashSet;
use std::str::FromStr;
use tokio_postgres::Row;

const JOB: &str = "SELECT id, job_id, workspace, account, waterfall, content, state, run, max_spend, funded, held, \
     leads, slice_size, campaign, reply_to, correlation_id, kind, brief FROM jobs";

fn read_job(row: &Row) -> Result<StoredJob, LedgerError> {
    let (reply_to, correlation_id): (Option<String>, Option<String>) = (column(row, 14)?, column(row, 15)?);
    Ok(StoredJob {
        key: JobKey(column(row, 0)?),
        id: JobId::new(column::<&str>(row, 1)?),
        workspace: WorkspaceId::new(column::<&str>(row, 2)?),
        account: AccountId(column(row, 3)?),
        work: read_work(column(row, 16)?, column(row, 4)?, column(row, 17)?)?,
        content: fingerprint(row, 5)?,
        state: word(column(row, 6)?)?,
        run: Run::new(number(row, 7)?),
        max_spend: column::<Option<i64>>(row, 8)?.map(Usd::from_nanos),
        funded: usd(row, 9)?,
        held: usd(row, 10)?,
        leads: count(row, 11)?,
        slice_size: number(row, 12)?,
        campaign: column::<Option<&str>>(row, 13)?.map(CampaignId::new),
        reply: reply_to.map(|to| Reply { to, correlation_id }),
    })
}

pub(super) async fn find_job(client: &impl GenericClient, id: &JobId) -> Result<Option<StoredJob>, LedgerError> {
    let row = find(client, &format!("{JOB} WHERE job_id = $1"), &[&id.as_str()]).await?;
    row.as_ref().map(read_job).transpose()
}

pub(super) async fn find_row(client: &impl GenericClient, job: JobKey) -> Result<Option<StoredJob>, LedgerError> {
    let row = find(client, &format!("{JOB} WHERE id = $1"), &[&job.0]).await?;
    row.as_ref().map(read_job).transpose()
}

pub(super) async fn list_jobs(client: &impl GenericClient) -> Result<Vec<StoredJob>, LedgerError> {
    let rows = all(client, &format!("{JOB} ORDER BY id"), &[]).await?;
    rows.iter().map(read_job).collect()
}

/// Locks a job until the transaction ends; slices and leads come after it.
pub(super) async fn find_locked(transaction: &Transaction<'_>, job: JobKey) -> Result<Option<StoredJob>, LedgerError> {
    let row = find(transaction, &format!("{JOB} WHERE id = $1 FOR NO KEY UPDATE"), &[&job.0]).await?;
    row.as_ref().map(read_job).transpose()
}

/// The same of a job that must be there.
pub(super) async fn lock_job(transaction: &Transaction<'_>, job: JobKey) -> Result<StoredJob, LedgerError> {
    find_locked(transaction, job).await?.ok_or_else(|| missing("a job"))
}

/// Inserts a job in state `loading`; `false` when there is one of that id.
pub(super) async fn insert_job(
    transaction: &Transaction<'_>,
    job: &NewJob,
    account: AccountId,
) -> Result<bool, LedgerError> {
    // A number that an insert in vain would use up is missed one day: an attempt's id has 27 bits for it.
    let sql = "INSERT INTO jobs (job_id, workspace, account, kind, state, waterfall, campaign, content, max_spend, \
                 slice_size, auto_resume, reply_to, correlation_id, brief, created_at, updated_at) \
               SELECT $1::text, $2::text, $3::int8, $12::text, 'loading', $4::text, $5::text, $6::bytea, $7::int8, \
                 $8::int4, $9::bool, $10::text, $11::text, $13::text, now_ms(), now_ms() \
               WHERE NOT EXISTS (SELECT FROM jobs WHERE job_id = $1) ON CONFLICT DO NOTHING";
    let (id, workspace, name) = (job.id.as_str(), job.workspace.as_str(), job.work.name());
    let (kind, brief) = (job.work.kind(), write_brief(&job.work)?);
    let campaign = job.campaign.as_ref().map(CampaignId::as_str);
    let (content, cap) = (job.content.as_bytes().as_slice(), job.max_spend.map(Usd::nanos));
    let slice_size = int(job.slice_size);
    let reply_to = job.reply.as_ref().map(|reply| reply.to.as_str());
    let correlation_id = job.reply.as_ref().and_then(|reply| reply.correlation_id.as_deref());
    let inserted = execute(
        transaction,
        sql,
        &[
            &id,
            &workspace,
            &account.0,
            &name,
            &campaign,
            &content,
            &cap,
            &slice_size,
            &job.auto_resume,
            &reply_to,
            &correlation_id,
            &kind,
            &brief,
        ],
    )
    .await?;
    Ok(inserted > 0)
}

pub(super) async fn set_state(transaction: &Transaction<'_>, job: JobKey, state: JobState) -> Result<(), LedgerError> {
    let sql = "UPDATE jobs SET state = $2, updated_at = now_ms() WHERE id = $1";
    execute(transaction, sql, &[&job.0, &state.as_str()]).await.map(drop)
}

/// May this load still add leads? Locks the job until the transaction ends.
pub(super) async fn may_load(transaction: &Transaction<'_>, load: Load) -> Result<bool, LedgerError> {
    let sql = "SELECT state = 'loading' AND load_number = $2 FROM jobs WHERE id = $1 FOR NO KEY UPDATE";
    let row = find(transaction, sql, &[&load.job.0, &int(load.number)]).await?;
    row.ok_or_else(|| missing("a job")).and_then(|row| column(&row, 0))
}

/// Stores leads. A lead like an earlier one becomes its copy, counted when the job is sealed, unless each is to be
/// written for; one that cannot be used has ended before it began; one that is there already stays.
pub(super) async fn insert_leads(
    transaction: &Transaction<'_>,
    load: Load,
    leads: &[NewLead],
) -> Result<Result<(), LoadError>, LedgerError> {
    if !may_load(transaction, load).await? {
        return Ok(Err(LoadError::Superseded));
    }
    let most = IDS.most_leads();
    if leads.iter().any(|new| new.n.0 > most) {
        return Ok(Err(LoadError::TooMany { most }));
    }
    // A table that has just grown has no statistics, and without them whole tables are read: hence also
    // look-ups of one row each (`LIMIT 1`) in place of joins.
    let by_index = "SET LOCAL enable_seqscan = off; SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off";
    transaction.batch_execute(by_index).await.map_err(|error| store_error(&error))?;
    if let Some(repeated) = find_repeated(transaction, load.job, leads).await? {
        return Ok(Err(LoadError::RepeatedId(repeated)));
    }
    let sql = "INSERT INTO leads (job, n, lead_id, fields, fingerprint, copy_of, ended, status, reason, ended_at) \
               SELECT $1, p.n, p.lead_id, p.fields, p.fingerprint, p.copy_of, NOT p.usable OR p.copy_of IS NOT NULL, \
                 CASE WHEN NOT p.usable THEN $7 END, CASE WHEN NOT p.usable THEN $8 END, \
                 CASE WHEN NOT p.usable THEN now_ms() END \
               FROM (SELECT t.*, CASE WHEN t.usable AND (SELECT kind = 'enrich' FROM jobs WHERE id = $1) \
                 THEN coalesce(\
                   (SELECT o.n FROM leads o WHERE o.fingerprint = t.fingerprint AND o.job + 0 = $1 \
                      AND o.copy_of IS NULL AND NOT o.ended LIMIT 1), \
                   nullif(first_value(t.n) OVER (PARTITION BY t.usable, t.fingerprint ORDER BY t.n), t.n)) END AS copy_of \
                 FROM unnest($2::int4[], $3::text[], $4::text[], $5::bytea[], $6::bool[]) \
                   AS t (n, lead_id, fields, fingerprint, usable)) p \
               ON CONFLICT (job, n) DO NOTHING";
    let empty = Lead::default();
    let known: Vec<&Lead> = leads.iter().map(|new| new.lead.as_ref().unwrap_or(&empty)).collect();
    let ns: Vec<i32> = leads.iter().map(|new| int(new.n.0)).collect();
    let ids: Vec<&str> = leads.iter().map(|new| new.id.as_str()).collect();
    let fields: Vec<String> = known.iter().copied().map(fields_of).collect();
    let alike: Vec<Fingerprint> = known.iter().copied().map(Lead::fingerprint).collect();
    let alike: Vec<&[u8]> = alike.iter().map(|alike| alike.as_bytes().as_slice()).collect();
    let usable: Vec<bool> = leads.iter().map(|new| new.lead.is_some()).collect();
    let (status, reason) = (Status::Skipped.as_str(), Reason::InvalidInput.as_str());
    execute(transaction, sql, &[&load.job.0, &ns, &ids, &fields, &alike, &usable, &status, &reason]).await?;
    Ok(Ok(()))
}

/// An id that stands in the list twice: among these leads, or here and before.
async fn find_repeated(
    transaction: &Transaction<'_>,
    job: JobKey,
    leads: &[NewLead],
) -> Result<Option<LeadId>, LedgerError> {
    let mut seen = HashSet::with_capacity(leads.len());
    if let Some(repeated) = leads.iter().find(|new| !seen.insert(new.id.as_str())) {
        return Ok(Some(repeated.id.clone()));
    }
    let sql = "SELECT t.lead_id FROM unnest($2::int4[], $3::text[]) AS t (n, lead_id) \
               WHERE (SELECT l.n FROM leads l WHERE l.job = $1 AND l.lead_id = t.lead_id LIMIT 1) <> t.n \
               ORDER BY t.n LIMIT 1";
    let ns: Vec<i32> = leads.iter().map(|new| int(new.n.0)).collect();
    let ids: Vec<&str> = leads.iter().map(|new| new.id.as_str()).collect();
    let Some(row) = find(transaction, sql, &[&job.0, &ns, &ids]).await? else { return Ok(None) };
    Ok(Some(LeadId::new(column::<&str>(&row, 0)?)))
}

/// The lead's fields as a JSON array, in the order of its type.
fn fields_of(lead: &Lead) -> String {
    let email = lead.email.as_ref().map(Address::as_str);
    let texts = [
        lead.first_name.as_deref(),
        lead.last_name.as_deref(),
        lead.full_name.as_deref(),
        lead.company.as_deref(),
        lead.domain.as_deref(),
        lead.linkedin_url.as_deref(),
        email,
    ];
    serde_json::Value::from_iter(texts).to_string()
}

pub(super) fn lead_of(fields: &str) -> Result<Lead, LedgerError> {
    // What the parser says quotes the text.
    let [first_name, last_name, full_name, company, domain, linkedin_url, email] =
        serde_json::from_str::<[Option<String>; 7]>(fields)
            .map_err(|_| LedgerError::Corrupt("a lead cannot be read".to_owned()))?;
    let email = email.and_then(|text| Address::parse(&text));
    Ok(Lead { first_name, last_name, full_name, company, domain, linkedin_url, email })
}

/// Counts a loaded job's leads and copies, and cuts it into slices of its `slice_size`; says how many
/// leads it has.
pub(super) async fn cut(transaction: &Transaction<'_>, job: &StoredJob) -> Result<u64, LedgerError> {
    let sql = "UPDATE leads o SET copies = c.copies FROM (SELECT copy_of, count(*)::int4 AS copies FROM leads \
                 WHERE job = $1 AND copy_of IS NOT NULL GROUP BY copy_of) c WHERE o.job = $1 AND o.n = c.copy_of";
    execute(transaction, sql, &[&job.key.0]).await?;
    let sql = "INSERT INTO slices (job, n, pending) SELECT $1, (n - 1) / $2::int4, count(*) FILTER (WHERE NOT ended) \
               FROM leads WHERE job = $1 GROUP BY 2";
    execute(transaction, sql, &[&job.key.0, &int(job.slice_size)]).await?;
    let sql = "UPDATE jobs SET (leads, done) = (SELECT count(*), count(status) FROM leads WHERE job = $1) \
               WHERE id = $1 RETURNING leads";
    let row = find(transaction, sql, &[&job.key.0]).await?.ok_or_else(|| missing("a job"))?;
    count(&row, 0)
}

pub(super) async fn read_progress(client: &impl GenericClient, job: JobKey) -> Result<Progress, LedgerError> {
    let sql = "SELECT j.leads, j.done, j.spent, l.status, l.reason, coalesce(sum(1 + l.copies), 0)::int8 \
               FROM jobs j LEFT JOIN leads l ON l.job = j.id AND l.copy_of IS NULL AND l.status IS NOT NULL \
               WHERE j.id = $1 GROUP BY j.id, l.status, l.reason";
    let rows = all(client, sql, &[&job.0]).await?;
    let Some(totals) = rows.first() else { return Ok(Progress::default()) };
    let mut groups: Vec<(Status, Reason, u64)> = Vec::with_capacity(rows.len());
    for row in &rows {
        if let Some(status) = column::<Option<&str>>(row, 3)? {
            groups.push((word(status)?, word(column(row, 4)?)?, count(row, 5)?));
        }
    }
    let sum = |matches: &dyn Fn(Status, Reason) -> bool| {
        groups.iter().filter(|(status, reason, _)| matches(*status, *reason)).map(|(_, _, count)| count).sum::<u64>()
    };
    let by_status = Status::ALL.iter().map(|status| (*status, sum(&|s, _| s == *status)));
    let by_reason = Reason::ALL.iter().map(|reason| (*reason, sum(&|_, r| r == *reason)));
    Ok(Progress {
        leads: count(totals, 0)?,
        done: count(totals, 1)?,
        by_status: by_status.filter(|(_, count)| *count > 0).collect(),
        by_reason: by_reason.filter(|(_, count)| *count > 0).collect(),
        cost: Some(usd(totals, 2)?),
    })
}

/// The columns of [`read_result`]; between the two stand the leads.
const RESULT: &str = "SELECT l.n, l.lead_id, o.status, o.reason, o.address, o.verdict, o.found_by, o.verified_by, \
     t.cost, t.called, o.run, l.copy_of, o.ended_at FROM";
const OF: &str = "l JOIN leads o ON o.job = l.job AND o.n = coalesce(l.copy_of, l.n) \
     CROSS JOIN LATERAL (SELECT coalesce(sum(charged), 0)::int8 AS cost, \
         (count(*) FILTER (WHERE source = 'called'))::int4 AS called FROM attempts \
       WHERE id BETWEEN (l.job << 24 | l.n::int8) << 12 AND ((l.job << 24 | l.n::int8) << 12) | 4095) t";

/// Results in order of rows; a copy shows its original's ending, at no cost.
pub(super) async fn read_results(
    client: &impl GenericClient,
    job: JobKey,
    after: LeadNo,
    limit: u32,
) -> Result<Vec<LeadResult>, LedgerError> {
    let sql = format!("{RESULT} (SELECT * FROM leads WHERE job = $1 AND n > $2 ORDER BY n LIMIT $3) {OF} ORDER BY l.n");
    let rows = all(client, &sql, &[&job.0, &int(after.0), &i64::from(limit)]).await?;
    rows.iter().map(read_result).collect()
}

/// The result of a lead that has ended, while its slice is held.
pub(super) async fn read_telling(
    client: &impl GenericClient,
    held: Held,
    lead: LeadNo,
) -> Result<Option<LeadResult>, LedgerError> {
    let sql = format!(
        "{RESULT} (SELECT * FROM leads WHERE job = $1 AND n = $2 AND ended AND copy_of IS NULL AND EXISTS \
           (SELECT FROM slices s WHERE s.job = $1 AND s.n = $3 AND s.epoch = $4 AND s.open)) {OF}"
    );
    let place = (held.job.0, int(lead.0), int(held.slice.0), int(held.epoch.0));
    let row = find(client, &sql, &[&place.0, &place.1, &place.2, &place.3]).await?;
    row.as_ref().map(read_result).transpose()
}

fn read_result(row: &Row) -> Result<LeadResult, LedgerError> {
    Ok(LeadResult {
        n: LeadNo(number(row, 0)?),
        id: LeadId::new(column::<&str>(row, 1)?),
        ending: read_ending(row)?,
        ended_ms: column(row, 12)?,
        cost: usd(row, 8)?,
        called: number(row, 9)?,
        run: Run::new(number(row, 10)?),
        copy_of: column::<Option<i32>>(row, 11)?.map(|n| LeadNo(n.cast_unsigned())),
    })
}

fn read_ending(row: &Row) -> Result<Option<Ending>, LedgerError> {
    let text = |at| column::<Option<&str>>(row, at);
    let Some(status) = text(2)? else { return Ok(None) };
    Ok(Some(Ending {
        status: word(status)?,
        reason: word(column(row, 3)?)?,
        address: text(4)?.and_then(Address::parse),
        verdict: optional_word(text(5)?)?,
        found_by: text(6)?.map(ProviderName::new),
        verified_by: text(7)?.map(ProviderName::new),
    }))
}

fn optional_word<T: FromStr>(text: Option<&str>) -> Result<Option<T>, LedgerError> {
    text.map(word).transpose()
}
