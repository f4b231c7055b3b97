-- Up Migration
-- Events of the explicit mode that were not foreseen: a policy that is changed, and a session that is looked at.

insert into audit.event_type (ev, name, front) values
  (78, 'credential.policy_changed', false),
  (108, 'auth.session_read', true);

-- Down Migration
