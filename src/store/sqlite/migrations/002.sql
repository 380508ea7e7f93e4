-- The embedded store, version 2: leases, happenings, own keys, campaigns, workers. Booleans are 0 and 1.

ALTER TABLE accounts ADD COLUMN low_told INTEGER NOT NULL DEFAULT 0;      -- since the balance last was at or above its threshold
ALTER TABLE accounts ADD COLUMN empty_told INTEGER NOT NULL DEFAULT 0;    -- since the last top-up

ALTER TABLE jobs ADD COLUMN campaign TEXT;
ALTER TABLE jobs ADD COLUMN auto_resume INTEGER NOT NULL DEFAULT 0;
ALTER TABLE jobs ADD COLUMN resume_asked INTEGER NOT NULL DEFAULT 0;      -- its wallet was topped up
ALTER TABLE jobs ADD COLUMN resume_again INTEGER NOT NULL DEFAULT 0;      -- leads were at work when it was resumed: once more when they have ended
ALTER TABLE jobs ADD COLUMN cancel_asked INTEGER NOT NULL DEFAULT 0;      -- while it loads: once it is sealed it is cancelled
ALTER TABLE jobs ADD COLUMN load_number INTEGER NOT NULL DEFAULT 0;       -- counts the loads begun: an older one is refused
ALTER TABLE jobs ADD COLUMN reply_to TEXT;
ALTER TABLE jobs ADD COLUMN correlation_id TEXT;
CREATE INDEX jobs_resume_asked ON jobs (id) WHERE resume_asked = 1 OR resume_again = 1;
CREATE INDEX jobs_auto_resume ON jobs (account) WHERE auto_resume = 1;

ALTER TABLE leads ADD COLUMN ended_at INTEGER;                            -- NULL: not yet, or before this was noted
CREATE INDEX leads_copies ON leads (job, copy_of) WHERE copy_of IS NOT NULL;

-- A slice is open until its leads have ended and their results are out.
ALTER TABLE slices ADD COLUMN open INTEGER NOT NULL DEFAULT 1;
ALTER TABLE slices ADD COLUMN since_run INTEGER NOT NULL DEFAULT 1;       -- results of this run and later ones may not be out
ALTER TABLE slices ADD COLUMN queued_at INTEGER;                          -- when it was last announced
ALTER TABLE slices ADD COLUMN worker TEXT;
ALTER TABLE slices ADD COLUMN lease_until INTEGER NOT NULL DEFAULT 0;
ALTER TABLE slices ADD COLUMN broken TEXT;                                -- why it was set aside, until its job is resumed
UPDATE slices SET open = pending > 0, since_run = (SELECT run FROM jobs WHERE id = slices.job);
CREATE INDEX slices_open ON slices (job, n) WHERE open = 1;

ALTER TABLE attempts ADD COLUMN learned TEXT;                             -- what an overtaken owner had learned, while the answer is awaited
ALTER TABLE attempts ADD COLUMN heard INTEGER NOT NULL DEFAULT 0;         -- the overtaken owners that were heard, a bit each

-- What a commit caused and nobody has been told yet. Told, it is deleted; its number is never used again.
CREATE TABLE happenings (
  seq         INTEGER PRIMARY KEY AUTOINCREMENT,
  kind        TEXT NOT NULL,
  key         TEXT NOT NULL,
  at          INTEGER NOT NULL,
  workspace   TEXT,
  job         INTEGER,
  run         INTEGER,
  campaign    TEXT,
  provider    TEXT,
  key_source  TEXT,
  balance     INTEGER,
  threshold   INTEGER,
  taken_until INTEGER NOT NULL DEFAULT 0,
  UNIQUE (kind, key)
) STRICT;

-- Keys that do not work, and have been told of. `key` begins with the owner (empty: the house) and the provider.
CREATE TABLE failing_keys (key TEXT PRIMARY KEY) STRICT, WITHOUT ROWID;

CREATE TABLE workspaces (
  workspace        TEXT PRIMARY KEY,
  plan             TEXT NOT NULL,
  own_key_fallback TEXT NOT NULL,
  low_balance      INTEGER,
  recharge_below   INTEGER,
  recharge_amount  INTEGER
) STRICT, WITHOUT ROWID;

-- Own keys, sealed: nonce and sealed text.
CREATE TABLE own_keys (
  workspace TEXT NOT NULL,
  provider  TEXT NOT NULL,
  key_id    TEXT NOT NULL,
  sealed    BLOB NOT NULL,
  last4     TEXT NOT NULL,
  stored_at INTEGER NOT NULL,
  PRIMARY KEY (workspace, provider)
) STRICT, WITHOUT ROWID;

CREATE TABLE campaigns (
  workspace TEXT NOT NULL,
  campaign  TEXT NOT NULL,
  active    INTEGER NOT NULL DEFAULT 1,
  PRIMARY KEY (workspace, campaign)
) STRICT, WITHOUT ROWID;

CREATE TABLE workers (
  worker         TEXT PRIMARY KEY,
  config_version TEXT NOT NULL,
  seen_at        INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Inline configurations that were accepted; the last one is in force. NULL: the files are.
CREATE TABLE configs (
  seq     INTEGER PRIMARY KEY,
  request TEXT NOT NULL UNIQUE,
  text    TEXT,
  at      INTEGER NOT NULL
) STRICT;

-- Counts changes that workers look out for.
CREATE TABLE counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;
INSERT INTO counters (name, value) VALUES ('keys', 0);

-- A job that was killed between its last lead and its completion has come to its end all the same.
UPDATE jobs SET state = 'completed'
  WHERE (state = 'queued' OR state = 'running') AND NOT EXISTS (SELECT 1 FROM slices WHERE job = jobs.id AND open = 1);
