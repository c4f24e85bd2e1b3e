#!/bin/sh
# Each deliberate bug (src/base/bug.h) must be found by a seed within its time.
#   tests/sim/bugs.sh SIM [SECONDS [BUG...]]            SIM: built with -Dbugs=true
sim=$1
seconds=${2:-120}
[ $# -gt 2 ] && { shift 2; bugs=$*; } || bugs=$("$sim" -b list | cut -f1)
missed=
for bug in $bugs; do
	out=$("$sim" -b "$bug" -t "$seconds" 2>&1)
	if [ $? -eq 0 ]; then
		missed="$missed $bug"
		echo "$bug: NOT FOUND in $seconds s"
	else
		echo "$bug: $(echo "$out" | sed -n 's/^failed after \(.*\)/found after \1/p')"
		echo "$out" | grep '^seed ' | tail -1 | cut -c1-240 | sed 's/^/	/'
	fi
done
[ -z "$missed" ] || { echo "not found:$missed"; exit 1; }
