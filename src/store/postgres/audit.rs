//! The audit: every sum recomputed from its parts, every difference said in words.

use crate::domain::Usd;
use crate::domain::WorkspaceId;
use crate::ledger::Audit;
use crate::ledger::LedgerError;
use crate::store::postgres::attempts::column;
use crate::store::postgres::attempts::usd;
use crate::store::postgres::error::store_error;
use crate::store::postgres::ledger::all;
use crate::store::postgres::ledger::count_all;
use deadpool_postgres::Object;
use tokio_postgres::IsolationLevel;

const ACCOUNTS: &str = "SELECT count(*) FROM accounts a WHERE ($1::text IS NULL OR a.workspace = $1)";
const ENTRIES: &str = "SELECT count(*) FROM entries e JOIN accounts a ON a.id = e.account \
     WHERE ($1::text IS NULL OR a.workspace = $1)";
const OPEN_HOLDS: &str = "SELECT count(*) FROM attempts t JOIN accounts a ON a.id = t.account \
     WHERE t.hold = 'open' AND ($1::text IS NULL OR a.workspace = $1)";

/// Each query lists what breaks one rule: the thing, what is recorded, what its parts come to.
/// `$1` is the workspace, or NULL for all.
const RULES: &[(&str, &str)] = &[
    (
        "the balance of wallet",
        "SELECT a.workspace, a.balance, coalesce(e.parts, 0)::int8 FROM accounts a \
         LEFT JOIN (SELECT account, sum(amount) AS parts FROM entries GROUP BY account) e ON e.account = a.id \
         WHERE ($1::text IS NULL OR a.workspace = $1) AND a.balance <> coalesce(e.parts, 0)",
    ),
    (
        "the held amount of wallet",
        "SELECT a.workspace, a.held, coalesce(t.parts, 0)::int8 FROM accounts a \
         LEFT JOIN (SELECT account, sum(amount) AS parts FROM attempts WHERE hold = 'open' GROUP BY account) t \
           ON t.account = a.id \
         WHERE ($1::text IS NULL OR a.workspace = $1) AND a.held <> coalesce(t.parts, 0)",
    ),
    (
        "what job has spent",
        "SELECT j.job_id, j.spent, coalesce(t.parts, 0)::int8 FROM jobs j \
         LEFT JOIN (SELECT id >> 36 AS job, sum(charged) AS parts FROM attempts GROUP BY 1) t ON t.job = j.id \
         WHERE ($1::text IS NULL OR j.workspace = $1) AND j.spent <> coalesce(t.parts, 0)",
    ),
    (
        "what job holds",
        "SELECT j.job_id, j.held, coalesce(t.parts, 0)::int8 FROM jobs j \
         LEFT JOIN (SELECT id >> 36 AS job, sum(amount) AS parts FROM attempts WHERE hold = 'open' GROUP BY 1) t \
           ON t.job = j.id \
         WHERE ($1::text IS NULL OR j.workspace = $1) AND j.held <> coalesce(t.parts, 0)",
    ),
    (
        "the settlements of job, against what its attempts were charged,",
        "SELECT j.job_id, coalesce(e.booked, 0)::int8, coalesce(t.parts, 0)::int8 FROM jobs j \
         LEFT JOIN (SELECT attempt >> 36 AS job, -sum(amount) AS booked FROM entries WHERE kind = 'settle' \
           GROUP BY 1) e ON e.job = j.id \
         LEFT JOIN (SELECT id >> 36 AS job, sum(charged) AS parts FROM attempts GROUP BY 1) t ON t.job = j.id \
         WHERE ($1::text IS NULL OR j.workspace = $1) AND coalesce(e.booked, 0) <> coalesce(t.parts, 0)",
    ),
    (
        "a settlement that is not what its attempt was charged, of job",
        "SELECT j.job_id, -e.amount, coalesce(t.charged, 0) FROM entries e JOIN jobs j ON j.id = e.attempt >> 36 \
         LEFT JOIN attempts t ON t.id = e.attempt \
         WHERE e.kind = 'settle' AND ($1::text IS NULL OR j.workspace = $1) AND -e.amount <> coalesce(t.charged, 0) \
         LIMIT 100",
    ),
    (
        "what entries took from another wallet than that of job",
        "SELECT j.job_id, sum(e.amount)::int8, 0::int8 FROM entries e JOIN jobs j ON j.id = e.attempt >> 36 \
         LEFT JOIN accounts a ON a.id = e.account \
         WHERE e.account <> j.account AND ($1::text IS NULL OR $1 IN (j.workspace, a.workspace)) GROUP BY j.job_id",
    ),
    (
        "a step charged more than once, of job",
        "SELECT j.job_id, sum(t.charged)::int8, max(t.charged) FROM attempts t JOIN jobs j ON j.id = t.id >> 36 \
         WHERE t.charged > 0 AND ($1::text IS NULL OR j.workspace = $1) \
         GROUP BY j.job_id, t.id >> 12, t.fingerprint HAVING count(*) > 1",
    ),
    (
        "an attempt whose hold is open and its answer known, or the reverse, of job",
        "SELECT j.job_id, sum(t.amount)::int8, 0::int8 FROM attempts t JOIN jobs j ON j.id = t.id >> 36 \
         WHERE ($1::text IS NULL OR j.workspace = $1) \
           AND (t.hold IS NOT DISTINCT FROM 'open') <> (t.outcome IS NULL) GROUP BY j.job_id",
    ),
    (
        "more than one request for money in flight, of wallet",
        "SELECT a.workspace, sum(r.amount)::int8, max(r.amount) FROM recharges r JOIN accounts a ON a.id = r.account \
         WHERE r.state = 'asked' AND ($1::text IS NULL OR a.workspace = $1) GROUP BY a.workspace HAVING count(*) > 1",
    ),
    (
        "a request for money that is paid without its top-up, or the reverse, of wallet",
        "SELECT a.workspace, r.amount, coalesce(e.amount, 0) FROM recharges r JOIN accounts a ON a.id = r.account \
         LEFT JOIN entries e ON e.account = r.account AND e.reference = r.reference AND e.kind = 'top_up' \
         WHERE ($1::text IS NULL OR a.workspace = $1) AND (r.state = 'paid') <> (e.seq IS NOT NULL) LIMIT 100",
    ),
];

/// The same of what is counted. A job that is loading has no slices yet, and none of its leads is done.
const COUNTS: &[(&str, &str)] = &[
    (
        "what is pending in slice",
        "SELECT s.n || ' of job ' || j.job_id, s.pending::int8, coalesce(l.parts, 0)::int8 \
         FROM slices s JOIN jobs j ON j.id = s.job \
         LEFT JOIN (SELECT o.id AS job, (d.n - 1) / o.slice_size AS slice, count(*) AS parts \
           FROM leads d JOIN jobs o ON o.id = d.job WHERE NOT d.ended GROUP BY 1, 2) l \
           ON l.job = s.job AND l.slice = s.n \
         WHERE ($1::text IS NULL OR j.workspace = $1) AND s.pending <> coalesce(l.parts, 0) LIMIT 100",
    ),
    (
        "what is done of job",
        "SELECT j.job_id, j.done, coalesce(l.parts, 0)::int8 FROM jobs j \
         LEFT JOIN (SELECT job, sum(1 + copies) AS parts FROM leads WHERE ended AND copy_of IS NULL GROUP BY job) l \
           ON l.job = j.id \
         WHERE j.state <> 'loading' AND ($1::text IS NULL OR j.workspace = $1) AND j.done <> coalesce(l.parts, 0)",
    ),
    (
        "how many slices are open, one at least, of unfinished job",
        "SELECT j.job_id, 0::int8, 1::int8 FROM jobs j \
         WHERE j.state IN ('queued', 'running') AND ($1::text IS NULL OR j.workspace = $1) \
           AND NOT EXISTS (SELECT FROM slices s WHERE s.job = j.id AND s.open)",
    ),
];

/// A running balance must follow from the one before it, entry by entry.
const RUNNING: &str = "SELECT workspace, seq, balance, expected::int8 FROM ( \
     SELECT a.workspace AS workspace, e.seq AS seq, e.balance AS balance, \
       sum(e.amount) OVER (PARTITION BY e.account ORDER BY e.seq) AS expected \
     FROM entries e JOIN accounts a ON a.id = e.account WHERE ($1::text IS NULL OR a.workspace = $1)) r \
   WHERE balance <> expected OR balance < 0 LIMIT 100";

/// Looks at one moment: commits that come meanwhile are not seen half.
pub(super) async fn audit(client: &mut Object, workspace: Option<&WorkspaceId>) -> Result<Audit, LedgerError> {
    let one_moment = client.build_transaction().isolation_level(IsolationLevel::RepeatableRead).read_only(true);
    let transaction = one_moment.start().await.map_err(|error| store_error(&error))?;
    let workspace = workspace.map(WorkspaceId::as_str);
    let mut audit = Audit {
        accounts: count_all(&transaction, ACCOUNTS, &[&workspace]).await?,
        entries: count_all(&transaction, ENTRIES, &[&workspace]).await?,
        open_holds: count_all(&transaction, OPEN_HOLDS, &[&workspace]).await?,
        problems: Vec::new(),
    };
    for (what, sql) in RULES {
        for row in all(&transaction, sql, &[&workspace]).await? {
            let (name, recorded, parts): (&str, Usd, Usd) = (column(&row, 0)?, usd(&row, 1)?, usd(&row, 2)?);
            audit.problems.push(format!("{what} {name}: recorded {recorded}, recomputed {parts}"));
        }
    }
    for (what, sql) in COUNTS {
        for row in all(&transaction, sql, &[&workspace]).await? {
            let (name, recorded, parts): (&str, i64, i64) = (column(&row, 0)?, column(&row, 1)?, column(&row, 2)?);
            audit.problems.push(format!("{what} {name}: recorded {recorded}, recomputed {parts}"));
        }
    }
    for row in all(&transaction, RUNNING, &[&workspace]).await? {
        let (name, seq): (&str, i64) = (column(&row, 0)?, column(&row, 1)?);
        let (recorded, expected) = (usd(&row, 2)?, usd(&row, 3)?);
        audit.problems.push(format!(
            "the balance after entry {seq} of wallet {name}: recorded {recorded}, recomputed {expected}"
        ));
    }
    transaction.commit().await.map_err(|error| store_error(&error))?;
    Ok(audit)
}
