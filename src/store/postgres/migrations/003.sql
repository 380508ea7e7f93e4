-- The shared store, version 3: campaigns by command, requests for money.

ALTER TABLE happenings
  ADD COLUMN amount    BIGINT,
  ADD COLUMN reference TEXT;

-- Counts how often a command stopped it, or a resume activated it: each time is an event of its own.
ALTER TABLE campaigns
  ADD COLUMN changes    BIGINT NOT NULL DEFAULT 0,
  ADD COLUMN by_command BOOLEAN NOT NULL DEFAULT false;   -- a command stopped it: a top-up alone does not activate it

-- NULL: as is usual for that amount. Durations are milliseconds.
ALTER TABLE workspaces
  ADD COLUMN recharge_cool_off  BIGINT,
  ADD COLUMN recharge_per_day   BIGINT,
  ADD COLUMN recharge_per_month BIGINT,
  ADD COLUMN recharge_declines  INTEGER NOT NULL DEFAULT 0;   -- in a row
-- Every worker looks for those that ask, every second.
CREATE INDEX workspaces_recharge ON workspaces (workspace) WHERE recharge_below IS NOT NULL;

-- A request for money, answered once by a top-up of its reference, or declined. `n` counts those of a wallet.
CREATE TABLE recharges (
  account     BIGINT NOT NULL REFERENCES accounts (id),
  reference   TEXT NOT NULL,
  n           BIGINT NOT NULL,
  amount      BIGINT NOT NULL CHECK (amount > 0),
  state       TEXT NOT NULL CHECK (state IN ('asked', 'paid', 'declined')),
  asked_at    BIGINT NOT NULL,
  told_at     BIGINT NOT NULL,                     -- when it was last asked
  answered_at BIGINT,
  PRIMARY KEY (account, reference),
  CHECK ((answered_at IS NULL) = (state = 'asked'))
);
-- The proof: a wallet has one request in flight at most.
CREATE UNIQUE INDEX recharges_in_flight ON recharges (account) WHERE state = 'asked';
CREATE INDEX recharges_listed ON recharges (account, n);
CREATE INDEX recharges_answered ON recharges (account, answered_at);

-- Nobody said what its call took, so that what was held for it was owed.
ALTER TABLE attempts ADD COLUMN unsaid BOOLEAN NOT NULL DEFAULT false;
