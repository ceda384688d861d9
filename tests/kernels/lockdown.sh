#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Usage: lockdown.sh PYTHON RESULTS "LEAVER..."
# Locks the kernel down.  In the mode "integrity" recording works.  In the mode "confidentiality" every command
# that would trace says so in one line and writes nothing.
set -eu

python=$1 results=$2 leaver=$3
mode=/sys/kernel/security/lockdown

refused() {
	status=0
	"$python" -m slabtrace "$@" >"$results/said" 2>&1 || status=$?
	if [ $status != 4 ] || ! grep -q "kernel is locked down (confidentiality)" "$results/said"; then
		echo "$1 ended with $status: $(cat "$results/said")" >&2
		exit 1
	fi
}

[ -e $mode ] || mount -t securityfs none /sys/kernel/security
echo integrity >$mode
# shellcheck disable=SC2086  # split into words
"$python" -m slabtrace record --stacks all -o "$results/trace.slab" -- $leaver

echo confidentiality >$mode
refused record -o "$results/none.slab" -d 1s
refused top --batch 1
refused doctor
umount /sys/kernel/security # now only the verifier refuses
refused record -o "$results/none.slab" -d 1s
[ ! -e "$results/none.slab" ]
