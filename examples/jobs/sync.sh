#!/bin/sh
# Copies what another machine offers. Ends with 75 (EX_TEMPFAIL) when another attempt may help, and with 64 when none can.
set -eu
source=${1:-}
[ -n "$source" ] || { echo "usage: sync.sh <source>" >&2; exit 64; }

# Do not start what cannot end in time.
if [ "${RESILIENCE_REMAINING_MS:-60000}" -lt 1000 ]; then exit 75; fi

# A service that knows such keys does the work of one key once, however often the job is repeated or replayed.
echo "attempt ${RESILIENCE_ATTEMPT:-1} from $source, key ${RESILIENCE_IDEMPOTENCY_KEY:-none}"
[ -e "$source" ] || { echo "$source does not answer" >&2; exit 75; }
