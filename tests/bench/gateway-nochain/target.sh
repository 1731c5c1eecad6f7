#!/usr/bin/env bash
#: limiter=yes audit=yes routes=yes headers=yes verify=yes proto=h1
#: note=mfa-gateway without the audit chain
CHAIN=false exec "$(dirname "${BASH_SOURCE[0]}")/../gateway/target.sh"
