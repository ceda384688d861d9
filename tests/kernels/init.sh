#!/bin/busybox sh
# SPDX-License-Identifier: Apache-2.0
# The first process of a guest.  Its root is the host's over 9p, read-only, under a tmpfs that takes
# what is written; the folder that guest.py shares is /run/lab.  /run/lab/job is what it has to do.

b=/bin/busybox
$b mount -t proc proc /proc
$b mount -t sysfs sys /sys
$b mount -t devtmpfs dev /dev
for module in /modules/*.ko; do
	$b insmod $module
done

p9=trans=virtio,version=9p2000.L,msize=512000
$b mount -t 9p -o $p9,ro,cache=loose root /host
$b mount -t tmpfs over /over
$b mkdir /over/upper /over/work
$b mount -t overlay -o lowerdir=/host,upperdir=/over/upper,workdir=/over/work over /new
for folder in proc sys dev; do
	$b mount --move /$folder /new/$folder
done
$b mkdir -p /new/dev/shm /new/dev/pts
$b mount -t tmpfs shm /new/dev/shm
$b mount -t tmpfs run /new/run
$b mkdir /new/run/lab
$b mount -t 9p -o $p9,cache=none lab /new/run/lab

PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root \
	$b chroot /new /bin/sh /run/lab/job >/new/run/lab/output 2>&1
echo $? >/new/run/lab/status
# no need of ACPI: qemu runs with -no-reboot
$b reboot -f
