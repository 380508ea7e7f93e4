//! The second round trip of the group commit: what was decided goes out as arrays, one statement a table, with
//! the commit behind them.

use crate::domain::About;
use crate::domain::Address;
use crate::domain::Ending;
use crate::domain::Fingerprint;
use crate::domain::ProviderName;
use crate::domain::Usd;
use crate::domain::Verdict;
use crate::domain::WorkspaceId;
use crate::ledger::AccountId;
use crate::ledger::Happening;
use crate::ledger::JobKey;
use crate::ledger::LeadKey;
use crate::ledger::SliceNo;
use crate::store::postgres::happenings::millis;
use crate::store::postgres::ledger::int;
use crate::store::postgres::prefetched::Begun;
use crate::store::postgres::prefetched::Settled;
use crate::store::postgres::prefetched::Taken;
use crate::store::postgres::prefetched::Unmade;
use crate::store::postgres::prefetched::Writes;
use crate::store::postgres::told::tell;
use crate::store::rows::AccountRow;
use crate::store::rows::HoldState;
use crate::store::rows::JobRow;
use crate::store::rows::SliceRow;
use crate::store::rows::is_reusable;
use futures_util::future::try_join_all;
use std::collections::BTreeMap;
use std::pin::Pin;
use tokio_postgres::Client;
use tokio_postgres::Error;
use tokio_postgres::Statement;
use tokio_postgres::types::ToSql;

// A plan is made once, when a new store has hardly a wallet or a job: then all of them would be looked at for each batch,
// however many they have become, but for the `ANY`.
const ACCOUNTS: &str = "UPDATE accounts a SET balance = t.balance, held = t.held, low_told = t.low_told, \
       empty_told = t.empty_told \
     FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bool[], $5::bool[]) \
       t(id, balance, held, low_told, empty_told) WHERE a.id = t.id AND a.id = ANY ($1)";
const JOBS: &str = "UPDATE jobs j SET spent = t.spent, held = t.held, done = t.done, updated_at = $5::bigint \
     FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[]) t(id, spent, held, done) \
     WHERE j.id = t.id AND j.id = ANY ($1)";
const SLICES: &str = "UPDATE slices s SET pending = t.pending \
     FROM unnest($1::bigint[], $2::int[], $3::int[]) t(job, n, pending) \
     WHERE s.job = t.job AND s.n = t.n";
const BEGUN: &str = "INSERT INTO attempts (id, run, step, fingerprint, about, key_source, config, account, amount, \
       hold, began_at, expires_at) \
     SELECT id, run, step, fingerprint, about, key_source, config, account, amount, 'open', $11::bigint, \
       $11::bigint + expires_in \
     FROM unnest($1::bigint[], $2::int[], $3::text[], $4::bytea[], $5::text[], $6::text[], $7::text[], $8::bigint[], \
       $9::bigint[], $10::bigint[]) \
       t(id, run, step, fingerprint, about, key_source, config, account, amount, expires_in)";
const UNMADE: &str = "INSERT INTO attempts (id, run, step, fingerprint, about, key_source, config, outcome, detail, \
       found, claim, source, product, began_at, ended_at) \
     SELECT id, run, step, fingerprint, about, key_source, config, outcome, detail, found, claim, source, product, \
       $14::bigint, $14::bigint \
     FROM unnest($1::bigint[], $2::int[], $3::text[], $4::bytea[], $5::text[], $6::text[], $7::text[], $8::text[], \
       $9::text[], $10::text[], $11::text[], $12::text[], $13::text[]) \
       t(id, run, step, fingerprint, about, key_source, config, outcome, detail, found, claim, source, product)";
const HANDLES: &str =
    "UPDATE attempts a SET handle = t.handle FROM unnest($1::bigint[], $2::text[]) t(id, handle) WHERE a.id = t.id";
const LEARNED: &str = "UPDATE attempts a SET learned = t.learned, heard = a.heard | t.heard \
     FROM unnest($1::bigint[], $2::text[], $3::bigint[]) t(id, learned, heard) WHERE a.id = t.id";
const ENDED: &str = "UPDATE attempts a SET hold = t.hold, charged = t.charged, lost = a.lost + t.lost, \
       outcome = t.outcome, detail = t.detail, found = t.found, claim = t.claim, source = t.source, \
       duration_ms = t.duration_ms, reusable = t.reusable, product = t.product, unsaid = t.unsaid, \
       ended_at = $14::bigint \
     FROM unnest($1::bigint[], $2::text[], $3::bigint[], $4::bigint[], $5::text[], $6::text[], $7::text[], $8::text[], \
       $9::text[], $10::bigint[], $11::bool[], $12::text[], $13::bool[]) \
       t(id, hold, charged, lost, outcome, detail, found, claim, source, duration_ms, reusable, product, unsaid) \
     WHERE a.id = t.id";
const LOST: &str = "UPDATE attempts a SET lost = a.lost + t.lost, heard = a.heard | t.heard \
     FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) t(id, lost, heard) WHERE a.id = t.id";
/// An attempt asks one thing. What another attempt has taken over meanwhile stays.
const FORGOTTEN: &str = "DELETE FROM askings WHERE fingerprint = ANY ($1::bytea[]) AND attempt = ANY ($2::bigint[])";
const ASKED: &str = "INSERT INTO askings (fingerprint, attempt) \
     SELECT fingerprint, attempt FROM unnest($1::bytea[], $2::bigint[]) t(fingerprint, attempt) \
     ON CONFLICT (fingerprint) DO UPDATE SET attempt = excluded.attempt";
const ENTRIES: &str = "INSERT INTO entries (account, at, kind, amount, balance, attempt, asked) \
     SELECT account, $6::bigint, 'settle', amount, balance, attempt, asked \
     FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bytea[]) \
       t(account, amount, balance, attempt, asked)";
const LEADS: &str = "UPDATE leads l SET ended = true, status = t.status, reason = t.reason, address = t.address, \
       verdict = t.verdict, found_by = t.found_by, verified_by = t.verified_by, ended_at = $9::bigint \
     FROM unnest($1::bigint[], $2::int[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[]) \
       t(job, n, status, reason, address, verdict, found_by, verified_by) WHERE l.job = t.job AND l.n = t.n";
const CAMPAIGNS: &str = "WITH stopped AS (UPDATE campaigns c SET active = false \
       FROM unnest($1::text[], $2::text[]) t(workspace, key) WHERE c.workspace = t.workspace AND c.active \
       RETURNING c.workspace, c.campaign, t.key) \
     INSERT INTO happenings (kind, key, at, workspace, campaign) \
     SELECT 'weir.campaign_deactivated.v1', key || '/' || campaign, $3::bigint, workspace, campaign FROM stopped \
     ORDER BY workspace, campaign ON CONFLICT DO NOTHING";
/// A failing key is told of by the transaction that notes it, however many see it fail at once.
const HAPPENINGS: &str = "WITH noted AS (INSERT INTO failing_keys (key) \
       SELECT DISTINCT failing FROM unnest($3::text[]) t(failing) WHERE failing IS NOT NULL ORDER BY failing \
       ON CONFLICT DO NOTHING RETURNING key) \
     INSERT INTO happenings (kind, key, at, workspace, job, run, campaign, provider, key_source, balance, threshold, \
       amount, reference) \
     SELECT kind, key, $14::bigint, workspace, job, run, campaign, provider, key_source, balance, threshold, amount, \
       reference \
     FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::int[], $7::text[], $8::text[], \
       $9::text[], $10::bigint[], $11::bigint[], $12::bigint[], $13::text[]) \
       t(kind, key, failing, workspace, job, run, campaign, provider, key_source, balance, threshold, amount, \
         reference) \
     WHERE failing IS NULL OR failing IN (SELECT key FROM noted) ON CONFLICT DO NOTHING";

/// An UPDATE that must meet every row it is meant for: one that misses a row fails, with its transaction, before
/// the commit that is already on its way. `$1` is an array of as many values as rows.
fn meets_all(update: &str) -> String {
    format!("WITH hit AS ({update} RETURNING 1) SELECT 1 / (count(*) = cardinality($1))::int FROM hit")
}

/// One statement on its way.
type Sent<'a> = Pin<Box<dyn Future<Output = Result<(), Error>> + 'a>>;

/// The statements that write, prepared on one connection.
pub(super) struct Writing {
    accounts: Statement,
    jobs: Statement,
    slices: Statement,
    begun: Statement,
    unmade: Statement,
    handles: Statement,
    learned: Statement,
    ended: Statement,
    lost: Statement,
    forgotten: Statement,
    asked: Statement,
    entries: Statement,
    leads: Statement,
    campaigns: Statement,
    happenings: Statement,
}

impl Writing {
    pub(super) async fn prepare(client: &Client) -> Result<Self, Error> {
        Ok(Self {
            accounts: client.prepare(&meets_all(ACCOUNTS)).await?,
            jobs: client.prepare(&meets_all(JOBS)).await?,
            slices: client.prepare(&meets_all(SLICES)).await?,
            begun: client.prepare(BEGUN).await?,
            unmade: client.prepare(UNMADE).await?,
            handles: client.prepare(&meets_all(HANDLES)).await?,
            learned: client.prepare(&meets_all(LEARNED)).await?,
            ended: client.prepare(&meets_all(ENDED)).await?,
            lost: client.prepare(&meets_all(LOST)).await?,
            forgotten: client.prepare(FORGOTTEN).await?,
            asked: client.prepare(ASKED).await?,
            entries: client.prepare(ENTRIES).await?,
            leads: client.prepare(&meets_all(LEADS)).await?,
            campaigns: client.prepare(CAMPAIGNS).await?,
            happenings: client.prepare(HAPPENINGS).await?,
        })
    }

    /// Sends everything and the commit in one round trip. A statement that fails takes the commit with it; the
    /// first failure is the one that is told.
    pub(super) async fn commit(&self, client: &Client, writes: &Writes, now_ms: i64) -> Result<(), Error> {
        // Polled, and so sent, in this order.
        let sent: Vec<Sent<'_>> = vec![
            Box::pin(self.write_accounts(client, &writes.accounts)),
            Box::pin(self.write_jobs(client, &writes.jobs, now_ms)),
            Box::pin(self.write_slices(client, &writes.slices)),
            Box::pin(self.insert_begun(client, &writes.begun, now_ms)),
            Box::pin(self.insert_unmade(client, &writes.unmade, now_ms)),
            Box::pin(self.write_handles(client, &writes.handles)),
            Box::pin(self.keep_learned(client, &writes.learned)),
            Box::pin(self.end_attempts(client, &writes.ended, now_ms)),
            Box::pin(self.add_lost(client, &writes.lost)),
            Box::pin(self.forget_askings(client, &writes.forgotten)),
            Box::pin(self.note_askings(client, &writes.asked)),
            Box::pin(self.insert_entries(client, &writes.entries, now_ms)),
            Box::pin(self.finish_leads(client, &writes.leads, now_ms)),
            Box::pin(self.stop_campaigns(client, &writes.dry, now_ms)),
            Box::pin(self.insert_happenings(client, &writes.happenings, now_ms)),
            Box::pin(client.batch_execute("COMMIT")),
        ];
        try_join_all(sent).await.map(drop)
    }

    async fn write_accounts(&self, client: &Client, rows: &[(AccountId, AccountRow)]) -> Result<(), Error> {
        let values: Values<'_> = &[
            &column(rows, |(id, _)| id.0),
            &column(rows, |(_, row)| row.money.balance.nanos()),
            &column(rows, |(_, row)| row.money.held.nanos()),
            &column(rows, |(_, row)| row.low_told),
            &column(rows, |(_, row)| row.empty_told),
        ];
        send(client, &self.accounts, rows.len(), values).await
    }

    async fn write_jobs(&self, client: &Client, rows: &[(JobKey, JobRow)], now_ms: i64) -> Result<(), Error> {
        let values: Values<'_> = &[
            &column(rows, |(key, _)| key.0),
            &column(rows, |(_, row)| row.money.spent.nanos()),
            &column(rows, |(_, row)| row.money.held.nanos()),
            &column(rows, |(_, row)| row.done.cast_signed()),
            &now_ms,
        ];
        send(client, &self.jobs, rows.len(), values).await
    }

    async fn write_slices(&self, client: &Client, rows: &[(JobKey, SliceNo, SliceRow)]) -> Result<(), Error> {
        let values: Values<'_> = &[
            &column(rows, |(job, ..)| job.0),
            &column(rows, |(_, slice, _)| int(slice.0)),
            &column(rows, |(.., row)| int(row.pending)),
        ];
        send(client, &self.slices, rows.len(), values).await
    }

    async fn insert_begun(&self, client: &Client, rows: &[Begun], now_ms: i64) -> Result<(), Error> {
        let values: Values<'_> = &[
            &column(rows, |row| row.id),
            &column(rows, |row| int(row.begin.run.get())),
            &column(rows, |row| row.begin.step.to_string()),
            &column(rows, |row| row.begin.fingerprint.as_bytes().as_slice()),
            &column(rows, |row| row.begin.about.as_ref().map(About::as_str)),
            &column(rows, |row| row.begin.key_source.as_str()),
            &column(rows, |row| row.begin.config_version.as_str()),
            &column(rows, |row| row.account.0),
            &column(rows, |row| row.begin.price.nanos()),
            &column(rows, |row| millis(row.begin.expires_in)),
            &now_ms,
        ];
        send(client, &self.begun, rows.len(), values).await
    }

    async fn insert_unmade(&self, client: &Client, rows: &[Unmade], now_ms: i64) -> Result<(), Error> {
        let values: Values<'_> = &[
            &column(rows, |row| row.id),
            &column(rows, |row| int(row.ended.attempt.run.get())),
            &column(rows, |row| row.ended.attempt.step.to_string()),
            &column(rows, |row| row.ended.fingerprint.as_bytes().as_slice()),
            &column(rows, |row| row.ended.attempt.about.as_ref().map(About::as_str)),
            &column(rows, |row| row.ended.attempt.key_source.as_str()),
            &column(rows, |row| row.ended.config_version.as_str()),
            &column(rows, |row| row.end.outcome.as_str()),
            &column(rows, |row| row.end.outcome.detail()),
            &column(rows, |row| row.end.found.as_ref().map(Address::as_str)),
            &column(rows, |row| row.end.claim.map(Verdict::as_str)),
            &column(rows, |row| row.end.source.as_str()),
            &column(rows, |row| row.product.as_deref()),
            &now_ms,
        ];
        send(client, &self.unmade, rows.len(), values).await
    }

    async fn write_handles(&self, client: &Client, rows: &BTreeMap<i64, String>) -> Result<(), Error> {
        let (ids, handles): (Vec<i64>, Vec<&str>) = rows.iter().map(|(id, handle)| (*id, handle.as_str())).unzip();
        send(client, &self.handles, rows.len(), &[&ids, &handles]).await
    }

    async fn keep_learned(&self, client: &Client, rows: &BTreeMap<i64, (String, i64)>) -> Result<(), Error> {
        let ids: Vec<i64> = rows.keys().copied().collect();
        let (learned, heard): (Vec<&str>, Vec<i64>) =
            rows.values().map(|(text, heard)| (text.as_str(), *heard)).unzip();
        send(client, &self.learned, rows.len(), &[&ids, &learned, &heard]).await
    }

    async fn end_attempts(&self, client: &Client, rows: &[Settled], now_ms: i64) -> Result<(), Error> {
        let values: Values<'_> = &[
            &column(rows, |row| row.id),
            &column(rows, |row| HoldState::after(&row.settlement).as_str()),
            &column(rows, |row| row.settlement.charged.nanos()),
            &column(rows, |row| row.settlement.lost.nanos()),
            &column(rows, |row| row.end.outcome.as_str()),
            &column(rows, |row| row.end.outcome.detail()),
            &column(rows, |row| row.end.found.as_ref().map(Address::as_str)),
            &column(rows, |row| row.end.claim.map(Verdict::as_str)),
            &column(rows, |row| row.end.source.as_str()),
            &column(rows, |row| row.end.duration_ms.cast_signed()),
            &column(rows, |row| is_reusable(&row.end)),
            &column(rows, |row| row.product.as_deref()),
            &column(rows, |row| row.end.unsaid),
            &now_ms,
        ];
        send(client, &self.ended, rows.len(), values).await
    }

    async fn add_lost(&self, client: &Client, rows: &BTreeMap<i64, (Usd, i64)>) -> Result<(), Error> {
        let ids: Vec<i64> = rows.keys().copied().collect();
        let (lost, heard): (Vec<i64>, Vec<i64>) = rows.values().map(|(lost, heard)| (lost.nanos(), *heard)).unzip();
        send(client, &self.lost, rows.len(), &[&ids, &lost, &heard]).await
    }

    async fn forget_askings(&self, client: &Client, rows: &[(Fingerprint, i64)]) -> Result<(), Error> {
        let values: Values<'_> =
            &[&column(rows, |(asked, _)| asked.as_bytes().as_slice()), &column(rows, |(_, attempt)| *attempt)];
        send(client, &self.forgotten, rows.len(), values).await
    }

    async fn note_askings(&self, client: &Client, rows: &BTreeMap<Fingerprint, i64>) -> Result<(), Error> {
        let (asked, attempts): (Vec<&[u8]>, Vec<i64>) =
            rows.iter().map(|(asked, attempt)| (asked.as_bytes().as_slice(), *attempt)).unzip();
        send(client, &self.asked, rows.len(), &[&asked, &attempts]).await
    }

    async fn insert_entries(&self, client: &Client, rows: &[Taken], now_ms: i64) -> Result<(), Error> {
        let values: Values<'_> = &[
            &column(rows, |row| row.account.0),
            &column(rows, |row| row.charged.negated().nanos()),
            &column(rows, |row| row.balance.nanos()),
            &column(rows, |row| row.attempt),
            &column(rows, |row| row.asked.as_bytes().as_slice()),
            &now_ms,
        ];
        send(client, &self.entries, rows.len(), values).await
    }

    async fn finish_leads(&self, client: &Client, rows: &[(LeadKey, Ending)], now_ms: i64) -> Result<(), Error> {
        let values: Values<'_> = &[
            &column(rows, |(lead, _)| lead.job.0),
            &column(rows, |(lead, _)| int(lead.lead.0)),
            &column(rows, |(_, ending)| ending.status.as_str()),
            &column(rows, |(_, ending)| ending.reason.as_str()),
            &column(rows, |(_, ending)| ending.address.as_ref().map(Address::as_str)),
            &column(rows, |(_, ending)| ending.verdict.map(Verdict::as_str)),
            &column(rows, |(_, ending)| ending.found_by.as_ref().map(ProviderName::as_str)),
            &column(rows, |(_, ending)| ending.verified_by.as_ref().map(ProviderName::as_str)),
            &now_ms,
        ];
        send(client, &self.leads, rows.len(), values).await
    }

    async fn stop_campaigns(&self, client: &Client, rows: &[(WorkspaceId, String)], now_ms: i64) -> Result<(), Error> {
        let values: Values<'_> =
            &[&column(rows, |(workspace, _)| workspace.as_str()), &column(rows, |(_, key)| key.as_str()), &now_ms];
        send(client, &self.campaigns, rows.len(), values).await
    }

    async fn insert_happenings(&self, client: &Client, rows: &[(String, Happening)], now_ms: i64) -> Result<(), Error> {
        let told = column(rows, |(_, what)| tell(what));
        let values: Values<'_> = &[
            &column(rows, |(_, what)| what.kind()),
            &column(rows, |(key, _)| key.as_str()),
            &column(&told, |told| told.failing.as_deref()),
            &column(&told, |told| told.workspace),
            &column(&told, |told| told.job),
            &column(&told, |told| told.run),
            &column(&told, |told| told.campaign),
            &column(&told, |told| told.provider),
            &column(&told, |told| told.key_source),
            &column(&told, |told| told.balance),
            &column(&told, |told| told.threshold),
            &column(&told, |told| told.amount),
            &column(&told, |told| told.reference),
            &now_ms,
        ];
        send(client, &self.happenings, rows.len(), values).await
    }
}

/// What a statement is bound to.
pub(super) type Values<'a> = &'a [&'a (dyn ToSql + Sync)];

/// Sends one statement; one without rows is not sent.
async fn send(client: &Client, statement: &Statement, rows: usize, values: Values<'_>) -> Result<(), Error> {
    if rows == 0 {
        return Ok(());
    }
    client.execute(statement, values).await.map(drop)
}

fn column<'rows, R, T>(rows: &'rows [R], of: impl Fn(&'rows R) -> T) -> Vec<T> {
    rows.iter().map(of).collect()
}
