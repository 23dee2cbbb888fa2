// SPDX-License-Identifier: GPL-2.0-only
/*
 * The class srlock and its attributes, one value a file; readable by everybody and
 * without asking the drive. docs/sysfs-class-srlock describes them.
 */
#include <linux/sysfs.h>
#include <linux/user_namespace.h>

#include "drive.h"

static const char * const srlock_state_names[] = {
	[SRLOCK_STATE_FREE]		= "free",
	[SRLOCK_STATE_ACQUIRING]	= "acquiring",
	[SRLOCK_STATE_HELD]		= "held",
	[SRLOCK_STATE_RELEASING]	= "releasing",
	[SRLOCK_STATE_GONE]		= "gone",
};

static const char * const srlock_way_names[] = {
	[SRLOCK_WAY_NONE]	= "none",
	[SRLOCK_WAY_OPEN]	= "open",
	[SRLOCK_WAY_IOCTL]	= "ioctl",
	[SRLOCK_WAY_COMMAND]	= "command",
};

static ssize_t state_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	struct srlock_drive *drive = srlock_dev_to_drive(dev);

	return sysfs_emit(buf, "%s\n", srlock_state_names[READ_ONCE(drive->lock.state)]);
}
static DEVICE_ATTR_RO(state);

static void srlock_show_holder(struct device *dev, struct srlock_holder_info *info)
{
	srlock_drive_holder(srlock_dev_to_drive(dev), NULL, info);
	put_pid(info->pid);
}

static ssize_t owner_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	struct srlock_holder_info info;

	srlock_show_holder(dev, &info);

	return sysfs_emit(buf, "%s\n", info.name);
}
static DEVICE_ATTR_RO(owner);

static ssize_t count_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	struct srlock_holder_info info;

	srlock_show_holder(dev, &info);

	return sysfs_emit(buf, "%u\n", info.count);
}
static DEVICE_ATTR_RO(count);

static ssize_t pid_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	struct srlock_holder_info info;
	pid_t pid;

	srlock_drive_holder(srlock_dev_to_drive(dev), NULL, &info);
	pid = pid_vnr(info.pid);
	put_pid(info.pid);

	return sysfs_emit(buf, "%d\n", pid);
}
static DEVICE_ATTR_RO(pid);

static ssize_t uid_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	struct srlock_holder_info info;

	srlock_show_holder(dev, &info);
	if (info.state != SRLOCK_STATE_HELD)
		return sysfs_emit(buf, "\n");

	return sysfs_emit(buf, "%u\n", from_kuid_munged(current_user_ns(), info.uid));
}
static DEVICE_ATTR_RO(uid);

static ssize_t since_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	struct srlock_holder_info info;

	srlock_show_holder(dev, &info);

	return sysfs_emit(buf, "%llu\n", info.since);
}
static DEVICE_ATTR_RO(since);

static ssize_t waiters_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	struct srlock_holder_info info;

	srlock_show_holder(dev, &info);

	return sysfs_emit(buf, "%u\n", info.waiters);
}
static DEVICE_ATTR_RO(waiters);

static ssize_t srlock_show_refused(struct device *dev, enum srlock_way way, char *buf)
{
	u64 refused[SRLOCK_WAY_COMMAND + 1];

	srlock_events_totals(&srlock_dev_to_drive(dev)->events, refused);

	return sysfs_emit(buf, "%llu\n", refused[way]);
}

static ssize_t refused_opens_show(struct device *dev, struct device_attribute *attr,
				  char *buf)
{
	return srlock_show_refused(dev, SRLOCK_WAY_OPEN, buf);
}
static DEVICE_ATTR_RO(refused_opens);

static ssize_t refused_ioctls_show(struct device *dev, struct device_attribute *attr,
				   char *buf)
{
	return srlock_show_refused(dev, SRLOCK_WAY_IOCTL, buf);
}
static DEVICE_ATTR_RO(refused_ioctls);

static ssize_t refused_commands_show(struct device *dev, struct device_attribute *attr,
				     char *buf)
{
	return srlock_show_refused(dev, SRLOCK_WAY_COMMAND, buf);
}
static DEVICE_ATTR_RO(refused_commands);

static ssize_t last_refused_show(struct device *dev, struct device_attribute *attr,
				 char *buf)
{
	struct srlock_event event;

	srlock_events_last(&srlock_dev_to_drive(dev)->events, &event);
	if (!event.repeats)
		return sysfs_emit(buf, "\n");

	/* A process may call itself what it likes; it stays one line. */
	return sysfs_emit(buf, "%s %#x %d%s %*pE\n", srlock_way_names[event.way],
			  event.code, event.pid,
			  event.flags & SRLOCK_EVENT_GUESS ? "?" : "",
			  (int)strnlen((const char *)event.name, sizeof(event.name)),
			  event.name);
}
static DEVICE_ATTR_RO(last_refused);

static ssize_t command_timeout_ms_show(struct device *dev, struct device_attribute *attr,
				       char *buf)
{
	struct srlock_drive *drive = srlock_dev_to_drive(dev);

	return sysfs_emit(buf, "%u\n", READ_ONCE(drive->command_timeout_ms));
}

static ssize_t command_timeout_ms_store(struct device *dev, struct device_attribute *attr,
					const char *buf, size_t size)
{
	struct srlock_drive *drive = srlock_dev_to_drive(dev);
	unsigned int timeout_ms;
	int ret;

	ret = kstrtouint(buf, 10, &timeout_ms);
	if (ret)
		return ret;
	if (timeout_ms < SRLOCK_COMMAND_TIMEOUT_MIN_MS ||
	    timeout_ms > SRLOCK_COMMAND_TIMEOUT_MAX_MS)
		return -ERANGE;

	WRITE_ONCE(drive->command_timeout_ms, timeout_ms);

	return size;
}
static DEVICE_ATTR_RW(command_timeout_ms);

static struct attribute *srlock_attrs[] = {
	&dev_attr_state.attr,
	&dev_attr_owner.attr,
	&dev_attr_count.attr,
	&dev_attr_pid.attr,
	&dev_attr_uid.attr,
	&dev_attr_since.attr,
	&dev_attr_waiters.attr,
	&dev_attr_refused_opens.attr,
	&dev_attr_refused_ioctls.attr,
	&dev_attr_refused_commands.attr,
	&dev_attr_last_refused.attr,
	&dev_attr_command_timeout_ms.attr,
	NULL
};
ATTRIBUTE_GROUPS(srlock);

struct class srlock_class = {
	.name		= "srlock",
	.dev_groups	= srlock_groups,
};
