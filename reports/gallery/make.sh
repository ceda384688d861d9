#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Makes the gallery again: sh reports/gallery/make.sh mixed.slab, in the checkout.  This records mixed.slab:
#   sudo slabtrace record -o mixed.slab -- sh reports/gallery/workload.sh
# The screenshots show the same pages in Chromium; the text of `top` in README.md was captured by tmux.
set -eu
mixed=$1
gallery=$(dirname "$0")
fixtures=$gallery/../../fixtures

for kind in usage rates fragmentation lifetimes sizes call-sites; do
	slabtrace plot "$mixed" --kind "$kind" -o "$gallery/$kind.png" --force
done
slabtrace flame "$mixed" --what allocated -o "$gallery/allocated.svg" --force
slabtrace plot "$fixtures/lossy.slab" --kind rates -o "$gallery/losses.png" --force
slabtrace plot "$fixtures/slow-leak.slab" --kind call-sites -o "$gallery/slow-leak.png" --force
slabtrace report "$fixtures/slow-leak.slab" -o "$gallery/slow-leak.html" --force
slabtrace report "$fixtures/double-free.slab" -o "$gallery/double-free.html" --force
