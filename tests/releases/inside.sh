#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Runs in a release: installs slabtrace from its wheel and as a package, and records with several options.
# /run/lab has wheels/, the leaver and make-deb.  The traces go there, and a line of `steps` for each step.
set -eu
cd /run/lab
export PIP_NO_INDEX=1 PIP_FIND_LINKS=/run/lab/wheels

step() {
	name=$1
	shift
	if "$@" >"$name.output" 2>&1; then echo "$name ok"; else echo "$name $(grep . "$name.output" | tail -n 1)"; fi >>steps
}

record() { # NAME OPTION...: record the leaver; the pause is longer than the threshold of survivors mode
	trace=$1
	shift
	slabtrace record "$@" -o "$trace.slab" -- sh -c "/run/lab/leaver $LEFT >>/run/lab/left; sleep 2"
}

step venv python3 -m venv /opt/tried
step pip /opt/tried/bin/pip install slabtrace
PATH=/opt/tried/bin:$PATH
step doctor slabtrace doctor
step record-all record all --stacks all
step record-auto record auto
step record-none record none --stacks none --twins none
step record-survivors record survivors --mode survivors --threshold 500ms
PATH=${PATH#*:}
rm -r /opt/tried

step make-deb sh make-deb wheels/slabtrace-*.whl .
step install dpkg --install slabtrace_*.deb
step version slabtrace --version
step man test -s /usr/share/man/man1/slabtrace-record.1.gz
step record-package record package
step report slabtrace report package.slab -o package.html
step purge dpkg --purge slabtrace
step gone sh -c '! ls -d /opt/slabtrace /usr/bin/slabtrace 2>/dev/null'
