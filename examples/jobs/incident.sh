#!/bin/sh
# An upstream is down. incident.sh begin <job> <ticket>, and afterwards incident.sh end <job> <ticket>
set -eu
job=$2
ticket=$3

case $1 in
  begin)
    # No run starts for two hours, or until somebody ends it: no load on what is down, no mail about what is known.
    resilience control isolate "$job" --for 2h --reason "$ticket"
    resilience status "$job"
    ;;
  end)
    # The job may run again at once, and what failed for good meanwhile is run again, the oldest first.
    resilience control close "$job" --reason "$ticket is over"
    resilience spool retry --name "$job" || echo "some entries failed again: resilience spool list --name $job"
    resilience history "$job" --limit 5
    ;;
  *)
    echo "usage: incident.sh begin|end <job> <ticket>" >&2
    exit 64
    ;;
esac
