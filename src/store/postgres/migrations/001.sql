-- The shared store, version 1. Money is whole nano-dollars; times are milliseconds of the database's own clock.
-- Lock order everywhere: accounts, jobs, slices, each by id; then anything else.

CREATE FUNCTION now_ms() RETURNS BIGINT LANGUAGE sql VOLATILE
  AS $$ SELECT (extract(epoch FROM clock_timestamp()) * 1000)::BIGINT $$;

-- What this store is: whether sandbox or not.
CREATE TABLE store (key TEXT PRIMARY KEY, value TEXT NOT NULL);
-- Counts changes that workers look out for.
CREATE TABLE counters (name TEXT PRIMARY KEY, value BIGINT NOT NULL);

-- A wallet. `held` is the sum of its open holds; the last line of defence stands in the CHECKs.
CREATE TABLE accounts (
  id         BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  workspace  TEXT NOT NULL,
  bucket     TEXT NOT NULL,
  balance    BIGINT NOT NULL DEFAULT 0,
  held       BIGINT NOT NULL DEFAULT 0 CHECK (held >= 0),
  low_told   BOOLEAN NOT NULL DEFAULT false,       -- since the balance last was at or above its threshold
  empty_told BOOLEAN NOT NULL DEFAULT false,       -- since the last top-up
  CHECK (balance - held >= 0),
  UNIQUE (workspace, bucket)
) WITH (fillfactor = 50);

CREATE TABLE jobs (
  id             BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  job_id         TEXT NOT NULL UNIQUE,
  workspace      TEXT NOT NULL,
  account        BIGINT NOT NULL REFERENCES accounts (id),
  kind           TEXT NOT NULL,
  state          TEXT NOT NULL CHECK (state IN ('loading', 'queued', 'running', 'completed', 'cancelled')),
  waterfall      TEXT NOT NULL,
  campaign       TEXT,
  content        BYTEA NOT NULL,                   -- what makes it the same job when it is sent again
  max_spend      BIGINT,                           -- the job's cap; NULL is none
  funded         BIGINT NOT NULL DEFAULT 0,        -- what its budgets have put into the wallet so far
  spent          BIGINT NOT NULL DEFAULT 0 CHECK (spent >= 0),
  held           BIGINT NOT NULL DEFAULT 0 CHECK (held >= 0),
  run            INTEGER NOT NULL DEFAULT 1,
  slice_size     INTEGER NOT NULL,
  leads          BIGINT NOT NULL DEFAULT 0,
  done           BIGINT NOT NULL DEFAULT 0,
  auto_resume    BOOLEAN NOT NULL DEFAULT false,
  resume_asked   BOOLEAN NOT NULL DEFAULT false,   -- its wallet was topped up
  resume_again   BOOLEAN NOT NULL DEFAULT false,   -- leads were at work when it was resumed: once more when they have ended
  cancel_asked   BOOLEAN NOT NULL DEFAULT false,   -- while it loads: once it is sealed it is cancelled
  reply_to       TEXT,
  correlation_id TEXT,
  load_number    INTEGER NOT NULL DEFAULT 0,       -- counts the loads begun: an older one is refused
  created_at     BIGINT NOT NULL,
  updated_at     BIGINT NOT NULL
) WITH (fillfactor = 50);
CREATE INDEX jobs_open ON jobs (id) WHERE state IN ('queued', 'running', 'cancelled');
CREATE INDEX jobs_resume_asked ON jobs (id) WHERE resume_asked OR resume_again;
CREATE INDEX jobs_auto_resume ON jobs (account) WHERE auto_resume;

-- A lead as it came, and how it ended. `copy_of` names the identical lead that is worked instead.
CREATE TABLE leads (
  job         BIGINT NOT NULL,
  n           INTEGER NOT NULL,
  lead_id     TEXT NOT NULL,
  fields      TEXT NOT NULL,                       -- JSON array in the order of the lead's fields
  fingerprint BYTEA NOT NULL,
  copy_of     INTEGER,
  copies      INTEGER NOT NULL DEFAULT 0,
  run         INTEGER NOT NULL DEFAULT 1,          -- the run that works, or last worked, on it
  ended       BOOLEAN NOT NULL DEFAULT false,      -- when that run has decided it
  status      TEXT,
  reason      TEXT,
  address     TEXT,
  verdict     TEXT,
  found_by    TEXT,
  verified_by TEXT,
  ended_at    BIGINT,
  PRIMARY KEY (job, n)
) WITH (fillfactor = 80);
CREATE UNIQUE INDEX leads_ids ON leads (job, lead_id);
-- Over `job + 0`, so that no other index can be taken for the look-up: without statistics, which a table that has
-- just grown lacks, the planner takes the primary key, and reads the whole job for each lead.
CREATE INDEX leads_alike ON leads (fingerprint, (job + 0)) WHERE copy_of IS NULL;
CREATE INDEX leads_copies ON leads (job, copy_of) WHERE copy_of IS NOT NULL;

-- `pending` counts the leads that the current run has still to decide. A slice is open until they have
-- ended and their results are out.
CREATE TABLE slices (
  job         BIGINT NOT NULL REFERENCES jobs (id),
  n           INTEGER NOT NULL,
  epoch       INTEGER NOT NULL DEFAULT 0,          -- counts the claims; what an older owner writes is refused
  pending     INTEGER NOT NULL CHECK (pending >= 0),
  open        BOOLEAN NOT NULL DEFAULT true,
  since_run   INTEGER NOT NULL DEFAULT 1,          -- results of this run and later ones may not be out
  queued_at   BIGINT,                              -- when it was last announced
  worker      TEXT,
  lease_until BIGINT NOT NULL DEFAULT 0,
  broken      TEXT,                                -- why it was set aside, until its job is resumed
  PRIMARY KEY (job, n)
) WITH (fillfactor = 50);
CREATE INDEX slices_open ON slices (job, n) WHERE open;

-- The journal: one row per try of a step, with its hold, whose id is the attempt's. `outcome` is NULL while
-- the answer is awaited; `hold` is NULL where there was nothing to hold for: nobody was asked.
-- A hold ends once: settled, voided or expired.
CREATE TABLE attempts (
  id          BIGINT PRIMARY KEY,                  -- job << 36 | lead << 12 | n
  run         INTEGER NOT NULL,
  step        TEXT NOT NULL,
  fingerprint BYTEA NOT NULL,                      -- of workspace, step and inputs
  about       TEXT,
  key_source  TEXT NOT NULL,
  config      TEXT NOT NULL,
  began_at    BIGINT NOT NULL,
  account     BIGINT,
  hold        TEXT CHECK (hold IN ('open', 'settled', 'voided', 'expired')),
  amount      BIGINT NOT NULL DEFAULT 0 CHECK (amount >= 0),
  expires_at  BIGINT,
  charged     BIGINT NOT NULL DEFAULT 0 CHECK (charged >= 0),
  lost        BIGINT NOT NULL DEFAULT 0 CHECK (lost >= 0),
  handle      TEXT,
  outcome     TEXT,
  detail      TEXT,
  found       TEXT,
  claim       TEXT,
  source      TEXT,                                -- called, cached or not_asked
  duration_ms BIGINT NOT NULL DEFAULT 0,
  ended_at    BIGINT,
  reusable    BOOLEAN NOT NULL DEFAULT false,      -- its answer serves the whole workspace
  learned     TEXT,                                -- what an overtaken owner had learned, while the answer is awaited
  heard       BIGINT NOT NULL DEFAULT 0,           -- the overtaken owners that were heard, a bit each
  CHECK ((hold IS NULL) = (account IS NULL))
) WITH (fillfactor = 70);
CREATE INDEX attempts_reusable ON attempts (fingerprint, ended_at) WHERE reusable;
-- The proof: no step of a lead is charged twice (the fingerprint covers step and inputs).
CREATE UNIQUE INDEX attempts_charged_once ON attempts ((id >> 12), fingerprint) WHERE charged > 0;

-- The holds that are open. No index of their own leads to them: every call would pay for it twice. They are looked
-- for where they can be, in open slices that were claimed (one that is to be announced anew is looked at once it is),
-- and where they should not be, in jobs that have come to their end and hold money all the same. `OFFSET 0` keeps
-- the planner from reading the whole journal instead.
CREATE VIEW open_holds AS
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
    WHERE j.state = 'completed' AND j.held > 0;

-- Every change of a balance, append-only.
CREATE TABLE entries (
  seq       BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  account   BIGINT NOT NULL,
  at        BIGINT NOT NULL,
  kind      TEXT NOT NULL CHECK (kind IN ('top_up', 'settle', 'adjust', 'refund')),
  amount    BIGINT NOT NULL,
  balance   BIGINT NOT NULL CHECK (balance >= 0),
  reference TEXT,
  note      TEXT,
  attempt   BIGINT                                 -- what a settlement paid for
);
CREATE INDEX entries_account ON entries (account, seq);
CREATE UNIQUE INDEX entries_reference ON entries (account, reference) WHERE reference IS NOT NULL;
CREATE FUNCTION entries_stay() RETURNS trigger LANGUAGE plpgsql
  AS $$ BEGIN RAISE EXCEPTION 'the ledger is append-only'; END $$;
CREATE TRIGGER entries_stay BEFORE UPDATE OR DELETE ON entries FOR EACH STATEMENT EXECUTE FUNCTION entries_stay();

-- What a commit caused and nobody has been told yet. Told, it is deleted.
CREATE TABLE happenings (
  seq         BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  kind        TEXT NOT NULL,
  key         TEXT NOT NULL,
  at          BIGINT NOT NULL,
  workspace   TEXT,
  job         BIGINT,
  run         INTEGER,
  campaign    TEXT,
  provider    TEXT,
  key_source  TEXT,
  balance     BIGINT,
  threshold   BIGINT,
  taken_until BIGINT NOT NULL DEFAULT 0,
  UNIQUE (kind, key)
);

-- Keys that do not work, and have been told of. `key` begins with the owner (empty: the house) and the provider.
CREATE TABLE failing_keys (key TEXT PRIMARY KEY);

CREATE TABLE workspaces (
  workspace        TEXT PRIMARY KEY,
  plan             TEXT NOT NULL,
  own_key_fallback TEXT NOT NULL,
  low_balance      BIGINT,
  recharge_below   BIGINT,
  recharge_amount  BIGINT
);

-- Own keys, sealed: nonce and sealed text.
CREATE TABLE own_keys (
  workspace TEXT NOT NULL,
  provider  TEXT NOT NULL,
  key_id    TEXT NOT NULL,
  sealed    BYTEA NOT NULL,
  last4     TEXT NOT NULL,
  stored_at BIGINT NOT NULL,
  PRIMARY KEY (workspace, provider)
);

CREATE TABLE campaigns (
  workspace TEXT NOT NULL,
  campaign  TEXT NOT NULL,
  active    BOOLEAN NOT NULL DEFAULT true,
  PRIMARY KEY (workspace, campaign)
);

CREATE TABLE workers (
  worker         TEXT PRIMARY KEY,
  config_version TEXT NOT NULL,
  seen_at        BIGINT NOT NULL
);

-- Inline configurations that were accepted; the last one is in force. NULL: the files are.
CREATE TABLE configs (
  seq     BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  request TEXT NOT NULL UNIQUE,
  text    TEXT,
  at      BIGINT NOT NULL
);

INSERT INTO counters (name, value) VALUES ('keys', 0);
