-- The shared store, version 4: an attempt's end and a lead's ending are written in place. PostgreSQL does that only
-- while no index has a column that changes, and while the page has room for the row twice.
ALTER TABLE attempts SET (fillfactor = 50);
ALTER TABLE leads SET (fillfactor = 50);

-- By question alone: few attempts ask the same, so who looks for an answer reads them all.
CREATE INDEX attempts_asked ON attempts (fingerprint);
DROP INDEX attempts_reusable;

-- The proof that no step of a lead is charged twice stands where charges do: `asked` is the attempt's fingerprint, which
-- covers step and inputs.
ALTER TABLE entries ADD COLUMN asked BYTEA;
ALTER TABLE entries DISABLE TRIGGER entries_stay;
UPDATE entries e SET asked = a.fingerprint FROM attempts a WHERE a.id = e.attempt AND a.charged > 0;
ALTER TABLE entries ENABLE TRIGGER entries_stay;
CREATE UNIQUE INDEX entries_charged_once ON entries ((attempt >> 12), asked) WHERE attempt IS NOT NULL;
DROP INDEX attempts_charged_once;
