//! One transaction of the group commit in two pipelined round trips: lock and read, decide in memory, write and
//! commit.

use crate::domain::Fingerprint;
use crate::domain::Usd;
use crate::domain::WorkspaceId;
use crate::ledger::AccountId;
use crate::ledger::Balance;
use crate::ledger::Boundary;
use crate::ledger::Epoch;
use crate::ledger::JobKey;
use crate::ledger::LeadNo;
use crate::ledger::LedgerError;
use crate::ledger::SliceNo;
use crate::ledger::rules::JobMoney;
use crate::store::batch::Asker;
use crate::store::batch::Batch;
use crate::store::batch::Owner;
use crate::store::batch::is_page_failure;
use crate::store::postgres::attempts::COLUMNS;
use crate::store::postgres::attempts::PRODUCT;
use crate::store::postgres::attempts::Stored;
use crate::store::postgres::attempts::column;
use crate::store::postgres::attempts::fingerprint;
use crate::store::postgres::attempts::number;
use crate::store::postgres::attempts::read_answer;
use crate::store::postgres::attempts::usd;
use crate::store::postgres::attempts::word;
use crate::store::postgres::connect::Door;
use crate::store::postgres::connect::Line;
use crate::store::postgres::error::explain;
use crate::store::postgres::error::store_error;
use crate::store::postgres::prefetched::Paid;
use crate::store::postgres::prefetched::Prefetched;
use crate::store::postgres::prefetched::Reusable;
use crate::store::postgres::prefetched::Undecided;
use crate::store::postgres::wanted::Wanted;
use crate::store::postgres::writes::Values;
use crate::store::postgres::writes::Writing;
use crate::store::rows::AccountRow;
use crate::store::rows::JobRow;
use crate::store::rows::SliceRow;
use std::collections::BTreeSet;
use tokio_postgres::Client;
use tokio_postgres::Error;
use tokio_postgres::Row;
use tokio_postgres::Statement;

/// How the server's own lists name the ledger's connection.
const NAME: &str = "weir ledger";
/// Plans that never scan the journal, whatever the statistics say, and are made once; no lock is waited for, and
/// none is held by a worker that is gone, without end; and a commit that is answered is on disk.
const SETTINGS: &str = "SET plan_cache_mode = force_generic_plan; SET jit = off; SET enable_seqscan = off; \
     SET enable_hashjoin = off; SET enable_mergejoin = off; SET enable_material = off; SET lock_timeout = '10s'; \
     SET idle_in_transaction_session_timeout = '30s'; \
     SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'";
/// Every statement sees what was committed when it begins: those behind the locks see it whole.
const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE";

const ACCOUNTS: &str = "SELECT id, workspace, balance, held, low_told, empty_told FROM accounts \
     WHERE id = ANY ($1::bigint[]) ORDER BY id FOR NO KEY UPDATE";
// Whoever resumes a long list has its job and slices locked for seconds: nobody else's leads wait for that.
const JOBS: &str = "SELECT id, state, max_spend, spent, held, done FROM jobs \
     WHERE id = ANY ($1::bigint[]) ORDER BY id FOR NO KEY UPDATE SKIP LOCKED";
const SLICES: &str = "SELECT s.job, s.n, s.epoch, s.pending FROM unnest($1::bigint[], $2::int[]) t(job, n) \
     JOIN slices s ON s.job = t.job AND s.n = t.n ORDER BY s.job, s.n FOR NO KEY UPDATE OF s SKIP LOCKED";
const TRAILS: &str = "SELECT t.low, a.id, a.fingerprint, a.amount, a.charged, a.hold IS NOT DISTINCT FROM 'open' \
     FROM unnest($1::bigint[], $2::bigint[]) t(low, high) JOIN attempts a ON a.id BETWEEN t.low AND t.high";
const ANSWERS: &str = "SELECT t.fingerprint, a.ended_at, a.outcome, a.detail, a.found, a.claim, a.product \
     FROM unnest($1::bytea[], $2::bigint[]) t(fingerprint, since) CROSS JOIN LATERAL \
       (SELECT ended_at, outcome, detail, found, claim, product FROM attempts \
        WHERE account IS NOT NULL AND reusable AND fingerprint = t.fingerprint AND ended_at >= t.since \
        ORDER BY ended_at DESC LIMIT 1) a";
/// Who asks for a page, with the lease of its slice; or what became of whoever did: of a page that failed there is no
/// text. Without `OFFSET 0` the planner may walk all slices of a job.
const ASKINGS: &str = "SELECT k.fingerprint, k.attempt, a.began_at, a.expires_at, s.lease_until, s.worker IS NOT NULL, \
       a.ended_at, a.outcome, a.detail, a.found, a.claim, NULL::text \
     FROM askings k JOIN attempts a ON a.id = k.attempt JOIN jobs j ON j.id = a.id >> 36 CROSS JOIN LATERAL \
       (SELECT lease_until, worker FROM slices \
        WHERE job = j.id AND n = (((a.id >> 12) & 16777215) - 1) / j.slice_size OFFSET 0) s \
     WHERE k.fingerprint = ANY ($1::bytea[])";
const LEADS: &str = "SELECT l.job, l.n, l.copies, l.ended FROM unnest($1::bigint[], $2::int[]) t(job, n) \
     JOIN leads l ON l.job = t.job AND l.n = t.n";
const FAILING: &str = "SELECT f.key FROM unnest($1::bigint[], $2::text[]) t(account, rest) \
     LEFT JOIN accounts a ON a.id = t.account JOIN failing_keys f ON f.key = coalesce(a.workspace, '') || t.rest";
const NOW: &str = "SELECT now_ms()";

/// What a transaction came to, committed.
pub(super) struct Ran<T> {
    pub(super) decided: T,
    /// Did a settlement give money back?
    pub(super) freed: bool,
}

/// The ledger's connection, with everything prepared.
pub(super) struct Prepared {
    line: Line,
    accounts: Statement,
    jobs: Statement,
    slices: Statement,
    attempts: Statement,
    trails: Statement,
    answers: Statement,
    askings: Statement,
    leads: Statement,
    failing: Statement,
    now: Statement,
    writing: Writing,
}

impl Prepared {
    pub(super) async fn connect(door: &Door) -> Result<Self, LedgerError> {
        let line = door.connect(NAME).await.map_err(LedgerError::Unavailable)?;
        // Whatever is wrong with a new connection, nothing was written: it may pass.
        Self::prepare(line).await.map_err(|error| LedgerError::Unavailable(explain(&error)))
    }

    async fn prepare(line: Line) -> Result<Self, Error> {
        let client = &line.client;
        client.batch_execute(SETTINGS).await?;
        let attempts = format!("SELECT {COLUMNS}, {PRODUCT} FROM attempts WHERE id = ANY ($1::bigint[])");
        Ok(Self {
            accounts: client.prepare(ACCOUNTS).await?,
            jobs: client.prepare(JOBS).await?,
            slices: client.prepare(SLICES).await?,
            attempts: client.prepare(&attempts).await?,
            trails: client.prepare(TRAILS).await?,
            answers: client.prepare(ANSWERS).await?,
            askings: client.prepare(ASKINGS).await?,
            leads: client.prepare(LEADS).await?,
            failing: client.prepare(FAILING).await?,
            now: client.prepare(NOW).await?,
            writing: Writing::prepare(client).await?,
            line,
        })
    }

    pub(super) fn is_closed(&self) -> bool {
        self.line.client.is_closed()
    }

    /// Ends a transaction that failed.
    pub(super) async fn roll_back(&self) -> Result<(), LedgerError> {
        self.line.client.batch_execute("ROLLBACK").await.map_err(|error| store_error(&error))
    }

    /// Reads what the boundaries need, lets `decide` apply them, and commits what it did. After an error nothing
    /// is written, unless the connection was lost on the commit: then nobody knows.
    pub(super) async fn transact<T>(
        &self,
        boundaries: &[&Boundary],
        decide: impl FnOnce(&mut Batch<Prefetched>) -> Result<T, LedgerError>,
    ) -> Result<Ran<T>, LedgerError> {
        let mut rows = Box::pin(self.read(Wanted::of(boundaries)?)).await?;
        let unclear = rows.unclear(boundaries)?;
        if !unclear.is_empty() {
            let trails = self.read_trails(&unclear).await.map_err(|error| store_error(&error))?;
            rows.keep_trails(&unclear, &trails)?;
        }
        let mut batch = Batch::new(rows);
        let decided = decide(&mut batch)?;
        let rows = batch.flush()?;
        let committed = self.writing.commit(&self.line.client, &rows.writes, rows.now_ms).await;
        committed.map_err(|error| store_error(&error))?;
        Ok(Ran { decided, freed: rows.freed })
    }

    /// The first round trip. The locks come first, in the order of every transaction: accounts, jobs, slices;
    /// what is read behind them stands still until the commit.
    async fn read(&self, wanted: Wanted) -> Result<Prefetched, LedgerError> {
        let client = &self.line.client;
        let accounts: Vec<i64> = wanted.accounts.into_iter().collect();
        let jobs: Vec<i64> = wanted.jobs.into_iter().collect();
        let (slice_jobs, slices): (Vec<i64>, Vec<i32>) = wanted.slices.into_iter().unzip();
        let (lead_jobs, leads): (Vec<i64>, Vec<i32>) = wanted.leads.into_iter().unzip();
        let asked: Vec<&[u8]> = wanted.answers.keys().map(|asked| asked.as_bytes().as_slice()).collect();
        let since: Vec<i64> = wanted.answers.values().copied().collect();
        let pages: Vec<&[u8]> = wanted.askings.iter().map(|asked| asked.as_bytes().as_slice()).collect();
        let (payers, keys): (Vec<Option<i64>>, Vec<String>) = wanted.failing.into_iter().unzip();
        let lock_accounts: Values<'_> = &[&accounts];
        let lock_jobs: Values<'_> = &[&jobs];
        let lock_slices: Values<'_> = &[&slice_jobs, &slices];
        let attempts: Values<'_> = &[&wanted.attempts];
        let answers: Values<'_> = &[&asked, &since];
        let askings: Values<'_> = &[&pages];
        let undecided: Values<'_> = &[&lead_jobs, &leads];
        let failing: Values<'_> = &[&payers, &keys];
        // Polled, and so sent, in this order.
        let read = tokio::try_join!(
            biased;
            client.batch_execute(BEGIN),
            query(client, &self.accounts, accounts.len(), lock_accounts),
            query(client, &self.jobs, jobs.len(), lock_jobs),
            query(client, &self.slices, slices.len(), lock_slices),
            query(client, &self.attempts, wanted.attempts.len(), attempts),
            self.read_trails(&wanted.trails),
            query(client, &self.answers, asked.len(), answers),
            query(client, &self.askings, pages.len(), askings),
            query(client, &self.leads, leads.len(), undecided),
            query(client, &self.failing, keys.len(), failing),
            client.query_one(&self.now, &[]),
        );
        let ((), accounts, jobs, slices, attempts, trails, answers, askings, leads, failing, now) =
            read.map_err(|error| store_error(&error))?;
        let mut rows = Prefetched::at(&now)?;
        rows.keep_accounts(&accounts)?;
        rows.keep_jobs(&jobs)?;
        rows.keep_slices(&slices)?;
        rows.keep_attempts(attempts)?;
        rows.keep_trails(&wanted.trails, &trails)?;
        rows.keep_answers(wanted.answers.into_keys(), &answers)?;
        rows.keep_askings(&askings)?;
        rows.keep_leads(&leads)?;
        rows.keep_failing(&failing)?;
        Ok(rows)
    }

    async fn read_trails(&self, leads: &BTreeSet<(i64, i64)>) -> Result<Vec<Row>, Error> {
        let (low, high): (Vec<i64>, Vec<i64>) = leads.iter().copied().unzip();
        query(&self.line.client, &self.trails, leads.len(), &[&low, &high]).await
    }
}

/// Sends one query; one that asks for nothing is not sent.
async fn query(client: &Client, statement: &Statement, asked: usize, values: Values<'_>) -> Result<Vec<Row>, Error> {
    if asked == 0 { Ok(Vec::new()) } else { client.query(statement, values).await }
}

/// The columns are those of the statements above.
impl Prefetched {
    fn at(now: &Row) -> Result<Self, LedgerError> {
        Ok(Self { now_ms: column(now, 0)?, ..Self::default() })
    }

    fn keep_accounts(&mut self, rows: &[Row]) -> Result<(), LedgerError> {
        for row in rows {
            let account = AccountRow {
                workspace: WorkspaceId::new(column::<&str>(row, 1)?),
                money: Balance { balance: usd(row, 2)?, held: usd(row, 3)? },
                low_told: column(row, 4)?,
                empty_told: column(row, 5)?,
            };
            self.accounts.insert(AccountId(column(row, 0)?), account);
        }
        Ok(())
    }

    fn keep_jobs(&mut self, rows: &[Row]) -> Result<(), LedgerError> {
        for row in rows {
            let cap = column::<Option<i64>>(row, 2)?.map(Usd::from_nanos);
            let money = JobMoney { cap, spent: usd(row, 3)?, held: usd(row, 4)? };
            let done = column::<i64>(row, 5)?.cast_unsigned();
            self.jobs.insert(JobKey(column(row, 0)?), JobRow { state: word(column(row, 1)?)?, money, done });
        }
        Ok(())
    }

    fn keep_slices(&mut self, rows: &[Row]) -> Result<(), LedgerError> {
        for row in rows {
            let slice = SliceRow { epoch: Epoch(number(row, 2)?), pending: number(row, 3)? };
            self.slices.insert((JobKey(column(row, 0)?), SliceNo(number(row, 1)?)), slice);
        }
        Ok(())
    }

    fn keep_attempts(&mut self, rows: Vec<Row>) -> Result<(), LedgerError> {
        for row in rows {
            let (id, stored) = Stored::read(row)?;
            self.attempts.insert(id, stored);
        }
        Ok(())
    }

    /// The trails of `leads`, by the first and last id of their attempts; some have none.
    fn keep_trails(&mut self, leads: &BTreeSet<(i64, i64)>, rows: &[Row]) -> Result<(), LedgerError> {
        self.trails.extend(leads.iter().map(|(low, _)| (*low, Vec::new())));
        for row in rows {
            let paid = Paid {
                id: column(row, 1)?,
                asked: fingerprint(row, 2)?,
                amount: usd(row, 3)?,
                charged: usd(row, 4)?,
                is_open: column(row, 5)?,
            };
            self.trails.entry(column(row, 0)?).or_default().push(paid);
        }
        Ok(())
    }

    /// The answers to what was `asked`; some have none.
    fn keep_answers(&mut self, asked: impl Iterator<Item = Fingerprint>, rows: &[Row]) -> Result<(), LedgerError> {
        self.answers.extend(asked.map(|asked| (asked, None)));
        for row in rows {
            let newest = Reusable { ended_ms: column(row, 1)?, end: read_answer(row, 2)? };
            self.answers.insert(fingerprint(row, 0)?, Some(newest));
        }
        Ok(())
    }

    /// An attempt that has ended asks no more, whether or not it was deleted; it may tell that the page fails.
    fn keep_askings(&mut self, rows: &[Row]) -> Result<(), LedgerError> {
        for row in rows {
            let asked = fingerprint(row, 0)?;
            if let Some(ended_ms) = column::<Option<i64>>(row, 6)? {
                let end = read_answer(row, 7)?;
                if is_page_failure(end.outcome) {
                    self.failures.insert(asked, Reusable { ended_ms, end });
                }
                continue;
            }
            let asker = Asker {
                attempt: column(row, 1)?,
                began_ms: column(row, 2)?,
                expires_ms: column(row, 3)?,
                lease_until: column(row, 4)?,
                owner: if column(row, 5)? { Owner::Somebody } else { Owner::Nobody },
            };
            if asker.may_answer(self.now_ms) {
                self.askings.insert(asked, asker.attempt);
            }
        }
        Ok(())
    }

    fn keep_leads(&mut self, rows: &[Row]) -> Result<(), LedgerError> {
        for row in rows {
            let undecided = Undecided { copies: u64::from(number(row, 2)?), ended: column(row, 3)? };
            self.leads.insert((JobKey(column(row, 0)?), LeadNo(number(row, 1)?)), undecided);
        }
        Ok(())
    }

    fn keep_failing(&mut self, rows: &[Row]) -> Result<(), LedgerError> {
        for row in rows {
            self.failing.insert(column(row, 0)?);
        }
        Ok(())
    }
}
