#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# Process 1 of the machine: what an init does that the tests need, then the agent. No systemd, but its udev.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export HOME=/root LANG=C.UTF-8 PYTHONPATH=/opt

mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
mount -t tmpfs tmpfs /dev/shm
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /tmp
mount -t debugfs debugfs /sys/kernel/debug
mount -t tracefs tracefs /sys/kernel/tracing
mount -t configfs configfs /sys/kernel/config 2>/dev/null
ip link set lo up
hostname machine
mkdir -p /run/udev /run/lock /run/dbus
# An ordinary user, in group cdrom, and one that is in no group.
echo 'user:x:1000:1000::/tmp:/bin/sh' >>/etc/passwd
echo 'stranger:x:1001:1001::/tmp:/bin/sh' >>/etc/passwd
printf 'user:x:1000:\nstranger:x:1001:\n' >>/etc/group
sed -i 's/^cdrom:.*/&user/' /etc/group

modprobe virtio_console
/lib/systemd/systemd-udevd --daemon
udevadm trigger --type=subsystems --action=add
udevadm trigger --type=devices --action=add
udevadm settle --timeout=60
modprobe -a sr_mod sg isofs loop
# Without this the kernel never polls drives for media changes.
echo 2000 >/sys/module/block/parameters/events_dfl_poll_msecs
echo 20 >/proc/sys/kernel/hung_task_timeout_secs
udevadm settle --timeout=60

python3 -m machine.guest.agent
echo "boot: the agent ended with status $?" >/dev/kmsg
echo o >/proc/sysrq-trigger
sleep 60
