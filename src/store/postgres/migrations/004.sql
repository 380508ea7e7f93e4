-- The shared store, version 4: an attempt's end and a lead's ending are written in place. PostgreSQL does that only
-- while no index has a column that changes, and while the page has room for the row twice.
ALTER TABLE attempts SET (fillfactor = 50);
ALTER TABLE leads SET (fillfactor = 50);

-- By question alone, and of those that were called: few of them ask the same, so who looks for an answer reads them all.
-- What took its answer from another has no account.
-- A hash, because fingerprints come in no order: a call's hold costs a sixth less than with a tree.
CREATE INDEX attempts_asked ON attempts USING hash (fingerprint) WHERE account IS NOT NULL;
DROP INDEX attempts_reusable;

-- The proof that no step of a lead is charged twice stands where charges do: `asked` is the attempt's fingerprint, which
-- covers step and inputs.
ALTER TABLE entries ADD COLUMN asked BYTEA;
ALTER TABLE entries DISABLE TRIGGER entries_stay;
UPDATE entries e SET asked = a.fingerprint FROM attempts a WHERE a.id = e.attempt;
ALTER TABLE entries ENABLE TRIGGER entries_stay;
-- A program of an earlier version would write entries that the index does not see.
ALTER TABLE entries ADD CONSTRAINT entries_asked CHECK (attempt IS NULL OR asked IS NOT NULL);
CREATE UNIQUE INDEX entries_charged_once ON entries ((attempt >> 12), asked) WHERE attempt IS NOT NULL;
DROP INDEX attempts_charged_once;
-- Nobody looks for an entry but by its wallet: one index does for both.
ALTER TABLE entries DROP CONSTRAINT entries_pkey, ADD PRIMARY KEY (account, seq);
DROP INDEX entries_account;

-- A job that held money when its last slice was closed: no open slice leads to those holds any more. The index goes by
-- this mark: one that names `held` would keep every hold from being written in place.
ALTER TABLE jobs ADD COLUMN ended_holding BOOLEAN NOT NULL DEFAULT false;
UPDATE jobs SET ended_holding = true WHERE held > 0 AND state IN ('completed', 'cancelled');
CREATE INDEX jobs_ended_holding ON jobs (id) WHERE ended_holding;

-- As it was, but for its second half: jobs that have come to their end, cancelled ones too, are found by their mark.
CREATE OR REPLACE VIEW open_holds AS
  SELECT t.id, t.account, t.expires_at, s.job, s.n AS slice, s.lease_until
    FROM slices s JOIN jobs j ON j.id = s.job CROSS JOIN LATERAL (
      SELECT a.id, a.account, a.expires_at FROM attempts a
      WHERE a.hold = 'open'
        AND a.id BETWEEN (s.job << 24 | (s.n::bigint * j.slice_size + 1)) << 12
        AND (s.job << 24 | least((s.n + 1)::bigint * j.slice_size, 16777215)) << 12 | 4095 OFFSET 0) t
    WHERE s.open AND s.epoch > 0 AND (s.queued_at IS NOT NULL OR s.broken IS NOT NULL)
  UNION ALL
  SELECT t.id, t.account, t.expires_at, j.id, ((((t.id >> 12) & 16777215) - 1) / j.slice_size)::int, 0::bigint
    FROM jobs j CROSS JOIN LATERAL (
      SELECT a.id, a.account, a.expires_at FROM attempts a
      WHERE a.hold = 'open' AND a.id BETWEEN j.id << 36 AND ((j.id + 1) << 36) - 1 OFFSET 0) t
    WHERE j.ended_holding AND j.held > 0 AND NOT EXISTS (SELECT FROM slices s WHERE s.job = j.id AND s.open);
