//! The audit: every sum recomputed from its parts, every difference said in words.

use crate::domain::Usd;
use crate::domain::WorkspaceId;
use crate::ledger::Audit;
use crate::ledger::LedgerError;
use crate::store::sqlite::rows::all;
use crate::store::sqlite::rows::find;
use crate::store::sqlite::rows::usd;
use rusqlite::Connection;

/// Each query lists what breaks one rule: the thing, what is recorded, what its parts come to.
/// `?1` is the workspace, or NULL for all.
const RULES: &[(&str, &str)] = &[
    (
        "the balance of wallet",
        "SELECT a.workspace, a.balance, coalesce((SELECT sum(amount) FROM entries e WHERE e.account = a.id), 0) AS parts \
         FROM accounts a WHERE (?1 IS NULL OR a.workspace = ?1) AND a.balance <> parts",
    ),
    (
        "the held amount of wallet",
        "SELECT a.workspace, a.held, \
           coalesce((SELECT sum(amount) FROM holds h WHERE h.account = a.id AND h.state = 'open'), 0) AS parts \
         FROM accounts a WHERE (?1 IS NULL OR a.workspace = ?1) AND a.held <> parts",
    ),
    (
        "what job has spent",
        "SELECT j.job_id, j.spent, coalesce((SELECT sum(charged) FROM holds h WHERE h.job = j.id), 0) AS parts \
         FROM jobs j WHERE (?1 IS NULL OR j.workspace = ?1) AND j.spent <> parts",
    ),
    (
        "what job holds",
        "SELECT j.job_id, j.held, \
           coalesce((SELECT sum(amount) FROM holds h WHERE h.job = j.id AND h.state = 'open'), 0) AS parts \
         FROM jobs j WHERE (?1 IS NULL OR j.workspace = ?1) AND j.held <> parts",
    ),
    (
        "the settlements of job, against its charged holds,",
        "SELECT j.job_id, coalesce((SELECT -sum(amount) FROM entries e WHERE e.job = j.id AND e.kind = 'settle'), 0) AS booked, \
           coalesce((SELECT sum(charged) FROM holds h WHERE h.job = j.id), 0) AS parts \
         FROM jobs j WHERE (?1 IS NULL OR j.workspace = ?1) AND booked <> parts",
    ),
    (
        "what the attempts of job cost, against its charged holds,",
        "SELECT j.job_id, coalesce((SELECT sum(cost) FROM attempts t WHERE t.job = j.id), 0) AS booked, \
           coalesce((SELECT sum(charged) FROM holds h WHERE h.job = j.id), 0) AS parts \
         FROM jobs j WHERE (?1 IS NULL OR j.workspace = ?1) AND booked <> parts",
    ),
    (
        "a step charged more than once, of job",
        "SELECT j.job_id, count(*), 1 FROM holds h JOIN jobs j ON j.id = h.job \
         WHERE h.charged > 0 AND (?1 IS NULL OR j.workspace = ?1) \
         GROUP BY h.job, h.lead, h.step, h.fingerprint HAVING count(*) > 1",
    ),
    (
        "an ended hold whose attempt awaits its answer (or the reverse), of job",
        "SELECT j.job_id, count(*), 0 FROM holds h JOIN jobs j ON j.id = h.job \
         LEFT JOIN attempts t ON t.job = h.job AND t.lead = h.lead AND t.n = h.n \
         WHERE (?1 IS NULL OR j.workspace = ?1) AND (t.n IS NULL OR (h.state = 'open') <> (t.outcome IS NULL)) \
         GROUP BY h.job",
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
        accounts: count(connection, "SELECT count(*) FROM accounts a WHERE ?1 IS NULL OR a.workspace = ?1", workspace)?,
        entries: count(
            connection,
            "SELECT count(*) FROM entries e JOIN accounts a ON a.id = e.account WHERE ?1 IS NULL OR a.workspace = ?1",
            workspace,
        )?,
        open_holds: count(
            connection,
            "SELECT count(*) FROM holds h JOIN accounts a ON a.id = h.account \
             WHERE h.state = 'open' AND (?1 IS NULL OR a.workspace = ?1)",
            workspace,
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

fn count(connection: &Connection, sql: &str, workspace: Option<&str>) -> Result<u64, LedgerError> {
    Ok(find(connection, sql, [workspace], |row| row.get(0))?.unwrap_or_default())
}
