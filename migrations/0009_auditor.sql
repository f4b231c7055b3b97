-- Up Migration
-- What an auditor may see of the log, and only after the log says so. See src/front/audit/README.md.

insert into audit.event_type (ev, name) values
  (7, 'audit.read'),
  (8, 'audit.export');

-- One look at the log: made by a worker together with its entry, for an operator whose role it has checked. What the
-- front reads it reads with the ticket, of which only the hash is here.
create table audit.look (
  hash        bytea primary key check (octet_length(hash) = 32),
  operator_id uuid not null,
  kind        text not null check (kind in ('read', 'export')),
  size        bigint not null,
  expires_at  timestamptz not null
);

-- How large the log was when that look began. Every function that shows something of the log to a front begins with this.
create function audit.require_look(p_ticket bytea, p_kind text) returns bigint
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
declare
  seen bigint;
begin
  select l.size into seen from audit.look l join paraph.operator o on o.id = l.operator_id and o.disabled_at is null
   where l.hash = sha256(p_ticket) and l.kind = p_kind and l.expires_at > paraph.now();
  if seen is null then
    raise exception 'no such look at the log' using errcode = 'insufficient_privilege';
  end if;
  return seen;
end $$;

create function audit.purge_looks() returns void
language sql security definer set search_path = pg_catalog, pg_temp as $$
  delete from audit.look where expires_at < paraph.now()
$$;

-- Two small indexes, so that a rare thing is found however long the log is: events that do not come with every signature, and
-- whatever did not end well. What is in neither is so frequent that walking the log finds it.
create index entry_rare on audit.entry (ev, idx) where ev <> all ('{75,76,96,100,108,110,112,120,121}'::smallint[]);
create index entry_not_ok on audit.entry (idx) where position('"out":"ok"'::bytea in leaf) = 0;

create function audit.time_of(p_idx bigint) returns timestamptz
language sql stable set search_path = pg_catalog, pg_temp as $$
  select (convert_from(leaf, 'UTF8')::jsonb ->> 't')::timestamptz from audit.entry where idx = p_idx
$$;

-- First index whose time is not before that one, by bisection. Times follow the index only nearly: whoever needs every
-- entry of a span asks for a little more of it.
create function audit.index_at(p_at timestamptz, p_size bigint) returns bigint
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
  low bigint := 0;
  high bigint := p_size;
  middle bigint;
begin
  while low < high loop
    middle := (low + high) / 2;
    if audit.time_of(middle) < p_at then low := middle + 1; else high := middle; end if;
  end loop;
  return low;
end $$;

-- Entries of one partition that carry all these tags; null where they are more than `most`. The index of tags gives them
-- without an order, and at the price of all of them, which is small while they are few; of a tag that is on nearly every entry
-- PostgreSQL knows it, and reads the table until there are too many.
create function audit.tagged(p_partition bigint, p_tags bigint[], p_most integer) returns bigint[]
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
  matching bigint[];
begin
  execute format('select array_agg(idx) from (select idx from audit.%I where tags @> $1 limit $2 + 1) t', 'opening_' || p_partition)
    into matching using p_tags, p_most;
  return case when cardinality(matching) > p_most then null else coalesce(matching, '{}') end;
end $$;

-- Finds entries from p_low on and before p_high, in the order of the index or against it, and says where to go on; null: nowhere,
-- all was looked at. p_few is how much it sorts, or walks without an index, in one step; it gives up after a few steps, and says
-- where, rather than walk far. Tags can collide, and times are taken
-- with p_slack on both sides: what is found is to be looked at again.
create function audit.find_entries(
  p_ticket bytea, p_op uuid, p_from timestamptz, p_to timestamptz, p_slack interval, p_low bigint, p_high bigint,
  p_newest boolean, p_most integer, p_tags bigint[], p_ev smallint[], p_outcome text, p_few integer
) returns table (matching bigint[], next bigint)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
declare
  partition_rows constant bigint := 4194304;
  seen constant bigint := audit.require_look(p_ticket, 'read');
  down constant text := case when p_newest then 'desc' else 'asc' end;
  rare constant boolean := p_ev is not null and not p_ev && '{75,76,96,100,108,110,112,120,121}'::smallint[];
  not_ok constant boolean := p_outcome <> 'ok';
  low bigint := greatest(coalesce(p_low, 0), 0);
  high bigint := least(coalesce(p_high, seen), seen);
  started constant timestamptz := clock_timestamp();
  -- What is walked without an index, in windows.
  walks integer := 10;
  n bigint;
  a bigint;
  b bigint;
  candidates bigint[];
  hits bigint[];
  source text;
  walked boolean;
  passes text;
begin
  matching := '{}';
  if p_from is not null then low := greatest(low, audit.index_at(p_from - p_slack, seen)); end if;
  if p_to is not null then high := least(high, audit.index_at(p_to + p_slack, seen)); end if;
  while low < high loop
    n := case when p_newest then high - 1 else low end / partition_rows;
    a := greatest(low, n * partition_rows);
    b := least(high, (n + 1) * partition_rows);
    walked := false;
    candidates := case
      when p_op is not null then array(select i.idx from audit.op_index i where i.op = p_op)
      when p_tags is not null then audit.tagged(n, p_tags, p_few) end;
    passes := case when p_ev is null then '' else ' and e.ev = any ($4)' end
      || case when p_outcome is null then '' else ' and position($5 in e.leaf) > 0' end
      -- One by one, and not by the index of tags, which would give all of them.
      || case when p_tags is null or candidates is not null then ''
           else format(' and (select o.tags @> $7 from audit.%I o where o.idx = e.idx and o.class = 1)', 'opening_' || n) end;
    if candidates is not null then
      source := format('(select c.idx from unnest($6) as c (idx) where c.idx >= $1 and c.idx < $2 order by c.idx %s) c
        join audit.%I e on e.idx = c.idx where true%s', down, 'entry_' || n, passes);
    elsif rare then
      source := format('unnest($4) as v (ev), lateral (
        select e.idx from audit.%I e where e.ev = v.ev and e.ev <> all (''{75,76,96,100,108,110,112,120,121}''::smallint[])
           and e.idx >= $1 and e.idx < $2%s order by e.idx %s limit $3) e', 'entry_' || n, passes, down);
    elsif not_ok then
      source := format('audit.%I e where e.idx >= $1 and e.idx < $2 and position(''"out":"ok"''::bytea in e.leaf) = 0%s', 'entry_' || n, passes);
    else
      walked := true;
      if p_newest then a := greatest(a, b - p_few); else b := least(b, a + p_few); end if;
      source := format('audit.%I e where e.idx >= $1 and e.idx < $2%s', 'entry_' || n, passes);
    end if;
    execute format('select array(select e.idx from %s order by e.idx %s limit $3)', source, down)
      into hits using a, b, p_most - cardinality(matching), p_ev, convert_to(format('"out":"%s"', p_outcome), 'UTF8'), candidates, p_tags;
    matching := matching || hits;
    if p_newest then high := a; else low := b; end if;
    if cardinality(matching) >= p_most then
      if p_newest then high := matching[p_most]; else low := matching[p_most] + 1; end if;
      exit;
    end if;
    if walked then walks := walks - 1; end if;
    exit when walks = 0 or clock_timestamp() > started + interval '3 seconds';
  end loop;
  next := case when low < high then case when p_newest then high else low end end;
  return next;
end $$;

-- Entries by index, in the order given, with the openings that are left.
create function audit.read_entries(p_ticket bytea, p_idx bigint[]) returns table (idx bigint, leaf bytea, lh bytea, openings text)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
declare
  seen constant bigint := audit.require_look(p_ticket, 'read');
begin
  return query
    select e.idx, e.leaf, e.lh, (
        select json_agg(json_build_object('class', o.class, 'seed', encode(o.seed, 'base64'), 'fields', o.fields::json) order by o.class)::text
          from audit.opening o where o.idx = e.idx)
      from unnest(p_idx) with ordinality as w (idx, ord) join audit.entry e on e.idx = w.idx where e.idx < seen order by w.ord;
end $$;

-- The first checkpoint that covers each of these entries.
create function audit.first_checkpoints(p_ticket bytea, p_idx bigint[]) returns table (idx bigint, size bigint, created_at timestamptz)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
begin
  perform audit.require_look(p_ticket, 'read');
  return query
    select w.idx, c.size, c.created_at from unnest(p_idx) as w (idx),
      lateral (select c.size, c.created_at from audit.checkpoint c where c.size > w.idx order by c.size limit 1) c;
end $$;

-- The log counted by the hour, a step behind: nothing that anyone has to believe, so that a console need not count ten million
-- entries (8 s) each time it looks.
create table audit.tally (
  hour    timestamptz not null,
  ev      smallint    not null,
  outcome text        not null,
  entries bigint      not null,
  primary key (hour, ev, outcome)
);
create table audit.tallied (
  id   smallint primary key check (id = 1),
  size bigint not null
) with (fillfactor = 10);
insert into audit.tallied (id, size) values (1, 0);

-- Cut out of the bytes, which is fifteen times as fast as to parse them: `"t":"` and `"out":"` stand in a leaf once.
create function audit.count_entries(p_low bigint, p_high bigint) returns table (hour timestamptz, ev smallint, outcome text, entries bigint)
language sql stable set search_path = pg_catalog, pg_temp as $$
  select (convert_from(c.hour, 'UTF8') || ':00Z')::timestamptz, c.ev,
         case convert_from(c.outcome, 'UTF8') when 'ok' then 'ok' when 're' then 'refused' when 'fa' then 'failed' else 'indeterminate' end, c.entries
    from (select substring(e.leaf from position('"t":"'::bytea in e.leaf) + 5 for 13) as hour, e.ev,
                 substring(e.leaf from position('"out":"'::bytea in e.leaf) + 7 for 2) as outcome, count(*) as entries
            from audit.entry e where e.idx >= p_low and e.idx < p_high group by 1, 2, 3) c
$$;

-- Counts at most so many further entries, and says how many it has. One worker at a time; another counts nothing.
create function audit.tally_up(p_most integer) returns integer
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  done bigint;
  upto bigint;
begin
  select t.size into done from audit.tallied t where t.id = 1 for update skip locked;
  select least(h.size, done + p_most) into upto from audit.head h;
  if done is null or upto is null or upto <= done then return 0; end if;
  insert into audit.tally as t (hour, ev, outcome, entries) select c.hour, c.ev, c.outcome, c.entries from audit.count_entries(done, upto) c
    on conflict (hour, ev, outcome) do update set entries = t.entries + excluded.entries;
  update audit.tallied set size = upto where id = 1;
  return upto - done;
end $$;

-- What a console shows at once: entries by the hour of the last day, at most p_most of which it counts now; intentions that
-- should have ended; the newest checkpoint; the newest of each event about clocks.
create function audit.summarize(p_ticket bytea, p_most integer) returns table (
  now timestamptz, counted bigint, hours json, unresolved json, checkpoint_size bigint, checkpoint_at timestamptz, clock bigint[]
) language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
declare
  seen constant bigint := audit.require_look(p_ticket, 'read');
  begun constant timestamptz := date_trunc('hour', paraph.now(), 'UTC') - interval '23 hours';
  done bigint;
begin
  select t.size into done from audit.tallied t where t.id = 1;
  now := paraph.now();
  counted := greatest(done, least(seen, done + p_most));
  select json_agg(json_build_array(extract(epoch from c.hour)::bigint, y.name, c.outcome, c.entries) order by c.hour, c.ev, c.outcome) into hours
    from (select u.hour, u.ev, u.outcome, sum(u.entries) as entries
            from (select t.* from audit.tally t where t.hour >= begun union all select * from audit.count_entries(done, counted)) u
           where u.hour >= begun group by 1, 2, 3) c
    join audit.event_type y on y.ev = c.ev;
  select json_agg(json_build_array(s.op, extract(epoch from s.intended_at), extract(epoch from s.deadline))) into unresolved
    from (select * from paraph.signing where state = 0 and deadline < paraph.now() order by deadline limit 100) s;
  select c.size, c.created_at into checkpoint_size, checkpoint_at from audit.checkpoint c order by c.size desc limit 1;
  clock := array(select n.idx from audit.event_type y, lateral (
      select e.idx from audit.entry e where e.ev = y.ev and e.ev <> all ('{75,76,96,100,108,110,112,120,121}'::smallint[]) and e.idx < seen
       order by e.idx desc limit 1) n
     where y.name like 'clock.%' order by n.idx);
  return next;
end $$;

revoke all on function audit.require_look, audit.purge_looks, audit.time_of, audit.index_at, audit.tagged,
  audit.find_entries, audit.read_entries, audit.first_checkpoints, audit.count_entries, audit.tally_up, audit.summarize from public;
grant select, insert on audit.look to paraph_sam;
grant execute on function audit.purge_looks, audit.tally_up to paraph_sam;
grant execute on function audit.find_entries, audit.read_entries, audit.first_checkpoints, audit.summarize to paraph_front;

-- Down Migration
