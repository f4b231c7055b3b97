#!/bin/sh
# Makes the passwords of the database's roles, each in a folder that only its user's container mounts. Run as root by
# the service `secrets` of compose.yaml at every start; keeps what is there.
set -eu
umask 077

# Whom the official PostgreSQL image, the signing workers and the front run as.
postgres=999
sam=10001
front=10002

secret() { # folder, owner, file name, content for a new one
  if [ ! -e "$1/$3" ]; then
    printf '%s\n' "$4" >"$1/.new"
    chown "$2:$2" "$1/.new"
    chmod 0400 "$1/.new"
    mv "$1/.new" "$1/$3"
  fi
  chown "$2:$2" "$1"
  chmod 0500 "$1"
}
random() { head -c 24 /dev/urandom | base64 | tr '+/' '-_'; }
password() { cat "/secrets/database/$1"; }

for role in paraph_owner paraph_front paraph_sam paraph_keeper; do
  secret /secrets/database "$postgres" "$role" "$(random)"
done
secret /secrets/owner "$sam" pgpass "*:*:*:paraph_owner:$(password paraph_owner)"
secret /secrets/sam "$sam" pgpass "*:*:*:paraph_sam:$(password paraph_sam)
*:*:*:paraph_keeper:$(password paraph_keeper)"
secret /secrets/front "$front" pgpass "*:*:*:paraph_front:$(password paraph_front)"
