# The harness for a cluster, and the demo's app: docker build --target lastwatch|lab-app .
FROM rust:1-bookworm AS build
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --release --locked && cp target/release/lastwatch /lastwatch

# The demo's app needs a shell, since one of the scenarios is about a shell that is PID 1.
FROM debian:bookworm-slim AS lab-app
COPY --from=build /lastwatch /usr/local/bin/lastwatch
USER 65532:65532
EXPOSE 8080
ENTRYPOINT ["lastwatch", "lab", "app"]

FROM gcr.io/distroless/cc-debian12:nonroot AS lastwatch
COPY --from=build /lastwatch /usr/local/bin/lastwatch
USER 65532:65532
WORKDIR /work
ENTRYPOINT ["lastwatch"]
