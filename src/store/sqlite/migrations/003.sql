-- The embedded store, version 3: copy.

ALTER TABLE jobs ADD COLUMN brief TEXT;                                   -- what copy is asked for, JSON; NULL where an address is searched

-- Last in its row: who sums what was charged does not read past it. JSON: the text of a page, or a draft and its tokens.
-- NULL too where an attempt took the text of an earlier one.
ALTER TABLE attempts ADD COLUMN product TEXT;

-- Who asks for a page just now, so that nobody else does. One whose attempt has ended stands for nobody,
-- but tells for a minute that the page failed.
CREATE TABLE askings (
  fingerprint BLOB PRIMARY KEY,
  attempt     INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
