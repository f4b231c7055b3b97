-- Up Migration
-- The signed tree over the log, and its keeper. See src/keeper/README.md and docs/audit-format.md.

do $$ begin
  if not exists (select from pg_roles where rolname = 'paraph_keeper') then
    create role paraph_keeper login;
  end if;
end $$;

alter table audit.boot drop constraint boot_kind_check;
alter table audit.boot add constraint boot_kind_check check (kind in ('init', 'sam', 'front', 'keeper'));

alter table audit.event_type add column keeper boolean not null default false;
insert into audit.event_type (ev, name, keeper) values
  (4, 'audit.key', false),
  (5, 'audit.heartbeat', true),
  (6, 'audit.fork_detected', true);
update audit.event_type set keeper = true where name in ('audit.start', 'audit.stop');

-- Keys that sign checkpoints. The binding is a worker's, so that the owner of the database names no key of his own.
create table audit.checkpoint_key (
  vkey    text primary key,
  binding bytea not null
);

-- How far the tree is. Whoever extends it locks this row.
create table audit.tree (
  id   smallint primary key check (id = 1),
  size bigint not null,
  root bytea  not null check (octet_length(root) = 32)
) with (fillfactor = 10);
insert into audit.tree (id, size, root) values (1, 0, sha256(''::bytea));

-- A tile as wide as it has become; a narrower one of the same place is a prefix of its data.
create table audit.tile (
  level smallint not null,
  n     bigint   not null,
  width smallint not null check (width between 1 and 256),
  data  bytea    not null check (octet_length(data) = 32 * width),
  primary key (level, n)
);

create table audit.checkpoint (
  size       bigint primary key,
  root       bytea not null check (octet_length(root) = 32),
  -- The signed note, verbatim.
  note       text not null,
  created_at timestamptz not null default paraph.now()
);
create trigger append_only before update or delete or truncate on audit.checkpoint for each statement execute function audit.forbid();
create trigger append_only before update or delete or truncate on audit.checkpoint_key for each statement execute function audit.forbid();

-- A keeper makes its own boot known: its announcement, signed by the checkpoint key, is its first entry.
create function audit.announce_keeper(p_boot uuid, p_node text, p_key bytea) returns void
language sql security definer set search_path = pg_catalog, pg_temp as $$
  insert into audit.boot (id, kind, node, public_key, announced_at) values (p_boot, 'keeper', p_node, p_key, paraph.now())
  on conflict do nothing
$$;

-- The keeper's own entrance: its own boots, and only the events that a keeper may write.
create function audit.append_keeper(
  p_boot uuid, p_no bigint, p_body bytea, p_signature bytea,
  p_op uuid[], p_ph smallint[], p_ev smallint[], p_leaf bytea[], p_lh bytea[],
  o_item integer[], o_class smallint[], o_seed bytea[], o_fields text[], o_tags text[], o_retain date[]
) returns bigint language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
  if not exists (select from audit.boot where id = p_boot and kind = 'keeper') or exists (
    select from unnest(p_ev, p_ph, p_leaf) as t (ev, ph, leaf)
      left join audit.event_type e on e.ev = t.ev and e.keeper
     where e.ev is null or t.ph <> 0
        or (convert_from(t.leaf, 'UTF8')::jsonb ->> 'ev') is distinct from e.name
        or (convert_from(t.leaf, 'UTF8')::jsonb ->> 'boot') is distinct from p_boot::text)
  then
    raise exception 'a keeper may not write this entry' using errcode = 'insufficient_privilege';
  end if;
  return audit.append(p_boot, p_no, p_body, p_signature, p_op, p_ph, p_ev, p_leaf, p_lh, o_item, o_class, o_seed, o_fields, o_tags, o_retain);
end $$;

revoke all on function audit.announce_keeper, audit.append_keeper from public;
grant usage on schema audit, paraph to paraph_keeper;
grant execute on function paraph.now to paraph_keeper;
grant execute on function audit.announce_keeper, audit.append_keeper to paraph_keeper;
grant select on audit.log, audit.head, audit.event_type, audit.entry, audit.flush, audit.checkpoint_key to paraph_keeper;
grant select, update on audit.tree to paraph_keeper;
grant select, insert, update on audit.tile to paraph_keeper;
grant select, insert on audit.checkpoint to paraph_keeper;
grant insert on audit.checkpoint_key to paraph_sam;
grant select on audit.tree, audit.tile, audit.checkpoint, audit.checkpoint_key to paraph_sam;

-- Down Migration
