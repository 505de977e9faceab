# Images of all components: one static program, nothing else. `docker build --target agent .`, or `make images` without an
# engine. Each target starts another part of the program; they share its layer.

# Any image with Rust, musl and a C compiler does.
ARG RUST=rust:1.95-alpine
FROM ${RUST} AS build
WORKDIR /src
ENV CARGO_HOME=/cargo
COPY . .
# The caches outlive the build, so that a second one compiles what has changed.
RUN --mount=type=cache,target=/src/target --mount=type=cache,target=/cargo/registry \
    target="$(uname -m)-unknown-linux-musl" \
    && cargo build --locked --profile image --package multicluster-image --target "$target" \
    && install -D "target/$target/image/multicluster-scheduler" /out/multicluster-scheduler

# What is in it, as CycloneDX: a stage of its own, because it asks for a tool.
FROM build AS bill
RUN --mount=type=cache,target=/cargo/registry \
    cargo install --locked --root /tools cargo-cyclonedx@0.5.9 \
    && cd image \
    && /tools/bin/cargo-cyclonedx cyclonedx --format json --target "$(uname -m)-unknown-linux-musl" \
        --override-filename sbom \
    && install -D sbom.json /out/sbom.cdx.json
FROM scratch AS sbom
COPY --from=bill /out/sbom.cdx.json /

FROM scratch AS program
COPY --from=build /out/multicluster-scheduler /
# No file of its own to write, no name in /etc/passwd, no right on the node.
USER 65532:65532
LABEL org.opencontainers.image.title="multicluster-scheduler" \
    org.opencontainers.image.licenses="Apache-2.0"

FROM program AS webhook
ENTRYPOINT ["/multicluster-scheduler", "webhook"]

FROM program AS extender
ENTRYPOINT ["/multicluster-scheduler", "extender"]

FROM program AS authproxy
ENTRYPOINT ["/multicluster-scheduler", "authproxy"]

# The last one, so that it is the one that is built when no target is given.
FROM program AS agent
ENTRYPOINT ["/multicluster-scheduler", "agent"]
