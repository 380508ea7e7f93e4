# syntax=docker/dockerfile:1
# One image for every command: `docker run weir` is a worker, `docker run weir migrate` upgrades the store.

FROM rust:1.95-bookworm AS builder
WORKDIR /src
COPY . .
# The folders outlive the build, so that a change compiles only what it touches; the program has to leave them.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --release --locked --bin weir && cp target/release/weir /usr/local/bin/weir

FROM debian:bookworm-slim
# Providers, broker and store are trusted by the system's own certificates.
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 10001 --user-group --create-home --home-dir /var/lib/weir --shell /usr/sbin/nologin weir
COPY --from=builder /usr/local/bin/weir /usr/local/bin/weir
# By number, so that an orchestrator sees that it is not root.
USER 10001:10001
# A configuration of your own goes to /var/lib/weir/config; without one, the shipped file is in force.
WORKDIR /var/lib/weir
ENTRYPOINT ["weir"]
CMD ["worker"]
