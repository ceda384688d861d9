#!/bin/busybox sh
# SPDX-License-Identifier: Apache-2.0
# The first process of a guest.  Its root is the host's root over 9p, read-only, below a tmpfs that takes
# what is written.  The folder that guest.py shares is /run/lab; /run/lab/job is the guest's command.

b=/bin/busybox
$b mount -t proc proc /proc
$b mount -t sysfs sys /sys
$b mount -t devtmpfs dev /dev
for module in /modules/*.ko; do
	[ -e $module ] || break # all is built in
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
$b mknod /dev/null c 1 3 # for the background process below
$b mkdir -p /new/dev/shm /new/dev/pts
$b mount -t tmpfs shm /new/dev/shm
$b mount -t tmpfs run /new/run
$b mkdir /new/run/lab
$b mount -t 9p -o $p9,cache=none lab /new/run/lab

# Lists the processes: pid, state, command, and the innermost functions of its stack in the kernel.
processes() {
	for process in /new/proc/[0-9]*; do
		command=$($b tr '\0\n' '  ' <$process/cmdline | $b head -c 60)
		[ -n "$command" ] || continue # a thread of the kernel
		state=$($b sed -n 's/^State:[^A-Z]*//p' $process/status)
		stack=$($b sed 's/.*\] //; s/[+].*//' $process/stack | $b head -n 8 | $b tr '\n' ' ')
		echo "${process##*/} $state: $command [$stack]"
	done
}

# Once a deadline has passed (last_state.py).  Looks for the file's name only: see waits.py.
while $b sleep 1; do
	if [ -e /new/run/lab/state-wanted ]; then
		processes >/new/run/lab/state.new 2>/dev/null
		$b mv /new/run/lab/state.new /new/run/lab/state
		break
	fi
done &

PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root \
	$b chroot /new /bin/sh /run/lab/job >/new/run/lab/output 2>&1
echo $? >/new/run/lab/status
# no need of ACPI: qemu runs with -no-reboot
$b reboot -f
