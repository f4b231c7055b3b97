-- Up Migration
-- What a keeper sees of its clock, and what witnesses said of the log. See src/keeper/README.md.

insert into audit.event_type (ev, name, keeper) values
  (20, 'clock.sync', true),
  (21, 'clock.step', true),
  (22, 'clock.unsynced', true);

-- Signature lines of witnesses on a checkpoint, each with its newline; a keeper verified them. `witness` is name and id of
-- the key, as in the line.
create table audit.cosignature (
  size       bigint not null references audit.checkpoint,
  witness    text not null,
  line       text not null,
  created_at timestamptz not null default paraph.now(),
  primary key (size, witness)
);
create index cosignature_witness on audit.cosignature (witness, size desc);
-- Checkpoints that enough witnesses of the keeper's policy cosigned.
create table audit.witnessed (
  size       bigint primary key references audit.checkpoint,
  created_at timestamptz not null default paraph.now()
);
create trigger append_only before update or delete or truncate on audit.cosignature for each statement execute function audit.forbid();
create trigger append_only before update or delete or truncate on audit.witnessed for each statement execute function audit.forbid();

-- The note of the checkpoint of that size, with the cosignatures there are.
create function audit.cosigned_note(p_size bigint) returns text
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select c.note || coalesce((select string_agg(s.line, '' order by s.witness) from audit.cosignature s where s.size = c.size), '')
    from audit.checkpoint c where c.size = p_size
$$;

-- Size of the checkpoint to be shown: the newest that enough witnesses cosigned, as long as it is hardly older than the
-- newest of all, since cosignatures come a moment later; else the newest. Null in a log without any.
create function audit.shown_size() returns bigint
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select coalesce(
    (select w.size from (select size from audit.witnessed order by size desc limit 1) w
       join audit.checkpoint c on c.size = w.size where c.created_at > newest.created_at - interval '10 seconds'),
    newest.size)
    from (select size, created_at from audit.checkpoint order by size desc limit 1) newest
$$;

-- An export ends with a cosigned checkpoint where there is one, and has the cosignatures of all.
create or replace function audit.export_checkpoint(p_ticket bytea, p_size bigint) returns table (size bigint, note text)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
  seen bigint := audit.require_look(p_ticket, 'export');
begin
  return query select c.size, audit.cosigned_note(c.size) from audit.checkpoint c
    where c.size <= seen and c.size = coalesce(p_size, c.size)
      and (exists (select from audit.flush f where f.first_idx = c.size) or c.size = (select h.size from audit.head h))
    order by c.created_at > paraph.now() - interval '10 seconds' and exists (select from audit.witnessed w where w.size = c.size) desc,
             c.size desc limit 1;
end $$;

create or replace function audit.export_checkpoints(p_ticket bytea, p_size bigint, p_after bigint) returns table (key bigint, note text)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
  upto bigint := least(p_size, audit.require_look(p_ticket, 'export'));
begin
  return query select c.size, audit.cosigned_note(c.size) from audit.checkpoint c
    where c.size > p_after and c.size <= upto order by c.size limit 1000;
end $$;

revoke all on function audit.cosigned_note, audit.shown_size from public;
grant execute on function audit.cosigned_note, audit.shown_size to paraph_front, paraph_sam, paraph_keeper;
grant select, insert on audit.cosignature, audit.witnessed to paraph_keeper;
grant select on audit.cosignature, audit.witnessed to paraph_sam;

-- Down Migration
