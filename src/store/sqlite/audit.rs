//! The audit: every sum recomputed from its parts, every difference said in words.

use crate::domain::Usd;
use crate::domain::WorkspaceId;
use crate::ledger::Audit;
use crate::ledger::LedgerError;
use crate::store::sqlite::statements::all;
use crate::store::sqlite::statements::count;
use crate::store::sqlite::statements::usd;
use rusqlite::Connection;

/// Each query lists what breaks one rule: the thing, what is recorded, what its parts come to.
/// `?1` is the workspace, or NULL for all.
const RULES: &[(&str, &str)] = &[
    (
        "the balance of wallet",
        "SELECT a.workspace, a.balance, coalesce(e.parts, 0) FROM accounts a \
         LEFT JOIN (SELECT account, sum(amount) AS parts FROM entries GROUP BY account) e ON e.account = a.id \
         WHERE (?1 IS NULL OR a.workspace = ?1) AND a.balance <> coalesce(e.parts, 0)",
    ),
    (
        "the held amount of wallet",
        "SELECT a.workspace, a.held, coalesce(t.parts, 0) FROM accounts a \
         LEFT JOIN (SELECT account, sum(amount) AS parts FROM attempts WHERE hold = 'open' GROUP BY account) t \
           ON t.account = a.id \
         WHERE (?1 IS NULL OR a.workspace = ?1) AND a.held <> coalesce(t.parts, 0)",
    ),
    (
        "what job has spent",
        "SELECT j.job_id, j.spent, coalesce(t.parts, 0) FROM jobs j \
         LEFT JOIN (SELECT job, sum(charged) AS parts FROM attempts GROUP BY job) t ON t.job = j.id \
         WHERE (?1 IS NULL OR j.workspace = ?1) AND j.spent <> coalesce(t.parts, 0)",
    ),
    (
        "what job holds",
        "SELECT j.job_id, j.held, coalesce(t.parts, 0) FROM jobs j \
         LEFT JOIN (SELECT job, sum(amount) AS parts FROM attempts WHERE hold = 'open' GROUP BY job) t ON t.job = j.id \
         WHERE (?1 IS NULL OR j.workspace = ?1) AND j.held <> coalesce(t.parts, 0)",
    ),
    (
        "the settlements of job, against what its attempts were charged,",
        "SELECT j.job_id, coalesce(e.booked, 0), coalesce(t.parts, 0) FROM jobs j \
         LEFT JOIN (SELECT attempt >> 44 AS job, -sum(amount) AS booked FROM entries WHERE kind = 'settle' GROUP BY 1) e ON e.job = j.id \
         LEFT JOIN (SELECT job, sum(charged) AS parts FROM attempts GROUP BY job) t ON t.job = j.id \
         WHERE (?1 IS NULL OR j.workspace = ?1) AND coalesce(e.booked, 0) <> coalesce(t.parts, 0)",
    ),
    (
        "a settlement that is not what its attempt was charged, of job",
        "SELECT j.job_id, -e.amount, coalesce(t.charged, 0) FROM entries e JOIN jobs j ON j.id = e.attempt >> 44 \
         LEFT JOIN attempts t ON t.id = e.attempt \
         WHERE e.kind = 'settle' AND (?1 IS NULL OR j.workspace = ?1) AND -e.amount <> coalesce(t.charged, 0) LIMIT 100",
    ),
    (
        "what entries took from another wallet than that of job",
        "SELECT j.job_id, sum(e.amount), 0 FROM entries e JOIN jobs j ON j.id = e.attempt >> 44 \
         LEFT JOIN accounts a ON a.id = e.account \
         WHERE e.account <> j.account AND (?1 IS NULL OR ?1 IN (j.workspace, a.workspace)) GROUP BY j.job_id",
    ),
    (
        "a step charged more than once, of job",
        "SELECT j.job_id, sum(t.charged), max(t.charged) FROM attempts t JOIN jobs j ON j.id = t.job \
         WHERE t.charged > 0 AND (?1 IS NULL OR j.workspace = ?1) \
         GROUP BY t.id >> 14, t.fingerprint HAVING count(*) > 1",
    ),
    (
        "an attempt whose hold is open and its answer known, or the reverse, of job",
        "SELECT j.job_id, sum(t.amount), 0 FROM attempts t JOIN jobs j ON j.id = t.job \
         WHERE (?1 IS NULL OR j.workspace = ?1) AND (t.hold IS 'open') <> (t.outcome IS NULL) GROUP BY t.job",
    ),
    (
        "more than one request for money in flight, of wallet",
        "SELECT a.workspace, sum(r.amount), max(r.amount) FROM recharges r JOIN accounts a ON a.id = r.account \
         WHERE r.state = 'asked' AND (?1 IS NULL OR a.workspace = ?1) GROUP BY a.workspace HAVING count(*) > 1",
    ),
    (
        "a request for money that is paid without its top-up, or the reverse, of wallet",
        "SELECT a.workspace, r.amount, coalesce(e.amount, 0) FROM recharges r JOIN accounts a ON a.id = r.account \
         LEFT JOIN entries e ON e.account = r.account AND e.reference = r.reference AND e.kind = 'top_up' \
         WHERE (?1 IS NULL OR a.workspace = ?1) AND (r.state = 'paid') <> (e.seq IS NOT NULL) LIMIT 100",
    ),
];

/// The same of what is counted. A job that is loading has no slices yet, and none of its leads is done.
const COUNTS: &[(&str, &str)] = &[
    (
        "what is pending in slice",
        "SELECT s.n || ' of job ' || j.job_id, s.pending, coalesce(l.parts, 0) \
         FROM slices s JOIN jobs j ON j.id = s.job \
         LEFT JOIN (SELECT o.id AS job, (d.n - 1) / o.slice_size AS slice, count(*) AS parts \
           FROM leads d JOIN jobs o ON o.id = d.job WHERE d.ended = 0 GROUP BY 1, 2) l \
           ON l.job = s.job AND l.slice = s.n \
         WHERE (?1 IS NULL OR j.workspace = ?1) AND s.pending <> coalesce(l.parts, 0) LIMIT 100",
    ),
    (
        "what is done of job",
        "SELECT j.job_id, j.done, coalesce(l.parts, 0) FROM jobs j \
         LEFT JOIN (SELECT job, sum(1 + copies) AS parts FROM leads WHERE ended = 1 AND copy_of IS NULL \
           GROUP BY job) l ON l.job = j.id \
         WHERE j.state <> 'loading' AND (?1 IS NULL OR j.workspace = ?1) AND j.done <> coalesce(l.parts, 0)",
    ),
    (
        "how many slices are open, one at least, of unfinished job",
        "SELECT j.job_id, 0, 1 FROM jobs j \
         WHERE (j.state = 'queued' OR j.state = 'running') AND (?1 IS NULL OR j.workspace = ?1) \
           AND NOT EXISTS (SELECT 1 FROM slices s INDEXED BY slices_open WHERE s.job = j.id AND s.open = 1)",
    ),
];

/// A running balance must follow from the one before it, entry by entry.
const RUNNING: &str = "SELECT workspace, seq, balance, expected FROM ( \
     SELECT a.workspace AS workspace, e.seq AS seq, e.balance AS balance, \
       sum(e.amount) OVER (PARTITION BY e.account ORDER BY e.seq) AS expected \
     FROM entries e JOIN accounts a ON a.id = e.account WHERE ?1 IS NULL OR a.workspace = ?1) \
   WHERE balance <> expected OR balance < 0 LIMIT 100";

pub(super) fn audit(connection: &Connection, workspace: Option<&WorkspaceId>) -> Result<Audit, LedgerError> {
    let workspace = workspace.map(WorkspaceId::as_str);
    let mut audit = Audit {
        accounts: count(
            connection,
            "SELECT count(*) FROM accounts a WHERE ?1 IS NULL OR a.workspace = ?1",
            [workspace],
        )?,
        entries: count(
            connection,
            "SELECT count(*) FROM entries e JOIN accounts a ON a.id = e.account WHERE ?1 IS NULL OR a.workspace = ?1",
            [workspace],
        )?,
        open_holds: count(
            connection,
            "SELECT count(*) FROM attempts t JOIN accounts a ON a.id = t.account \
             WHERE t.hold = 'open' AND (?1 IS NULL OR a.workspace = ?1)",
            [workspace],
        )?,
        problems: Vec::new(),
    };
    for (what, sql) in RULES {
        let broken = all(connection, sql, [workspace], |row| {
            let (name, recorded, parts): (String, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
            Ok(format!("{what} {name}: recorded {}, recomputed {}", amount(recorded), amount(parts)))
        })?;
        audit.problems.extend(broken);
    }
    for (what, sql) in COUNTS {
        let broken = all(connection, sql, [workspace], |row| {
            let (name, recorded, parts): (String, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
            Ok(format!("{what} {name}: recorded {recorded}, recomputed {parts}"))
        })?;
        audit.problems.extend(broken);
    }
    let broken = all(connection, RUNNING, [workspace], |row| {
        let (name, seq): (String, i64) = (row.get(0)?, row.get(1)?);
        let (recorded, expected) = (usd(row, 2)?, usd(row, 3)?);
        Ok(format!("the balance after entry {seq} of wallet {name}: recorded {recorded}, recomputed {expected}"))
    })?;
    audit.problems.extend(broken);
    Ok(audit)
}

fn amount(nanos: i64) -> Usd {
    Usd::from_nanos(nanos)
}
