#!/usr/bin/env bash
#: limiter=yes audit=yes routes=yes headers=yes verify=yes proto=h2
#: note=mfa-gateway with HTTP/2 to the vendor, without the audit chain
CHAIN=false HTTP2=true exec "$(dirname "${BASH_SOURCE[0]}")/../gateway/target.sh"
