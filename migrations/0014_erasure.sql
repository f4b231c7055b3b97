-- Up Migration
-- Openings whose time has come are erased, and the log says so. See src/audit/README.md.

insert into audit.event_type (ev, name) values (9, 'audit.erase');

create function audit.search_tag(p_name text, p_value text) returns bigint
language sql immutable set search_path = pg_catalog, pg_temp as $$
  select ('x' || encode(substr(sha256(convert_to(p_name || '=' || p_value, 'UTF8')), 1, 8), 'hex'))::bit(64)::bigint
$$;

-- The signer that an opening names, if any.
create function audit.signer_of(p_fields text) returns text
language sql immutable set search_path = pg_catalog, pg_temp as $$
  select field ->> 1 from jsonb_array_elements(p_fields::jsonb) as f (field) where field ->> 0 = 'signer' limit 1
$$;

-- Erases the openings of one class from p_from on and before p_to whose time has come, of one signer or of everybody, and
-- returns them. To be called in the transaction that records it. What says who a signer is, which factors and which keys he
-- has, stays as long as anything that was done with them.
create function audit.erase(p_class smallint, p_from bigint, p_to bigint, p_signer text)
returns table (idx bigint, seed bytea, fields text)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  today constant date := (paraph.now() at time zone 'utc')::date;
begin
  return query
    with due as materialized (
      select o.idx, e.ev, audit.signer_of(s.fields) as signer
        from audit.opening o join audit.entry e on e.idx = o.idx
        left join audit.opening s on s.idx = o.idx and s.class = 1
       where o.class = p_class and o.idx >= p_from and o.idx < p_to and o.retain_until < today
    )
    delete from audit.opening o using due d
     where o.idx = d.idx and o.class = p_class and (p_signer is null or d.signer = p_signer)
       and (p_class <> 1 or d.signer is null or d.ev not in (50, 51, 70, 71, 72, 73, 74, 77, 78, 80, 81, 82, 83, 84, 85, 86, 87, 88, 89, 90, 93, 94)
         or not exists (select from audit.opening later join audit.entry l on l.idx = later.idx and l.ev <> 9
                         where later.tags @> array[audit.search_tag('signer', d.signer)] and later.class = 1 and later.retain_until >= today))
    returning o.idx, o.seed, o.fields;
end $$;

-- How many openings of a signer have to stay, and until when.
create function audit.kept_of(p_signer text) returns table (count bigint, until date)
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select count(*), max(o.retain_until) from audit.opening o
   where o.class = 1 and o.tags @> array[audit.search_tag('signer', p_signer)] and audit.signer_of(o.fields) = p_signer
$$;

revoke all on function audit.search_tag, audit.signer_of, audit.erase, audit.kept_of from public;
grant execute on function audit.erase, audit.kept_of to paraph_sam;

-- Down Migration
