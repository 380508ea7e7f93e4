//! The rows of jobs, and of leads as results.

use crate::clock;
use crate::domain::CampaignId;
use crate::domain::Ending;
use crate::domain::JobId;
use crate::domain::LeadId;
use crate::domain::ProviderName;
use crate::domain::Reason;
use crate::domain::Run;
use crate::domain::Status;
use crate::domain::Usd;
use crate::domain::WorkspaceId;
use crate::jobs::Held;
use crate::jobs::LeadResult;
use crate::jobs::NewJob;
use crate::jobs::Progress;
use crate::jobs::Reply;
use crate::jobs::StoredJob;
use crate::jobs::Work;
use crate::ledger::AccountId;
use crate::ledger::Happening;
use crate::ledger::JobKey;
use crate::ledger::LeadNo;
use crate::ledger::LedgerError;
use crate::store::brief::read_work;
use crate::store::brief::write_brief;
use crate::store::rows::ids_of_lead;
use crate::store::sqlite::happenings::insert_happening;
use crate::store::sqlite::ledger::open_account;
use crate::store::sqlite::statements::address;
use crate::store::sqlite::statements::all;
use crate::store::sqlite::statements::execute;
use crate::store::sqlite::statements::find;
use crate::store::sqlite::statements::fingerprint;
use crate::store::sqlite::statements::missing;
use crate::store::sqlite::statements::optional_usd;
use crate::store::sqlite::statements::optional_word;
use crate::store::sqlite::statements::unreadable;
use crate::store::sqlite::statements::usd;
use crate::store::sqlite::statements::word;
use rusqlite::Connection;
use rusqlite::Row;

const JOB: &str = "SELECT id, job_id, workspace, account, waterfall, content, state, run, max_spend, funded, leads, \
     slice_size, held, campaign, reply_to, correlation_id, kind, brief FROM jobs";

fn read_job(row: &Row<'_>) -> rusqlite::Result<StoredJob> {
    let (reply_to, correlation_id): (Option<String>, Option<String>) = (row.get(14)?, row.get(15)?);
    Ok(StoredJob {
        key: JobKey(row.get(0)?),
        id: JobId::new(row.get::<_, String>(1)?),
        workspace: WorkspaceId::new(row.get::<_, String>(2)?),
        account: AccountId(row.get(3)?),
        work: work(row)?,
        content: fingerprint(row, 5)?,
        state: word(row, 6)?,
        run: Run::new(row.get(7)?),
        max_spend: optional_usd(row, 8)?,
        funded: usd(row, 9)?,
        leads: row.get(10)?,
        slice_size: row.get(11)?,
        held: usd(row, 12)?,
        campaign: row.get::<_, Option<String>>(13)?.map(CampaignId::new),
        reply: reply_to.map(|to| Reply { to, correlation_id }),
    })
}

fn work(row: &Row<'_>) -> rusqlite::Result<Work> {
    let (name, kind, brief): (String, String, Option<String>) = (row.get(4)?, row.get(16)?, row.get(17)?);
    read_work(&kind, &name, brief.as_deref()).map_err(|_| unreadable(16, &kind))
}

pub(super) fn find_job(connection: &Connection, id: &JobId) -> Result<Option<StoredJob>, LedgerError> {
    find(connection, &format!("{JOB} WHERE job_id = ?1"), [id.as_str()], read_job)
}

pub(super) fn find_stored(connection: &Connection, key: JobKey) -> Result<Option<StoredJob>, LedgerError> {
    find(connection, &format!("{JOB} WHERE id = ?1"), [key.0], read_job)
}

pub(super) fn read_stored(connection: &Connection, key: JobKey) -> Result<StoredJob, LedgerError> {
    find_stored(connection, key)?.ok_or_else(|| missing("a job"))
}

pub(super) fn list_jobs(connection: &Connection) -> Result<Vec<StoredJob>, LedgerError> {
    all(connection, &format!("{JOB} ORDER BY id"), [], read_job)
}

/// Stores a job with its wallet and campaign.
pub(super) fn create_job(connection: &Connection, job: &NewJob) -> Result<StoredJob, LedgerError> {
    let account = open_account(connection, &job.workspace)?;
    let sql = "INSERT INTO jobs (job_id, workspace, account, kind, state, waterfall, content, slice_size, max_spend, \
               auto_resume, campaign, reply_to, correlation_id, created_at, updated_at, brief) \
               VALUES (?1, ?2, ?3, ?13, 'loading', ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?12, ?14) \
               ON CONFLICT (job_id) DO NOTHING";
    let values = (
        job.id.as_str(),
        job.workspace.as_str(),
        account.0,
        job.work.name(),
        job.content.as_bytes(),
        job.slice_size,
        job.max_spend.map(Usd::nanos),
        job.auto_resume,
        job.campaign.as_ref().map(CampaignId::as_str),
        job.reply.as_ref().map(|reply| reply.to.as_str()),
        job.reply.as_ref().and_then(|reply| reply.correlation_id.as_deref()),
        clock::wall_ms(),
        job.work.kind(),
        write_brief(&job.work)?,
    );
    if execute(connection, sql, values)? == 0 {
        return Err(LedgerError::Conflict { what: format!("the job id {}", job.id) });
    }
    if let Some(campaign) = &job.campaign {
        // One that is first named while the wallet is dry would never be told of: it begins when somebody activates it.
        let sql = "INSERT INTO campaigns (workspace, campaign, active) \
                   SELECT ?1, ?2, NOT empty_told FROM accounts WHERE id = ?3 ON CONFLICT DO NOTHING";
        execute(connection, sql, (job.workspace.as_str(), campaign.as_str(), account.0))?;
    }
    find_job(connection, &job.id)?.ok_or_else(|| missing("a new job"))
}

/// Tells that every lead of a job has come to its end in this run.
pub(super) fn tell_completed(connection: &Connection, job: &StoredJob) -> Result<(), LedgerError> {
    let what = Happening::JobCompleted { workspace: job.workspace.clone(), job: job.key, run: job.run };
    insert_happening(connection, &format!("{}/{}", job.id, job.run), &what, clock::wall_ms())
}

pub(super) fn progress(connection: &Connection, job: JobKey) -> Result<Progress, LedgerError> {
    let sql = "SELECT status, reason, sum(1 + copies) FROM leads \
               WHERE job = ?1 AND copy_of IS NULL AND status IS NOT NULL GROUP BY status, reason";
    let groups = all(connection, sql, [job.0], |row| {
        Ok((word::<Status>(row, 0)?, word::<Reason>(row, 1)?, row.get::<_, u64>(2)?))
    })?;
    let sql = "SELECT leads, done, spent FROM jobs WHERE id = ?1";
    let totals = find(connection, sql, [job.0], |row| Ok((row.get(0)?, row.get(1)?, usd(row, 2)?)))?;
    let Some((leads, done, spent)) = totals else { return Ok(Progress::default()) };
    let sum = |matches: &dyn Fn(Status, Reason) -> bool| {
        groups.iter().filter(|(status, reason, _)| matches(*status, *reason)).map(|(_, _, count)| count).sum::<u64>()
    };
    let by_status = Status::ALL.iter().map(|status| (*status, sum(&|s, _| s == *status)));
    let by_reason = Reason::ALL.iter().map(|reason| (*reason, sum(&|_, r| r == *reason)));
    Ok(Progress {
        leads,
        done,
        by_status: by_status.filter(|(_, count)| *count > 0).collect(),
        by_reason: by_reason.filter(|(_, count)| *count > 0).collect(),
        cost: Some(spent),
    })
}

/// Results in order of rows; a copy shows its original's ending, at no cost.
pub(super) fn results(
    connection: &Connection,
    job: JobKey,
    after: LeadNo,
    limit: u32,
) -> Result<Vec<LeadResult>, LedgerError> {
    let sql = "SELECT l.n, l.lead_id, o.status, o.reason, o.address, o.verdict, o.found_by, o.verified_by, \
                 coalesce(t.cost, 0), coalesce(t.called, 0), o.run, l.copy_of, o.ended_at \
               FROM leads l JOIN leads o ON o.job = l.job AND o.n = coalesce(l.copy_of, l.n) \
               LEFT JOIN (SELECT lead, sum(charged) AS cost, sum(source = 'called') AS called FROM attempts \
                          WHERE id BETWEEN ?4 AND ?5 GROUP BY lead) t ON t.lead = l.n \
               WHERE l.job = ?1 AND l.n > ?2 AND l.n <= ?2 + ?3 ORDER BY l.n";
    let (first, _) = ids_of_lead(job, LeadNo(after.0.saturating_add(1)))?;
    let (_, last) = ids_of_lead(job, LeadNo(after.0.saturating_add(limit)))?;
    all(connection, sql, (job.0, after.0, limit, first, last), read_result)
}

/// The result of a lead that has ended, while its slice is held.
pub(super) fn telling(connection: &Connection, held: Held, lead: LeadNo) -> Result<Option<LeadResult>, LedgerError> {
    let sql = "SELECT l.n, l.lead_id, l.status, l.reason, l.address, l.verdict, l.found_by, l.verified_by, \
                 (SELECT coalesce(sum(charged), 0) FROM attempts WHERE id BETWEEN ?5 AND ?6), \
                 (SELECT coalesce(sum(source = 'called'), 0) FROM attempts WHERE id BETWEEN ?5 AND ?6), \
                 l.run, l.copy_of, l.ended_at \
               FROM slices s JOIN leads l ON l.job = s.job AND l.n = ?4 \
               WHERE s.job = ?1 AND s.n = ?2 AND s.epoch = ?3 AND s.open = 1 AND l.ended = 1 AND l.copy_of IS NULL";
    let (first, last) = ids_of_lead(held.job, lead)?;
    find(connection, sql, (held.job.0, held.slice.0, held.epoch.0, lead.0, first, last), read_result)
}

fn read_result(row: &Row<'_>) -> rusqlite::Result<LeadResult> {
    Ok(LeadResult {
        n: LeadNo(row.get(0)?),
        id: LeadId::new(row.get::<_, String>(1)?),
        ending: ending(row)?,
        ended_ms: row.get(12)?,
        cost: usd(row, 8)?,
        called: row.get(9)?,
        run: Run::new(row.get(10)?),
        copy_of: row.get::<_, Option<u32>>(11)?.map(LeadNo),
    })
}

fn ending(row: &Row<'_>) -> rusqlite::Result<Option<Ending>> {
    let Some(status) = optional_word::<Status>(row, 2)? else { return Ok(None) };
    let provider = |column| Ok::<_, rusqlite::Error>(row.get::<_, Option<String>>(column)?.map(ProviderName::new));
    Ok(Some(Ending {
        status,
        reason: word(row, 3)?,
        address: address(row, 4)?,
        verdict: optional_word(row, 5)?,
        found_by: provider(6)?,
        verified_by: provider(7)?,
    }))
}

/// The identical leads that copy this one's result, in order.
pub(super) fn copies(connection: &Connection, job: JobKey, lead: LeadNo) -> Result<Vec<(LeadNo, LeadId)>, LedgerError> {
    let sql = "SELECT n, lead_id FROM leads INDEXED BY leads_copies WHERE job = ?1 AND copy_of = ?2 ORDER BY n";
    all(connection, sql, (job.0, lead.0), |row| Ok((LeadNo(row.get(0)?), LeadId::new(row.get::<_, String>(1)?))))
}
