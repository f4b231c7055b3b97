#!/usr/bin/env bash
# Builds the Dockerfile on a Debian machine that has no container engine and reaches no image registry, and tries what it
# built: as root, with buildah, in a folder of its own.
#
#   apt-get install -y --no-install-recommends buildah mmdebstrap
#   deploy/build-without-engine.sh FOLDER
#
# THE BASE IS A STAND-IN. It bears the name that the Dockerfile uses, node:24-bookworm-slim, but is made here: Debian's
# minimal system, the binary of the npm package `node`, npm, and the headers of this machine's Node (any version fits a
# module made for Node-API). So this proves the Dockerfile, not the official image: never publish what it makes.
set -euo pipefail
cd "$(dirname "$0")/.."
folder=$(mkdir -p "$1" && cd "$1" && pwd)
name=docker.io/library/node:24-bookworm-slim

# No registries, no signatures, no daemon; copies instead of overlays, and no namespaces, which a container may lack.
printf '{"default":[{"type":"insecureAcceptAnything"}]}' >"$folder/policy.json"
buildah=(buildah --root "$folder/storage" --runroot "$folder/run" --storage-driver vfs)
export BUILDAH_ISOLATION=chroot

if ! "${buildah[@]}" inspect --type image "$name" >/dev/null 2>&1; then
  echo "== the stand-in for $name"
  mmdebstrap --variant=minbase --include=ca-certificates bookworm "$folder/debian.tar"
  npm install --prefix "$folder/node" --no-save --foreground-scripts node@24 npm@11
  base=$("${buildah[@]}" from scratch)
  "${buildah[@]}" add --quiet "$base" "$folder/debian.tar" /
  "${buildah[@]}" copy --quiet "$base" "$folder/node/node_modules/node/bin/node" /usr/local/bin/node
  "${buildah[@]}" copy --quiet "$base" "$folder/node/node_modules/npm" /usr/local/lib/node_modules/npm
  "${buildah[@]}" copy --quiet "$base" /usr/include/node /usr/local/include/node
  # This machine may stand behind a proxy with a certificate of its own.
  "${buildah[@]}" copy --quiet "$base" /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
  "${buildah[@]}" run "$base" -- sh -c '
    ln -s ../lib/node_modules/npm/bin/npm-cli.js /usr/local/bin/npm
    mkdir -p /usr/local/etc && echo cafile=/etc/ssl/certs/ca-certificates.crt >/usr/local/etc/npmrc
    groupadd --gid 1000 node && useradd --uid 1000 --gid node --create-home node'
  "${buildah[@]}" config --env PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin --cmd node "$base"
  "${buildah[@]}" commit --quiet --rm --signature-policy "$folder/policy.json" "$base" "$name"
  rm -r "$folder/debian.tar" "$folder/node"
fi

for target in service softhsm; do
  echo "== target $target"
  # --format docker: the other one has no HEALTHCHECK.
  "${buildah[@]}" bud --pull-never --format docker --signature-policy "$folder/policy.json" \
    --target "$target" --tag "paraph:$target" .
done

echo '== what it says'
trial=$("${buildah[@]}" from --pull-never --signature-policy "$folder/policy.json" paraph:service)
trap '"${buildah[@]}" rm "$trial" >/dev/null' EXIT
"${buildah[@]}" run "$trial" -- paraph --version
"${buildah[@]}" run "$trial" -- id
echo "To start one: ${buildah[*]} from --pull-never paraph:service, and ${buildah[*]} run NAME -- paraph serve"
