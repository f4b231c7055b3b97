-- Up Migration
-- When a handle was last asked about, so that every front knows; and attempts that are all written down, so that a commit
-- takes as long whoever's login it was.

-- Outside the binding: nothing is signed by it.
alter table paraph.approval add column asked_at timestamptz;

-- Whether the last attempt was looked at. An attempt that is not is written as well.
alter table paraph.guess add column looked_at boolean not null default true;
alter table paraph.device add column looked_at boolean not null default true;
-- Attempts on logins that nobody has are counted beside the others, in a few thousand rows under ids that no signer has.
alter table paraph.guess drop constraint guess_signer_id_fkey;

-- Down Migration
