#!/usr/bin/env bash
#: limiter=yes audit=yes routes=yes headers=yes verify=yes proto=h1
#: note=mfa-gateway: GCRA by email, chained OCSF records handed to the kernel before the answer
# Writes a configuration from the runner's variables, and becomes the gateway: see ../README.md.
# CHAIN and HTTP2 are set by the variants beside this one.
set -euo pipefail

repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/../../.." && pwd)
binary=${MFA_GATEWAY_BIN:-target/release/mfa-gateway}
[[ $binary == /* ]] || binary=$repository/$binary

# More than a quota may say means that the runner wants nothing denied; the limiter works all the same.
attempts=$((LIMIT_COUNT < 1000000 ? LIMIT_COUNT : 1000000))

cat >"$WORK/gateway.toml" <<TOML
[listen]
address = "127.0.0.1:$PORT"
allowed_hosts = ["gateway.local", "localhost", "127.0.0.1"]

[admin]
address = "127.0.0.1:$ADMIN_PORT"

[frontegg]
identity_url = "https://localhost:$UPSTREAM_PORT"
auth_url = "https://127.0.0.1:$AUTH_PORT/auth/vendor/"
ca_file = "$CA_FILE"
client_id = "bench"
api_key = "bench"
http2 = ${HTTP2:-false}

[subject]
tenant_header = "x-tenant-id"
user_header = "x-user-id"

# No address of a user is known here, so nothing is counted by it.
[limits]
max_keys = 2_000_000
email.quotas = [{ attempts = $attempts, per = "${LIMIT_WINDOW_S}s" }]
code.quotas = []
send.quotas = []
# the most that may be written: a million at once, regained in a second
upstream.recover = { attempts = 1_000_000, per = "1s" }
upstream."login.verify" = { attempts = 1_000_000, per = "1s" }

[audit]
output = "$AUDIT_FILE"
durability = "written"
key = "no secret: what is measured here is thrown away"
chain = ${CHAIN:-true}
TOML

# The way to the runner's upstream is no proxy's.
unset HTTPS_PROXY https_proxy ALL_PROXY all_proxy
exec "$binary" run -c "$WORK/gateway.toml"
