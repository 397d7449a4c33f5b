# All binaries, each an image of its own: --target gateway (the last, and so the default), demo-ui, demo-backend,
# emulator. No shell, no package manager, an unprivileged user, nothing that has to be written to.
#
#   docker build --target gateway -t obo-gateway .
#
# The bases are arguments, so that it builds without a public registry, and for a machine's own binaries
# (scripts/container-test): BINARIES=prebuilt takes them from target/container/<architecture> and compiles nothing.
ARG BUILDER=docker.io/library/rust:1.95-bookworm
ARG RUNTIME=gcr.io/distroless/cc-debian12:nonroot
# `compiled` unless given: the default stands where it is used, since buildah 1.28 finds no stage by the default of an ARG.
ARG BINARIES

FROM ${BUILDER} AS compiled
WORKDIR /src
COPY . .
# Which build runs (obo_build_info, and the log at the start): docker build --build-arg COMMIT=$(git rev-parse HEAD)
ARG COMMIT=unknown
RUN OBO_COMMIT="$COMMIT" cargo build --release --locked \
        -p obo-gateway -p demo-ui -p demo-backend -p entra-emulator \
    && mkdir /binaries \
    && cp target/release/obo-gateway target/release/demo-ui target/release/demo-backend \
        target/release/entra-emulator /binaries/

FROM scratch AS prebuilt
ARG TARGETARCH
COPY target/container/${TARGETARCH}/ /binaries/

FROM ${BINARIES:-compiled} AS binaries

FROM ${RUNTIME} AS base
USER 65532:65532
WORKDIR /
ARG COMMIT=unknown
LABEL org.opencontainers.image.source="https://github.com/tower-obo/tower-obo" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.revision="${COMMIT}"
COPY LICENSE /LICENSE

FROM base AS emulator
LABEL org.opencontainers.image.title="entra-emulator" \
      org.opencontainers.image.description="Microsoft Entra ID and Azure Resource Manager for tests and development: whoever reaches it can sign in as anyone"
COPY --from=binaries /binaries/entra-emulator /usr/local/bin/entra-emulator
EXPOSE 9400 9401
HEALTHCHECK --interval=10s --timeout=5s --start-period=5s CMD ["/usr/local/bin/entra-emulator", "health"]
ENTRYPOINT ["/usr/local/bin/entra-emulator"]

FROM base AS demo-backend
LABEL org.opencontainers.image.title="demo-backend" \
      org.opencontainers.image.description="Minimal API behind obo-gateway; it has no security of its own"
COPY --from=binaries /binaries/demo-backend /usr/local/bin/demo-backend
EXPOSE 3000
HEALTHCHECK --interval=10s --timeout=5s --start-period=5s CMD ["/usr/local/bin/demo-backend", "health"]
ENTRYPOINT ["/usr/local/bin/demo-backend"]

FROM base AS demo-ui
LABEL org.opencontainers.image.title="demo-ui" \
      org.opencontainers.image.description="Web app: sign-in at Microsoft Entra ID, and the subscriptions of who signed in"
COPY --from=binaries /binaries/demo-ui /usr/local/bin/demo-ui
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=5s CMD ["/usr/local/bin/demo-ui", "health"]
ENTRYPOINT ["/usr/local/bin/demo-ui"]

FROM base AS gateway
LABEL org.opencontainers.image.title="obo-gateway" \
      org.opencontainers.image.description="On-Behalf-Of gateway for Microsoft Entra ID"
COPY --from=binaries /binaries/obo-gateway /usr/local/bin/obo-gateway
# Where to listen, in a file: variables would win over a file that is mounted in its place.
COPY deploy/container/gateway.toml /etc/obo-gateway/gateway.toml
ENV OBO_CONFIG=/etc/obo-gateway/gateway.toml
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=5s --start-period=5s CMD ["/usr/local/bin/obo-gateway", "health"]
ENTRYPOINT ["/usr/local/bin/obo-gateway"]
