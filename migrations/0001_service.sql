-- Up Migration
-- Signers, what they hold, and what they agreed to. Times are instants (timestamptz) and are read through paraph.now().

do $$
begin
  -- Roles belong to the whole cluster, so that two databases or two starts may meet here.
  if not exists (select from pg_roles where rolname = 'paraph_front') then
    create role paraph_front login;
  end if;
  if not exists (select from pg_roles where rolname = 'paraph_sam') then
    create role paraph_sam login;
  end if;
exception when duplicate_object or unique_violation then null;
end $$;

create schema paraph;

-- The only clock of the SQL in this service. A test replaces it in its own database; `paraph doctor` checks that it is this one.
create function paraph.now() returns timestamptz language sql volatile as 'select clock_timestamp()';

-- Keys and peppers of the service, sealed by the device; only a SAM worker can open them.
create table paraph.sealed_secret (
  name       text primary key,
  sealed     bytea not null,
  created_at timestamptz not null default paraph.now()
);

create table paraph.operator (
  id          uuid primary key,
  name        text not null unique,
  role        text not null check (role in ('registration', 'system', 'security', 'auditor')),
  token_hash  bytea not null unique check (octet_length(token_hash) = 32),
  created_at  timestamptz not null default paraph.now(),
  disabled_at timestamptz,
  binding     bytea not null
);

create table paraph.signer (
  id            uuid primary key,
  login         text not null,
  name          text not null,
  phone         text,
  state         text not null default 'active' check (state in ('active', 'suspended')),
  password_hash text not null,
  created_at    timestamptz not null default paraph.now()
);
create unique index signer_login on paraph.signer (lower(login));

-- One durable counter for each thing that can be guessed. Raised before anything is compared.
create table paraph.guess (
  signer_id     uuid not null references paraph.signer,
  target        text not null check (target in ('password', 'factor')),
  failures      integer not null default 0,
  blocked_until timestamptz,
  primary key (signer_id, target)
);

create table paraph.factor (
  id            uuid primary key,
  signer_id     uuid not null references paraph.signer,
  kind          text not null check (kind in ('totp')),
  state         text not null default 'active' check (state in ('active', 'revoked', 'ended')),
  generation    integer not null,
  algorithm     text not null check (algorithm in ('SHA1', 'SHA256')),
  sealed_secret bytea not null,
  demo          boolean not null,
  last_step     bigint not null default 0,
  created_at    timestamptz not null default paraph.now(),
  binding       bytea not null
);
create index factor_signer on paraph.factor (signer_id);

create table paraph.client (
  id            text primary key,
  name          text not null,
  secret_hash   bytea check (octet_length(secret_hash) = 32),
  redirect_uris text[] not null default '{}',
  state         text not null default 'active' check (state in ('active', 'disabled')),
  created_at    timestamptz not null default paraph.now()
);
insert into paraph.client (id, name) values ('basic', 'CSC auth/login');

create table paraph.session (
  id         uuid primary key,
  signer_id  uuid not null references paraph.signer,
  client_id  text not null references paraph.client,
  started_at timestamptz not null,
  ends_at    timestamptz not null,
  remembered boolean not null default false,
  ended_at   timestamptz,
  ended_why  text
);
create index session_signer on paraph.session (signer_id);
create index session_ends on paraph.session (ends_at);

create table paraph.token (
  hash       bytea primary key check (octet_length(hash) = 32),
  kind       text not null check (kind in ('access', 'refresh')),
  session_id uuid not null references paraph.session on delete cascade,
  signer_id  uuid not null references paraph.signer,
  client_id  text not null references paraph.client,
  scope      text not null,
  family     uuid not null,
  expires_at timestamptz not null,
  used_at    timestamptz,
  revoked_at timestamptz
);
create index token_family on paraph.token (family);
create index token_session on paraph.token (session_id);
create index token_expires on paraph.token (expires_at);

create table paraph.credential (
  id             uuid primary key,
  signer_id      uuid not null references paraph.signer,
  spec           text not null check (spec in ('rsa-2048', 'rsa-3072', 'rsa-4096', 'p-256', 'p-384', 'p-521')),
  state          text not null check (state in ('pending', 'active', 'suspended', 'revoked')),
  description    text,
  scal           text not null check (scal in ('1', '2')),
  multisign      integer not null check (multisign between 1 and 1000000),
  session_wide   boolean not null default false,
  pin_hash       text,
  has_pin        boolean not null generated always as (pin_hash is not null) stored,
  generation     integer not null,
  version        integer not null default 1,
  -- Empty until the device has made the key; `blob` is empty again once the credential is revoked.
  public_key     bytea not null default '',
  blob           bytea not null default '',
  -- The certificate request, DER: signed once, while pending, and handed out again for renewals.
  request        bytea,
  -- Leaf first, DER. The facts below are parsed from the leaf once, when it is bound.
  chain          bytea[] not null default '{}',
  subject_dn     text,
  issuer_dn      text,
  serial_number  text,
  not_before     timestamptz,
  not_after      timestamptz,
  qc_statements  text[] not null default '{}',
  policies       text[] not null default '{}',
  created_at     timestamptz not null default paraph.now(),
  binding        bytea not null,
  check (state = 'pending' or cardinality(chain) > 0 or state = 'revoked')
);
create index credential_signer on paraph.credential (signer_id, created_at);

create table paraph.authorization (
  id               uuid primary key,
  signer_id        uuid not null references paraph.signer,
  client_id        text not null references paraph.client,
  credential_id    uuid not null references paraph.credential,
  session_id       uuid not null references paraph.session,
  sad_hash         bytea not null unique check (octet_length(sad_hash) = 32),
  kind             text not null check (kind in ('bound', 'open')),
  digest_algorithm text,
  digests          bytea[],
  remaining        bytea[],
  total            integer not null check (total >= 1),
  used             integer not null default 0 check (used between 0 and total),
  evidence         text not null,
  description      text,
  created_at       timestamptz not null,
  expires_at       timestamptz not null,
  revoked_at       timestamptz,
  binding          bytea not null,
  check ((kind = 'bound') = (digests is not null)),
  check ((kind = 'bound') = (remaining is not null))
);
create index authorization_session on paraph.authorization (session_id);
create index authorization_expires on paraph.authorization (expires_at);

-- One use of an authorization. State 0 is an intention without an outcome.
create table paraph.signing (
  op               uuid primary key,
  authorization_id uuid not null,
  credential_id    uuid not null references paraph.credential,
  signer_id        uuid not null,
  client_id        text not null,
  session_id       uuid not null,
  count            integer not null check (count >= 1),
  state            smallint not null default 0 check (state between 0 and 5),
  boot             uuid not null,
  intended_at      timestamptz not null,
  deadline         timestamptz not null,
  ended_at         timestamptz
);
comment on column paraph.signing.state is '0 intended, 1 signed, 2 failed, 3 indeterminate, 4 abandoned, 5 withheld';
create index signing_open on paraph.signing (deadline) where state = 0;
create index signing_credential on paraph.signing (credential_id, intended_at);

-- Rows that can no longer matter. What happened stays in the log.
create function paraph.purge() returns void language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  horizon timestamptz := paraph.now() - interval '1 day';
begin
  delete from paraph.token where expires_at < horizon;
  delete from paraph.authorization where expires_at < horizon;
  delete from paraph.session s where s.ends_at < horizon
    and not exists (select from paraph.token t where t.session_id = s.id)
    and not exists (select from paraph.authorization a where a.session_id = s.id);
end $$;
revoke all on function paraph.purge() from public;

grant usage on schema paraph to paraph_front, paraph_sam;
grant execute on function paraph.purge() to paraph_sam;

-- The front reads what it shows, and nothing that opens anything.
grant select (id, login, name, state) on paraph.signer to paraph_front;
grant select on paraph.session to paraph_front;
grant select on paraph.token to paraph_front;
grant select (id, name, redirect_uris, state) on paraph.client to paraph_front;
grant select (id, signer_id, spec, state, description, scal, multisign, session_wide, has_pin, generation, version, public_key, chain,
  subject_dn, issuer_dn, serial_number, not_before, not_after, qc_statements, policies, created_at) on paraph.credential to paraph_front;

grant select on all tables in schema paraph to paraph_sam;
grant insert on paraph.signer, paraph.guess, paraph.factor, paraph.client, paraph.session, paraph.token, paraph.credential,
  paraph.authorization, paraph.operator to paraph_sam;
grant update on paraph.signer, paraph.guess, paraph.factor, paraph.client, paraph.session, paraph.token, paraph.credential,
  paraph.operator to paraph_sam;
grant delete on paraph.credential to paraph_sam;
grant update (revoked_at, used, remaining, expires_at) on paraph.authorization to paraph_sam;
grant update (state, ended_at) on paraph.signing to paraph_sam;

-- Down Migration
