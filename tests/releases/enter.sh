#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Usage: unshare --mount enter.sh RELEASE PLACE SHARED COMMAND...
# Runs a command in the release, with this kernel's /proc, /sys and /dev, and SHARED as its /run/lab.
# Everything that it writes elsewhere disappears with the mounts.  PLACE is an empty folder for mounts.
set -eu

release=$1 place=$2 shared=$3
shift 3
mount -t tmpfs over "$place"
mkdir "$place/upper" "$place/work" "$place/root"
mount -t overlay -o "lowerdir=$release,upperdir=$place/upper,workdir=$place/work" over "$place/root"
for folder in proc sys dev; do
	mount --rbind /$folder "$place/root/$folder"
done
mkdir -p "$place/root/run/lab"
mount --bind "$shared" "$place/root/run/lab"
exec env -i HOME=/root PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
	chroot "$place/root" "$@"
