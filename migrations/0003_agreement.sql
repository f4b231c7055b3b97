-- Up Migration
-- Every way a signer can agree: one-use links, delivered codes, passkeys, recovery codes, known devices, policies of
-- credentials, approvals on our own pages, and what the OAuth 2 server keeps. Nothing of 0001 is reshaped.

-- A signer who has not followed the first link has no password yet.
alter table paraph.signer alter column password_hash drop not null;
alter table paraph.signer add column email text;

-- Codes that are sent (`sms`, `email`), and passkeys. What is sealed: the secret of a `totp`, the address of a delivered
-- one, the public key (COSE_Key) of a `passkey`. `last_step` of a passkey is its signature counter.
alter table paraph.factor drop constraint factor_kind_check;
alter table paraph.factor add constraint factor_kind_check check (kind in ('totp', 'sms', 'email', 'passkey'));
alter table paraph.factor alter column algorithm drop not null;
alter table paraph.factor add constraint factor_algorithm_given check ((kind = 'totp') = (algorithm is not null));
alter table paraph.factor add column label text;
alter table paraph.factor add column webauthn_id bytea unique;
alter table paraph.factor add constraint factor_webauthn_given check ((kind = 'passkey') = (webauthn_id is not null));
comment on column paraph.factor.label is 'what the signer calls it, or the masked address codes are sent to';

-- One-time codes for a lost authenticator. The selector finds the row, the hash (argon2id under the pepper) proves the rest.
create table paraph.recovery_code (
  signer_id  uuid not null references paraph.signer,
  selector   text not null,
  hash       text not null,
  created_at timestamptz not null default paraph.now(),
  used_at    timestamptz,
  binding    bytea not null,
  primary key (signer_id, selector)
);

-- A link that works once: it enrols an authenticator, sets the password, or both; without enrolling it takes a code. `usable_from` lies in the future where a
-- factor is replaced without a factor, unless a second operator has vouched.
create table paraph.invitation (
  id            uuid primary key,
  signer_id     uuid not null references paraph.signer,
  token_hash    bytea not null unique check (octet_length(token_hash) = 32),
  sets_password boolean not null,
  enrols        boolean not null,
  -- Those of the signer's factors that end when this one is used: all that were there.
  replaces      boolean not null,
  operator_id   uuid references paraph.operator,
  approved_by   uuid references paraph.operator,
  usable_from   timestamptz not null,
  expires_at    timestamptz not null,
  -- Sealed by the device at the first look: the secret of the authenticator that this link enrols.
  sealed_secret bytea,
  used_at       timestamptz,
  cancelled_at  timestamptz,
  created_at    timestamptz not null default paraph.now(),
  binding       bytea not null
);
create index invitation_signer on paraph.invitation (signer_id);

-- A code that was sent, until it is used. The hash is argon2id under the pepper.
create table paraph.challenge (
  id            uuid primary key,
  factor_id     uuid not null references paraph.factor,
  signer_id     uuid not null references paraph.signer,
  client_id     text not null references paraph.client,
  credential_id uuid not null references paraph.credential,
  code_hash     text not null,
  created_at    timestamptz not null,
  expires_at    timestamptz not null,
  used_at       timestamptz,
  binding       bytea not null
);
create index challenge_factor on paraph.challenge (factor_id, created_at);
create index challenge_expires on paraph.challenge (expires_at);

-- A browser that its signer has used with a verified code before: its cookie and the password come past the wait that
-- strangers cause. Its own failures count here.
create table paraph.device (
  hash          bytea primary key check (octet_length(hash) = 32),
  signer_id     uuid not null references paraph.signer,
  failures      integer not null default 0,
  blocked_until timestamptz,
  created_at    timestamptz not null default paraph.now(),
  expires_at    timestamptz not null,
  binding       bytea not null
);
create index device_signer on paraph.device (signer_id);

-- Which factors, clients and sessions a credential accepts: JSON, null for the default. Part of the binding.
alter table paraph.credential add column policy text;

-- How a client proves who it is, and what it may ask for. The binding covers whatever decides where an approval goes.
alter table paraph.client add column auth_method text not null default 'client_secret'
  check (auth_method in ('client_secret', 'private_key_jwt', 'tls', 'none'));
alter table paraph.client add column jwks text;
alter table paraph.client add column scopes text[] not null default '{service,credential}';
alter table paraph.client add column version integer not null default 1;
alter table paraph.client add column binding bytea;
comment on column paraph.client.auth_method is 'none: a public client, which PKCE protects';
comment on column paraph.client.jwks is 'JSON Web Key Set with public keys: of private_key_jwt, or certificates (x5c) of tls';
insert into paraph.client (id, name) values ('pages', 'Paraph pages');

-- Signers that a client reaches with a token of its own (client credentials).
create table paraph.client_signer (
  client_id  text not null references paraph.client,
  signer_id  uuid not null references paraph.signer,
  created_at timestamptz not null default paraph.now(),
  binding    bytea not null,
  primary key (client_id, signer_id)
);
create index client_signer_signer on paraph.client_signer (signer_id);

-- A session of a client itself has no signer.
alter table paraph.session alter column signer_id drop not null;
alter table paraph.token alter column signer_id drop not null;
-- The key or certificate that must come with the token: `jkt:` (RFC 9449) or `x5t:` (RFC 8705) and a SHA-256, base64url.
alter table paraph.token add column confirmation text;
alter table paraph.token add column approval_id uuid;

-- What a signer is asked to agree to on our own pages, and what became of it. `name_hash` is the SHA-256 of the name under
-- which it was asked for: a handle, or the uid of an OAuth interaction.
create table paraph.approval (
  id               uuid primary key,
  name_hash        bytea not null unique check (octet_length(name_hash) = 32),
  kind             text not null check (kind in ('service', 'credential', 'creation', 'deletion')),
  way              text not null check (way in ('oauth', 'handle')),
  state            text not null default 'pending' check (state in ('pending', 'approved', 'denied', 'exchanged')),
  client_id        text not null references paraph.client,
  -- The session that asked, where one did; else it is made when the approval is exchanged.
  session_id       uuid references paraph.session,
  signer_id        uuid references paraph.signer,
  credential_id    uuid references paraph.credential,
  qualifier        text,
  digest_algorithm text,
  digests          bytea[],
  labels           text[],
  total            integer check (total >= 1),
  description      text,
  -- What else the request says, JSON: a certificate policy to create for, or a reason to revoke.
  details          text,
  remember         boolean not null default false,
  nonce            bytea not null check (octet_length(nonce) = 32),
  -- JSON: which factor agreed, and how.
  evidence         text,
  created_at       timestamptz not null,
  expires_at       timestamptz not null,
  decided_at       timestamptz,
  exchanged_at     timestamptz,
  binding          bytea not null
);
create index approval_expires on paraph.approval (expires_at);
create index approval_signer on paraph.approval (signer_id) where state = 'pending';

-- `token`: made by an approval and named by an access token, so that it is used with any session of its signer and client.
alter table paraph.authorization add column via text not null default 'session' check (via in ('session', 'token'));
alter table paraph.authorization add column approval_id uuid unique;
-- One agreement for all files of a remembered session.
alter table paraph.authorization add column session_wide boolean not null default false;

-- What the OAuth 2 server keeps: by SHA-256 of the id, and without the id in the payload.
create table paraph.oauth (
  model       text not null,
  id_hash     bytea not null check (octet_length(id_hash) = 32),
  payload     jsonb not null,
  client_id   text,
  grant_id    text,
  uid         text,
  address     text,
  created_at  timestamptz not null default paraph.now(),
  expires_at  timestamptz not null,
  consumed_at timestamptz,
  primary key (model, id_hash)
);
create index oauth_grant on paraph.oauth (grant_id) where grant_id is not null;
create index oauth_uid on paraph.oauth (uid) where uid is not null;
create index oauth_expires on paraph.oauth (expires_at);
create index oauth_waiting on paraph.oauth (model, client_id, address);

-- One person, one role (EN 419 241-1, SRG_M.1): a name cannot be had again in other letters.
create unique index operator_person on paraph.operator (lower(regexp_replace(name, '\s+', ' ', 'g')));

insert into audit.event_type (ev, name, front) values
  (85, 'signer.invited', false),
  (86, 'signer.activated', false),
  (87, 'signer.contact_changed', false),
  (88, 'signer.recovered', false),
  (89, 'signer.stopped', false),
  (95, 'factor.challenge_sent', false),
  (96, 'factor.verified', false),
  (97, 'factor.drifted', false),
  (98, 'signer.notified', false),
  (105, 'auth.session_extended', false),
  (106, 'auth.token_issued', false),
  (107, 'auth.device_known', false),
  (112, 'sad.extended', false),
  (113, 'sad.revoked', false),
  (114, 'approval.requested', false),
  (115, 'approval.granted', false),
  (116, 'approval.denied', false),
  (143, 'client.changed', false),
  (153, 'operator.vouched', false);

-- The front shows what was agreed and how much of it is left, and keeps what the OAuth 2 server has to remember.
grant select (id, client_id, signer_id, credential_id, session_id, kind, via, session_wide, total, used, description, created_at,
  expires_at, revoked_at) on paraph.authorization to paraph_front;
grant select (id, name_hash, kind, way, state, client_id, session_id, signer_id, credential_id, total, remember, created_at, expires_at)
  on paraph.approval to paraph_front;
grant select (policy) on paraph.credential to paraph_front;
grant select (id, signer_id, kind, state, label, created_at) on paraph.factor to paraph_front;
-- The hash of a secret of 256 random bits: enough to compare with, and the key of `account_token` (CSC API v2.2 §8.2.1).
grant select (secret_hash, auth_method, jwks, scopes, created_at) on paraph.client to paraph_front;
grant select (client_id, signer_id) on paraph.client_signer to paraph_front;
grant select, insert, update, delete on paraph.oauth to paraph_front;

grant select on all tables in schema paraph to paraph_sam;
grant insert on paraph.recovery_code, paraph.invitation, paraph.challenge, paraph.device, paraph.client_signer, paraph.approval to paraph_sam;
grant update on paraph.recovery_code, paraph.invitation, paraph.challenge, paraph.device, paraph.approval to paraph_sam;
grant delete on paraph.recovery_code, paraph.device, paraph.client_signer to paraph_sam;
grant update (sad_hash, digests, digest_algorithm, session_wide, binding) on paraph.authorization to paraph_sam;
-- Refresh tokens and codes of a client that is disabled, or of a signer who stopped everything.
grant delete on paraph.oauth to paraph_sam;

-- Down Migration
