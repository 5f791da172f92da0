# Three images, by target: server, aggregator and lake.

FROM rust:1.95-bookworm AS build
RUN rustup target add wasm32-unknown-unknown
WORKDIR /clickwire
COPY . .
# The dashboard first: the server embeds it. Caches are not part of the image, so the programs are
# copied out of them.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/clickwire/target \
    --mount=type=cache,target=/clickwire/target-wasm \
    cargo xtask dashboard \
    && cargo build --release --locked --package clickwire-server --package clickwire-aggregator \
        --package clickwire-lake \
    && install -D --target-directory /programs \
        target/release/clickwire-server target/release/clickwire-aggregator target/release/clickwire-lake

# Countries of addresses (ip-location-db, CC0). A newer version is a build argument; another file, a mount
# and CLICKWIRE_GEOIP_FILE.
FROM node:22-bookworm-slim AS countries
ARG COUNTRIES=2.3.2026061719
RUN cd /tmp \
    && npm pack --silent @ip-location-db/geo-whois-asn-country-mmdb@$COUNTRIES \
    && tar --extract --file ip-location-db-geo-whois-asn-country-mmdb-$COUNTRIES.tgz \
    && install -D --mode 644 package/geo-whois-asn-country.mmdb /countries.mmdb

FROM debian:bookworm-slim AS runtime
# curl is for health checks.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates curl \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --no-create-home --shell /usr/sbin/nologin clickwire
USER clickwire

FROM runtime AS aggregator
COPY --from=build /programs/clickwire-aggregator /usr/local/bin/
ENV CLICKWIRE_AGGREGATOR_LISTEN=0.0.0.0:8081
EXPOSE 8081
HEALTHCHECK --interval=5s --timeout=3s --start-period=30s \
    CMD ["curl", "--fail", "--silent", "--output", "/dev/null", "http://127.0.0.1:8081/readyz"]
ENTRYPOINT ["clickwire-aggregator"]

FROM runtime AS lake
COPY --from=build /programs/clickwire-lake /usr/local/bin/
# A volume takes this folder's owner over.
USER root
RUN install -d -o clickwire /var/lib/clickwire
USER clickwire
VOLUME /var/lib/clickwire
ENV CLICKWIRE_LAKE_LISTEN=0.0.0.0:8083
EXPOSE 8083
HEALTHCHECK --interval=5s --timeout=3s --start-period=30s \
    CMD ["curl", "--fail", "--silent", "--output", "/dev/null", "http://127.0.0.1:8083/readyz"]
ENTRYPOINT ["clickwire-lake"]
CMD ["run"]

FROM runtime AS server
COPY --from=build /programs/clickwire-server /usr/local/bin/
COPY --from=countries /countries.mmdb /usr/local/share/clickwire/
# A volume takes this folder's owner over.
USER root
RUN install -d -o clickwire /var/lib/clickwire
USER clickwire
VOLUME /var/lib/clickwire
ENV CLICKWIRE_LISTEN=0.0.0.0:8080 CLICKWIRE_METRICS_LISTEN=0.0.0.0:8082 \
    CLICKWIRE_SPOOL=/var/lib/clickwire/spool.redb \
    CLICKWIRE_GEOIP_FILE=/usr/local/share/clickwire/countries.mmdb
EXPOSE 8080 8082
HEALTHCHECK --interval=5s --timeout=3s --start-period=30s \
    CMD ["curl", "--fail", "--silent", "--output", "/dev/null", "http://127.0.0.1:8082/readyz"]
ENTRYPOINT ["clickwire-server"]
