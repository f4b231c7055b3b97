-- Up Migration
-- A signer who answers on our own pages may choose that the answer covers further files of the session.

alter table paraph.approval add column session_ceiling integer check (session_ceiling >= 1);
comment on column paraph.approval.session_ceiling is
  'how many signatures the signer lets the session have, where he chose that it may have further ones; null: those asked for';

-- Down Migration
