-- A busy minute's row is written anew with every batch. With room for it on its own page PostgreSQL
-- leaves the indexes alone (a HEAP_ONLY_TUPLE update); on a full page every batch added an entry to both
-- of them for each row.
ALTER TABLE click_minutes SET (fillfactor = 50);
