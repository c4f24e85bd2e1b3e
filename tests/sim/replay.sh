#!/bin/sh
# One seed, one trace: in processes of their own, at other addresses, with other bytes in fresh and freed memory.
#   tests/sim/replay.sh SIM SEED...
sim=$1
shift
for seed; do
	one=$(MALLOC_PERTURB_=85 "$sim" -s "$seed" | tail -1)
	two=$(MALLOC_PERTURB_=170 MALLOC_TOP_PAD_=1000000 "$sim" -s "$seed" | tail -1)
	echo "$one" | grep -q trace && [ "$one" = "$two" ] || { printf 'seed %s does not replay:\n%s\n%s\n' "$seed" "$one" "$two"; exit 1; }
done
