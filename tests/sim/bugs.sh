#!/bin/sh
# Each deliberate bug (src/base/bug.h) must be found by a seed within its time; those that no seed leads to, by a scenario.
#   tests/sim/bugs.sh SIM [SECONDS [BUG...]]            SIM: built with -Dbugs=true, the scenarios' programs beside it
sim=$1
seconds=${2:-120}
[ $# -gt 2 ] && { shift 2; bugs=$*; } || bugs=$("$sim" -b list | cut -f1)
missed=
for bug in $bugs; do
	case $bug in
	HANG_*) out=$("${sim}_hang" -b "$bug" 2>&1) ;;
	UNKNOWN_SKIPPED|FORWARDED_UNCHECKED) out=$("${sim}_odd" -b "$bug" 2>&1) ;;
	*) out=$("$sim" -b "$bug" -t "$seconds" 2>&1) ;;
	esac
	status=$?
	if [ $status -eq 2 ] || [ $status -eq 126 ]; then
		echo "$bug: cannot be run: $out"
		exit 1
	fi
	if [ $status -eq 0 ]; then
		missed="$missed $bug"
		echo "$bug: NOT FOUND in $seconds s"
	else
		echo "$bug: found$(echo "$out" | sed -n 's/^failed\( after .*\)/\1/p')"
		echo "$out" | grep '^seed ' | tail -1 | cut -c1-240 | sed 's/^/	/'
	fi
done
[ -z "$missed" ] || { echo "not found:$missed"; exit 1; }
