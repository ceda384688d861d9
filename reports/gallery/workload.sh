#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The workload of mixed.slab.  Six times: find and read files, let git read its history, and hold 400 pipes
# open for a second.
for _ in 1 2 3 4 5 6; do
	find /usr/lib/python3* /usr/share -type f | head -8000 | xargs cat >/dev/null
	git log -p >/dev/null
	sleep 1
	python3 -c '
import os, time
pipes = [os.pipe() for _ in range(400)]
time.sleep(1)'
done
