-- Up Migration
-- The log: dense index given at commit, exact leaf bytes, erasable openings. See src/audit/README.md.

create schema audit;

-- Exactly one row, made by `paraph audit init`. Without it nothing can be appended.
create table audit.log (
  id               smallint primary key check (id = 1),
  origin           text not null,
  generation       integer not null,
  instance         uuid not null,
  demo             boolean not null,
  retention_policy text not null,
  created_at       timestamptz not null
);

-- The next index. Its row lock is the only serial point, and is taken last.
create table audit.head (
  id   smallint primary key check (id = 1),
  size bigint not null
) with (fillfactor = 10);

-- Event numbers and names are frozen: a number is never given to another event. `front` says which a front may write.
create table audit.event_type (
  ev    smallint primary key,
  name  text not null unique,
  front boolean not null default false
);
insert into audit.event_type (ev, name, front) values
  (1, 'audit.init', false),
  (2, 'audit.start', false),
  (3, 'audit.stop', true),
  (50, 'key.generated', false),
  (51, 'key.linked_cert', false),
  (70, 'credential.created', false),
  (71, 'credential.suspended', false),
  (72, 'credential.resumed', false),
  (73, 'credential.revoked', false),
  (74, 'credential.request_signed', false),
  (75, 'credential.listed', true),
  (76, 'credential.read', true),
  (77, 'credential.abandoned', false),
  (80, 'signer.enrolled', false),
  (81, 'signer.suspended', false),
  (82, 'signer.resumed', false),
  (83, 'signer.unlocked', false),
  (84, 'signer.password_set', false),
  (90, 'factor.enrolled', false),
  (91, 'factor.failed', false),
  (92, 'factor.locked', false),
  (93, 'factor.revoked', false),
  (94, 'factor.ended', false),
  (100, 'auth.login', false),
  (101, 'auth.login_failed', false),
  (102, 'auth.token_refreshed', false),
  (103, 'auth.token_revoked', false),
  (104, 'auth.session_ended', false),
  (110, 'sad.issued', false),
  (111, 'sad.denied', false),
  (120, 'sign.intent', false),
  (121, 'sign.outcome', false),
  (122, 'sign.denied', false),
  (123, 'sign.abandoned', false),
  (124, 'sign.withheld', false),
  (130, 'access.refused', true),
  (140, 'client.created', false),
  (141, 'client.disabled', false),
  (142, 'client.rotated', false),
  (150, 'operator.created', false),
  (151, 'operator.disabled', false),
  (152, 'operator.refused', false);

-- One life of one writer. The public key signs each of its flushes; the device signed the announcement.
create table audit.boot (
  id           uuid primary key,
  kind         text not null check (kind in ('init', 'sam', 'front')),
  node         text not null,
  public_key   bytea not null,
  announced_at timestamptz not null
);

create table audit.entry (
  idx  bigint   not null,
  op   uuid     not null,
  ph   smallint not null check (ph between 0 and 5),
  ev   smallint not null,
  leaf bytea    not null check (octet_length(leaf) between 2 and 65535),
  lh   bytea    not null check (octet_length(lh) = 32),
  primary key (idx)
) partition by range (idx);
comment on column audit.entry.ph is '0 single, 1 intent, 2 outcome, 3 denied, 4 abandoned, 5 withheld';

-- A unique index cannot span the partitions without idx, so an operation's phases are unique here.
create table audit.op_index (
  op  uuid     not null,
  ph  smallint not null,
  idx bigint   not null,
  primary key (op, ph)
);

-- What the salted digests of an entry open to. One row for an entry and retention class, so that one class can be erased alone.
create table audit.opening (
  idx          bigint   not null,
  class        smallint not null check (class in (1, 2)),
  seed         bytea    not null check (octet_length(seed) = 32),
  fields       text     not null,
  tags         bigint[] not null default '{}',
  retain_until date     not null,
  primary key (idx, class)
) partition by range (idx);
create index opening_tags on audit.opening using gin (tags);
comment on column audit.opening.class is '1 evidence of the operation, 2 network';

-- Each commit of a writer, signed by its boot key over the leaf hashes it offered.
create table audit.flush (
  boot      uuid   not null references audit.boot,
  no        bigint not null,
  first_idx bigint not null,
  body      bytea  not null,
  signature bytea  not null,
  primary key (boot, no)
);

-- A transaction of several statements leaves its entries here; they are appended while it commits, so that no client
-- holds the head row across a round trip.
create table audit.staged (
  id bigint generated always as identity primary key,
  boot uuid not null, no bigint not null, body bytea not null, signature bytea not null,
  op uuid[] not null, ph smallint[] not null, ev smallint[] not null, leaf bytea[] not null, lh bytea[] not null,
  o_item integer[] not null, o_class smallint[] not null, o_seed bytea[] not null, o_fields text[] not null,
  o_tags text[] not null, o_retain date[] not null
);

create function audit.forbid() returns trigger language plpgsql as $$
begin
  raise exception 'the log is append-only' using errcode = 'insufficient_privilege';
end $$;
create trigger append_only before update or delete on audit.entry for each row execute function audit.forbid();
create trigger append_only before update on audit.opening for each row execute function audit.forbid();
create trigger append_only before update or delete or truncate on audit.flush for each statement execute function audit.forbid();
create trigger append_only before update or delete or truncate on audit.boot for each statement execute function audit.forbid();
create trigger append_only before update or delete or truncate on audit.log for each statement execute function audit.forbid();

-- Makes the partitions for the next `ahead` entries. Attaching takes a lock that writers share.
create function audit.ensure_partitions(ahead bigint) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  rows constant bigint := 4194304;
  target bigint;
  n bigint;
  part text;
begin
  perform pg_advisory_xact_lock(7233612);
  select coalesce((select size from audit.head), 0) + ahead into target;
  for n in 0 .. target / rows loop
    foreach part in array array['entry', 'opening'] loop
      if to_regclass(format('audit.%I', part || '_' || n)) is null then
        execute format('create table audit.%I (like audit.%I including all)', part || '_' || n, part);
        execute format('alter table audit.%I attach partition audit.%I for values from (%s) to (%s)', part, part || '_' || n, n * rows, (n + 1) * rows);
        execute format('create trigger no_truncate before truncate on audit.%I for each statement execute function audit.forbid()', part || '_' || n);
      end if;
    end loop;
  end loop;
end $$;
select audit.ensure_partitions(1);

-- Appends entries in the order given and returns the index of the first. The head row is locked here, last of all locks.
create function audit.append(
  p_boot uuid, p_no bigint, p_body bytea, p_signature bytea,
  p_op uuid[], p_ph smallint[], p_ev smallint[], p_leaf bytea[], p_lh bytea[],
  o_item integer[], o_class smallint[], o_seed bytea[], o_fields text[], o_tags text[], o_retain date[]
) returns bigint language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  base bigint;
begin
  update audit.head set size = size + cardinality(p_op) where id = 1 returning size - cardinality(p_op) into base;
  if base is null then
    raise exception 'this database has no log: run `paraph audit init`' using errcode = 'object_not_in_prerequisite_state';
  end if;
  insert into audit.flush (boot, no, first_idx, body, signature) values (p_boot, p_no, base, p_body, p_signature);
  insert into audit.entry (idx, op, ph, ev, leaf, lh)
    select base + ord - 1, op, ph, ev, leaf, lh from unnest(p_op, p_ph, p_ev, p_leaf, p_lh) with ordinality as t (op, ph, ev, leaf, lh, ord);
  insert into audit.op_index (op, ph, idx)
    select op, ph, base + ord - 1 from unnest(p_op, p_ph) with ordinality as t (op, ph, ord);
  insert into audit.opening (idx, class, seed, fields, tags, retain_until)
    select base + item - 1, class, seed, fields, tags::bigint[], retain
      from unnest(o_item, o_class, o_seed, o_fields, o_tags, o_retain) as t (item, class, seed, fields, tags, retain);
  return base;
end $$;

create function audit.append_staged() returns trigger language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
  perform audit.append(new.boot, new.no, new.body, new.signature, new.op, new.ph, new.ev, new.leaf, new.lh,
    new.o_item, new.o_class, new.o_seed, new.o_fields, new.o_tags, new.o_retain);
  delete from audit.staged where id = new.id;
  return null;
end $$;
create constraint trigger append_at_commit after insert on audit.staged deferrable initially deferred
  for each row execute function audit.append_staged();

-- The front's own entrance: its own boots, and only the events that a front may write, by number and by the leaf itself.
create function audit.append_front(
  p_boot uuid, p_no bigint, p_body bytea, p_signature bytea,
  p_op uuid[], p_ph smallint[], p_ev smallint[], p_leaf bytea[], p_lh bytea[],
  o_item integer[], o_class smallint[], o_seed bytea[], o_fields text[], o_tags text[], o_retain date[]
) returns bigint language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
  if not exists (select from audit.boot where id = p_boot and kind = 'front') or exists (
    select from unnest(p_ev, p_ph, p_leaf) as t (ev, ph, leaf)
      left join audit.event_type e on e.ev = t.ev and e.front
     where e.ev is null or t.ph <> 0
        or (convert_from(t.leaf, 'UTF8')::jsonb ->> 'ev') is distinct from e.name
        or (convert_from(t.leaf, 'UTF8')::jsonb ->> 'boot') is distinct from p_boot::text)
  then
    raise exception 'a front may not write this entry' using errcode = 'insufficient_privilege';
  end if;
  return audit.append(p_boot, p_no, p_body, p_signature, p_op, p_ph, p_ev, p_leaf, p_lh, o_item, o_class, o_seed, o_fields, o_tags, o_retain);
end $$;

-- One flush of a signing writer: spends authorizations, closes signings, appends. Every guarded item brings two leaves
-- and exactly one of them is appended; `why` says which and for what reason:
--   0 as wished · 1 no such authorization for this caller · 2 expired · 3 revoked · 4 too many signatures
--   5 digest not (or no longer) authorized · 6 session ended · 7 credential not as it was checked · 8 no open intention · 9 used up
-- Guards: 0 none, 1 spend (intent, else denied), 2 outcome (outcome, else withheld).
-- Locks: authorizations by id, then signings, then the head row; nothing after it.
create function paraph.flush(
  p_boot uuid, p_no bigint, p_body bytea, p_signature bytea,
  p_op uuid[], p_ph smallint[], p_ev smallint[], p_leaf bytea[], p_lh bytea[],
  p_guard smallint[], a_ph smallint[], a_ev smallint[], a_leaf bytea[], a_lh bytea[],
  s_authorization uuid[], s_session uuid[], s_signer uuid[], s_client text[], s_credential uuid[], s_version integer[],
  s_count integer[], s_digests text[], s_seconds double precision[], r_state smallint[],
  o_item integer[], o_class smallint[], o_seed bytea[], o_fields text[], o_tags text[], o_retain date[]
) returns table (idx bigint, why smallint) language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  at timestamptz;
  i integer;
  auth paraph.authorization%rowtype;
  signing paraph.signing%rowtype;
  live boolean;
  stopped smallint;
  ready boolean;
  wanted bytea[];
  rest bytea[];
  found_count integer;
  reasons smallint[] := array_fill(0::smallint, array[cardinality(p_op)]);
  base bigint;
begin
  perform 1 from paraph.authorization where id = any (s_authorization) order by id for update;
  at := paraph.now();
  for i in 1 .. cardinality(p_op) loop
    if p_guard[i] = 1 then
      select * into auth from paraph.authorization where id = s_authorization[i];
      if auth.id is null or auth.signer_id <> s_signer[i] or auth.client_id <> s_client[i]
         or auth.credential_id <> s_credential[i] or auth.session_id <> s_session[i] then
        reasons[i] := 1;
        continue;
      end if;
      select s.ended_at is null and s.ends_at > at into live from paraph.session s where s.id = auth.session_id;
      select c.state = 'active' and c.version = s_version[i] and g.state = 'active' into ready
        from paraph.credential c join paraph.signer g on g.id = c.signer_id where c.id = auth.credential_id;
      if auth.revoked_at is not null then reasons[i] := 3;
      elsif auth.expires_at <= at then reasons[i] := 2;
      elsif live is not true then reasons[i] := 6;
      elsif ready is not true then reasons[i] := 7;
      elsif auth.used >= auth.total then reasons[i] := 9;
      elsif auth.used + s_count[i] > auth.total then reasons[i] := 4;
      elsif auth.kind = 'bound' then
        wanted := s_digests[i]::bytea[];
        select array_agg(free.digest order by free.ord) filter (where free.nth > coalesce(want.n, 0)),
               count(*) filter (where free.nth <= want.n)
          into rest, found_count
          from (select d.digest, d.ord, row_number() over (partition by d.digest order by d.ord) as nth
                  from unnest(auth.remaining) with ordinality as d (digest, ord)) free
          left join (select w.digest, count(*) as n from unnest(wanted) as w (digest) group by w.digest) want on want.digest = free.digest;
        if found_count is distinct from s_count[i] or cardinality(wanted) <> s_count[i] then reasons[i] := 5; end if;
      end if;
      if reasons[i] = 0 then
        update paraph.authorization set used = used + s_count[i],
               remaining = case when kind = 'bound' then coalesce(rest, '{}') end
         where id = auth.id;
        insert into paraph.signing (op, authorization_id, credential_id, signer_id, client_id, session_id, count, boot, intended_at, deadline)
          values (p_op[i], auth.id, auth.credential_id, auth.signer_id, auth.client_id, auth.session_id, s_count[i], p_boot, at,
                  at + make_interval(secs => s_seconds[i]));
      end if;
    elsif p_guard[i] = 2 then
      -- Found by its key alone: a condition on the state would have the planner walk the index of open signings, which is
      -- all dead rows (measured: 81 against 20 microseconds for each).
      select * into signing from paraph.signing where op = p_op[i] for update;
      if signing.state is distinct from 0 then
        reasons[i] := 8;
        continue;
      end if;
      if r_state[i] = 1 then
        select case when a.revoked_at is not null then 3 when s.ended_at is not null then 6 else 0 end into stopped
          from paraph.session s join paraph.authorization a on a.session_id = s.id where a.id = signing.authorization_id;
        reasons[i] := coalesce(stopped, 6);
      end if;
      update paraph.signing set state = case when reasons[i] = 0 then r_state[i] else 5 end, ended_at = at where op = p_op[i];
    end if;
  end loop;
  select audit.append(p_boot, p_no, p_body, p_signature, p_op,
    array_agg(case when r = 0 then ph else aph end order by ord), array_agg(case when r = 0 then ev else aev end order by ord),
    array_agg(case when r = 0 then leaf else aleaf end order by ord), array_agg(case when r = 0 then lh else alh end order by ord),
    o_item, o_class, o_seed, o_fields, o_tags, o_retain) into base
    from unnest(reasons, p_ph, p_ev, p_leaf, p_lh, a_ph, a_ev, a_leaf, a_lh)
      with ordinality as t (r, ph, ev, leaf, lh, aph, aev, aleaf, alh, ord);
  return query select base + ord - 1, r from unnest(reasons) with ordinality as t (r, ord) order by ord;
end $$;

-- Closes intentions past their deadline, at most `most` of them, and returns them for their `sign.abandoned` entries.
-- To be called in the transaction that stages those entries.
create function paraph.abandon(most integer) returns setof paraph.signing
language sql security definer set search_path = pg_catalog, pg_temp as $$
  update paraph.signing set state = 4, ended_at = paraph.now()
   where op in (select op from paraph.signing where state = 0 and deadline < paraph.now() order by op limit most for update skip locked)
  returning *
$$;

revoke all on all functions in schema audit from public;
revoke all on function paraph.flush, paraph.abandon from public;
grant usage on schema audit to paraph_front, paraph_sam;
grant select on audit.log, audit.event_type to paraph_front;
grant select on audit.flush, audit.head to paraph_front;
grant execute on function audit.append_front to paraph_front;
grant select on all tables in schema audit to paraph_sam;
grant insert on audit.boot, audit.staged to paraph_sam;
grant execute on function audit.ensure_partitions, paraph.flush, paraph.abandon to paraph_sam;

-- Down Migration
