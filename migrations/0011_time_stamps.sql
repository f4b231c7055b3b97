-- Up Migration
-- Time-stamps (RFC 3161): those that the service gives, and those that it has of its checkpoints. See src/pki and
-- src/keeper/README.md.

insert into audit.event_type (ev, name, keeper) values
  (10, 'audit.anchored', true),
  (160, 'timestamp.issued', false);

-- The moment of the last stamp, in microseconds since 1970, which is its serial number, too. Whoever stamps moves it, so
-- that no two stamps of any replica have the same. A database restored from an old copy goes on with the time as it is.
create table paraph.time_stamp (
  id   smallint primary key check (id = 1),
  last bigint   not null
) with (fillfactor = 10);
insert into paraph.time_stamp (id, last) values (1, 0);
grant select, update on paraph.time_stamp to paraph_sam;

-- Time-stamps of checkpoints: RFC 3161 responses over the signed text of the checkpoint of that size.
create table audit.anchor (
  size     bigint primary key references audit.checkpoint (size),
  response bytea not null,
  gen_time timestamptz not null
);
create trigger append_only before update or delete or truncate on audit.anchor for each statement execute function audit.forbid();
grant select, insert on audit.anchor to paraph_keeper;
grant select on audit.anchor to paraph_sam;

-- Down Migration
