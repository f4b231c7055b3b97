-- Up Migration
-- The log as files, and its export, for auditors. See src/front/audit/README.md and docs/audit-format.md.

-- Commits in the order of the log.
create unique index flush_first on audit.flush (first_idx);

-- Hashes and signatures, which tell nothing but how much was done.
grant select on audit.tile, audit.checkpoint to paraph_front;

-- The entries of a bundle as wide as asked for, as far as a checkpoint covers them.
create function audit.bundle(p_ticket bytea, p_n bigint, p_width integer) returns table (leaf bytea)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
begin
  perform audit.require_look(p_ticket, 'read');
  return query select e.leaf from audit.entry e
    where e.idx >= p_n * 256 and e.idx < p_n * 256 + least(p_width, 256)
      and e.idx < (select max(c.size) from audit.checkpoint c)
    order by e.idx;
end $$;

-- What an export ends with: the newest checkpoint that does not cut a commit in two, or the one of that size.
create function audit.export_checkpoint(p_ticket bytea, p_size bigint) returns table (size bigint, note text)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
  seen bigint := audit.require_look(p_ticket, 'export');
begin
  return query select c.size, c.note from audit.checkpoint c
    where c.size <= seen and c.size = coalesce(p_size, c.size)
      and (exists (select from audit.flush f where f.first_idx = c.size) or c.size = (select h.size from audit.head h))
    order by c.size desc limit 1;
end $$;

-- Pages of an export of that size, each of at most a thousand rows and about a megabyte, after the row with that key.

create function audit.export_entries(p_ticket bytea, p_size bigint, p_after bigint) returns table (key bigint, leaf bytea)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
  upto bigint := least(p_size, audit.require_look(p_ticket, 'export'));
begin
  return query select page.idx, page.leaf from (
      select e.idx, e.leaf, sum(octet_length(e.leaf)) over (order by e.idx) - octet_length(e.leaf) as before
        from audit.entry e where e.idx > p_after and e.idx < upto order by e.idx limit 1000) page
    where page.before < 1048576 order by page.idx;
end $$;

-- The key is twice the index, and one more for the second class.
create function audit.export_openings(p_ticket bytea, p_size bigint, p_after bigint)
returns table (key bigint, idx bigint, class smallint, seed bytea, fields text)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
  upto bigint := least(p_size, audit.require_look(p_ticket, 'export'));
begin
  return query select 2 * page.idx + page.class - 1, page.idx, page.class, page.seed, page.fields from (
      select o.idx, o.class, o.seed, o.fields,
             sum(octet_length(o.fields)) over (order by o.idx, o.class) - octet_length(o.fields) as before
        from audit.opening o
       where o.idx >= p_after / 2 and o.idx < upto and 2 * o.idx + o.class - 1 > p_after
       order by o.idx, o.class limit 1000) page
    where page.before < 1048576 order by page.idx, page.class;
end $$;

create function audit.export_flushes(p_ticket bytea, p_size bigint, p_after bigint)
returns table (key bigint, boot uuid, no bigint, body bytea, signature bytea)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
  upto bigint := least(p_size, audit.require_look(p_ticket, 'export'));
begin
  return query select page.first_idx, page.boot, page.no, page.body, page.signature from (
      select f.first_idx, f.boot, f.no, f.body, f.signature,
             sum(octet_length(f.body)) over (order by f.first_idx) - octet_length(f.body) as before
        from audit.flush f where f.first_idx > p_after and f.first_idx < upto order by f.first_idx limit 1000) page
    where page.before < 1048576 order by page.first_idx;
end $$;

create function audit.export_checkpoints(p_ticket bytea, p_size bigint, p_after bigint) returns table (key bigint, note text)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
  upto bigint := least(p_size, audit.require_look(p_ticket, 'export'));
begin
  return query select c.size, c.note from audit.checkpoint c
    where c.size > p_after and c.size <= upto order by c.size limit 1000;
end $$;

-- Time-stamps are kept in a table of their own, where there are any.
create function audit.export_anchors(p_ticket bytea, p_size bigint, p_after bigint) returns table (key bigint, response bytea)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
  upto bigint := least(p_size, audit.require_look(p_ticket, 'export'));
begin
  if to_regclass('audit.anchor') is null then
    return;
  end if;
  return query select a.size, a.response from audit.anchor a
    where a.size > p_after and a.size <= upto order by a.size limit 100;
end $$;

revoke all on function audit.bundle, audit.export_checkpoint, audit.export_entries, audit.export_openings,
  audit.export_flushes, audit.export_checkpoints, audit.export_anchors from public;
grant execute on function audit.bundle, audit.export_checkpoint, audit.export_entries, audit.export_openings,
  audit.export_flushes, audit.export_checkpoints, audit.export_anchors to paraph_front;

-- Down Migration
