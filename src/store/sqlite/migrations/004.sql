-- The embedded store, version 4: campaigns by command, requests for money.

ALTER TABLE happenings ADD COLUMN amount INTEGER;
ALTER TABLE happenings ADD COLUMN reference TEXT;

-- Counts how often a command stopped it, or a resume activated it: each time is an event of its own.
ALTER TABLE campaigns ADD COLUMN changes INTEGER NOT NULL DEFAULT 0;
-- A command stopped it: a top-up alone does not activate it.
ALTER TABLE campaigns ADD COLUMN by_command INTEGER NOT NULL DEFAULT 0 CHECK (by_command IN (0, 1));

-- NULL: as is usual for that amount. Durations are milliseconds.
ALTER TABLE workspaces ADD COLUMN recharge_cool_off INTEGER;
ALTER TABLE workspaces ADD COLUMN recharge_per_day INTEGER;
ALTER TABLE workspaces ADD COLUMN recharge_per_month INTEGER;
ALTER TABLE workspaces ADD COLUMN recharge_declines INTEGER NOT NULL DEFAULT 0;   -- in a row

-- A request for money, answered once by a top-up of its reference, or declined. `n` counts those of a wallet.
CREATE TABLE recharges (
  account     INTEGER NOT NULL REFERENCES accounts (id),
  reference   TEXT NOT NULL,
  n           INTEGER NOT NULL,
  amount      INTEGER NOT NULL CHECK (amount > 0),
  state       TEXT NOT NULL CHECK (state = 'asked' OR state = 'paid' OR state = 'declined'),
  asked_at    INTEGER NOT NULL,
  told_at     INTEGER NOT NULL,                   -- when it was last asked
  answered_at INTEGER,
  PRIMARY KEY (account, reference),
  CHECK ((answered_at IS NULL) = (state = 'asked'))
) STRICT, WITHOUT ROWID;
-- The proof: a wallet has one request in flight at most.
CREATE UNIQUE INDEX recharges_in_flight ON recharges (account) WHERE state = 'asked';
CREATE INDEX recharges_listed ON recharges (account, n);
CREATE INDEX recharges_answered ON recharges (account, answered_at);

-- 1: nobody said what its call took, so that what was held for it was owed.
ALTER TABLE attempts ADD COLUMN unsaid INTEGER NOT NULL DEFAULT 0;
