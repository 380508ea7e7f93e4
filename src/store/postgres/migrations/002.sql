-- The shared store, version 2: copy.

ALTER TABLE jobs ADD COLUMN brief TEXT;              -- what copy is asked for, JSON; NULL where an address is searched

-- JSON: the text of a page, or a draft and its tokens. NULL too where an attempt took the text of an earlier one.
ALTER TABLE attempts ADD COLUMN product TEXT;

-- Who asks for a page just now, so that nobody else does. One whose attempt has ended stands for nobody, but tells for
-- a minute that the page failed. All of a workspace are written under the lock of its wallet.
CREATE TABLE askings (
  fingerprint BYTEA PRIMARY KEY,
  attempt     BIGINT NOT NULL
) WITH (fillfactor = 50);
