#!/bin/sh
# Works through three dependencies again and again. Each has a circuit and a budget of its own: while one is down, it is not asked, and
# the others get their work. ROUNDS=1 makes one round.
set -u
jobs=$(dirname "$0")
offers=${OFFERS:-/srv}
rounds=${ROUNDS:-0}

round=0
while :; do
  for dependency in users orders invoices; do
    resilience run --name "worker-$dependency" --quiet \
      --open-after 2 --open-for 5m --retry 1 --backoff 100ms..2s --budget 20% --timeout 30s \
      -- "$jobs/sync.sh" "$offers/$dependency"
    code=$?
    case $code in
      0) echo "$dependency: done" ;;
      69) echo "$dependency: rests" ;;
      *) echo "$dependency: failed with $code" ;;
    esac
  done
  round=$((round + 1))
  [ "$round" = "$rounds" ] && exit 0
  sleep "${PAUSE:-60}"
done
