-- The embedded store, version 1. Money is whole nano-dollars; times are wall-clock milliseconds (UTC).
-- Closed sets are checked with OR: IN would build a table of its words at every insert and update.

-- What this store is: whether sandbox or not, and which workspace it was made for.
CREATE TABLE store (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;

-- A wallet. `held` is the sum of its open holds; the last line of defence stands in the CHECKs.
CREATE TABLE accounts (
  id        INTEGER PRIMARY KEY,
  workspace TEXT NOT NULL,
  bucket    TEXT NOT NULL,
  balance   INTEGER NOT NULL DEFAULT 0,
  held      INTEGER NOT NULL DEFAULT 0 CHECK (held >= 0),
  CHECK (balance - held >= 0),
  UNIQUE (workspace, bucket)
) STRICT;

CREATE TABLE jobs (
  id          INTEGER PRIMARY KEY,
  job_id      TEXT NOT NULL UNIQUE,
  workspace   TEXT NOT NULL,
  account     INTEGER NOT NULL REFERENCES accounts (id),
  kind        TEXT NOT NULL,
  state       TEXT NOT NULL CHECK (state = 'loading' OR state = 'queued' OR state = 'running' OR state = 'completed' OR state = 'cancelled'),
  waterfall   TEXT NOT NULL,
  content     BLOB NOT NULL,                      -- what makes it the same job when it is sent again
  max_spend   INTEGER,                            -- the job's cap; NULL is none
  funded      INTEGER NOT NULL DEFAULT 0,         -- what its budgets have put into the wallet so far
  spent       INTEGER NOT NULL DEFAULT 0 CHECK (spent >= 0),
  held        INTEGER NOT NULL DEFAULT 0 CHECK (held >= 0),
  run         INTEGER NOT NULL DEFAULT 1,
  slice_size  INTEGER NOT NULL,
  leads       INTEGER NOT NULL DEFAULT 0,
  done        INTEGER NOT NULL DEFAULT 0,
  created_at  INTEGER NOT NULL,
  updated_at  INTEGER NOT NULL
) STRICT;

-- A lead as it came, and how it ended. `copy_of` names the identical lead that is worked instead.
CREATE TABLE leads (
  job          INTEGER NOT NULL REFERENCES jobs (id),
  n            INTEGER NOT NULL,
  lead_id      TEXT NOT NULL,
  fields       TEXT NOT NULL,                     -- JSON array in the order of the lead's fields
  fingerprint  BLOB NOT NULL,
  copy_of      INTEGER,
  copies       INTEGER NOT NULL DEFAULT 0,
  run          INTEGER NOT NULL DEFAULT 1,        -- the run that works, or last worked, on it
  ended        INTEGER NOT NULL DEFAULT 0,        -- 1 when that run has decided it
  status       TEXT,
  reason       TEXT,
  address      TEXT,
  verdict      TEXT,
  found_by     TEXT,
  verified_by  TEXT,
  PRIMARY KEY (job, n)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX leads_ids ON leads (job, lead_id);
CREATE INDEX leads_alike ON leads (job, fingerprint) WHERE copy_of IS NULL;

-- `pending` counts the leads of the slice that the current run has still to decide.
CREATE TABLE slices (
  job     INTEGER NOT NULL REFERENCES jobs (id),
  n       INTEGER NOT NULL,
  epoch   INTEGER NOT NULL DEFAULT 0,
  pending INTEGER NOT NULL CHECK (pending >= 0),
  PRIMARY KEY (job, n)
) STRICT, WITHOUT ROWID;

-- The journal: one row per try of a step, with its hold, whose id is the attempt's. `outcome` is NULL
-- while the answer is awaited; `hold` is NULL where there was nothing to hold for: nobody was asked.
-- A hold ends once: settled, voided or expired.
-- Job, lead and number make one integer, so that a lead's attempts stand together, each is found by one
-- look-up, and rows are appended almost in order: measured at twice the speed of a three-part key.
CREATE TABLE attempts (
  id           INTEGER PRIMARY KEY,               -- job << 44 | lead << 14 | n
  job          INTEGER GENERATED ALWAYS AS (id >> 44) VIRTUAL,
  lead         INTEGER GENERATED ALWAYS AS ((id >> 14) & 1073741823) VIRTUAL,
  n            INTEGER GENERATED ALWAYS AS (id & 16383) VIRTUAL,
  run          INTEGER NOT NULL,
  step         TEXT NOT NULL,
  fingerprint  BLOB NOT NULL,                     -- of workspace, step and inputs
  about        TEXT,
  key_source   TEXT NOT NULL,
  config       TEXT NOT NULL,
  began_at     INTEGER NOT NULL,
  account      INTEGER REFERENCES accounts (id),
  hold         TEXT CHECK (hold = 'open' OR hold = 'settled' OR hold = 'voided' OR hold = 'expired'),
  amount       INTEGER NOT NULL DEFAULT 0 CHECK (amount >= 0),
  expires_at   INTEGER,
  charged      INTEGER NOT NULL DEFAULT 0 CHECK (charged >= 0),
  lost         INTEGER NOT NULL DEFAULT 0 CHECK (lost >= 0),
  handle       TEXT,
  outcome      TEXT,
  detail       TEXT,
  found        TEXT,
  claim        TEXT,
  source       TEXT,                              -- called, cached or not_asked
  duration_ms  INTEGER NOT NULL DEFAULT 0,
  ended_at     INTEGER,
  reusable     INTEGER NOT NULL DEFAULT 0,        -- 1: its answer serves the whole workspace
  CHECK ((hold IS NULL) = (account IS NULL))
) STRICT;
CREATE INDEX attempts_reusable ON attempts (fingerprint, ended_at) WHERE reusable = 1;
-- The proof: no step of a lead is charged twice (the fingerprint covers step and inputs).
CREATE UNIQUE INDEX attempts_charged_once ON attempts (id >> 14, fingerprint) WHERE charged > 0;

-- Every change of a balance, append-only.
CREATE TABLE entries (
  seq       INTEGER PRIMARY KEY,                  -- never used again: nothing is ever deleted
  account   INTEGER NOT NULL REFERENCES accounts (id),
  at        INTEGER NOT NULL,
  kind      TEXT NOT NULL CHECK (kind = 'top_up' OR kind = 'settle' OR kind = 'adjust' OR kind = 'refund'),
  amount    INTEGER NOT NULL,
  balance   INTEGER NOT NULL CHECK (balance >= 0),
  reference TEXT,
  note      TEXT,
  attempt   INTEGER                               -- what a settlement paid for
) STRICT;
CREATE UNIQUE INDEX entries_reference ON entries (account, reference) WHERE reference IS NOT NULL;
CREATE TRIGGER entries_keep BEFORE UPDATE ON entries BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
CREATE TRIGGER entries_stay BEFORE DELETE ON entries BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
