#!/usr/bin/env bash
#: limiter=yes audit=yes routes=yes headers=yes verify=yes proto=h1
#: note=mfa-gateway: GCRA by email, chained OCSF records handed to the kernel before the answer
# Writes a configuration from the runner's variables, and becomes the gateway: see ../README.md.
# CHAIN and HTTP2 are set by the variants beside this one.
set -euo pipefail

repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/../../.." && pwd)
binary=${MFA_GATEWAY_BIN:-target/release/mfa-gateway}
[[ $binary == /* ]] || binary=$repository/$binary

identity_port=$UPSTREAM_PORT
cp "$CA_FILE" "$WORK/ca.pem"
if ((LIMIT_COUNT > 1000000)); then
    attempts=1000000 # the most that a quota may say: nothing is denied, and the limiter works all the same
else
    # A recovery that the vendor accepts gives the email its attempts back, and the runner's upstream
    # accepts all. To see one denied, the vendor must refuse it first.
    attempts=$LIMIT_COUNT
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 -subj /CN=localhost \
        -addext basicConstraints=critical,CA:FALSE -addext subjectAltName=DNS:localhost \
        -config <(printf '[req]\ndistinguished_name = name\n[name]\n') \
        -keyout "$WORK/refusing.key" -out "$WORK/refusing.pem" 2>/dev/null
    cat "$WORK/refusing.pem" >>"$WORK/ca.pem"
    read -r identity_port < <(exec python3 "$repository/tests/bench/gateway/refusing.py" "$WORK"/refusing.{pem,key})
fi

cat >"$WORK/gateway.toml" <<TOML
[listen]
address = "127.0.0.1:$PORT"
allowed_hosts = ["gateway.local", "localhost", "127.0.0.1"]

[admin]
address = "127.0.0.1:$ADMIN_PORT"

[frontegg]
identity_url = "https://localhost:$identity_port"
auth_url = "https://127.0.0.1:$AUTH_PORT/auth/vendor/"
ca_file = "$WORK/ca.pem"
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
collapse = 0
key = "no secret: what is measured here is thrown away"
chain = ${CHAIN:-true}
TOML

# The way to the runner's upstream is no proxy's.
unset HTTPS_PROXY https_proxy ALL_PROXY all_proxy
exec "$binary" run -c "$WORK/gateway.toml"
