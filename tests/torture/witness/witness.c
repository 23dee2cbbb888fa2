// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * witness - what the kernel itself has of each optical drive, for tests of srlock
 *
 * /sys/kernel/debug/witness has a line for each drive:
 *
 *	H:C:T:L tray=0 queue=scsi disk=sr driver=0 power=2 device=16 host=1
 *
 * queue is "scsi" if the queue's operations are those of its host's tag set, else the
 * name of the function in place of scsi_queue_rq(); disk is "sr" if the disk has sr's
 * operations, "none" if there is no disk, else the name of the function in place of
 * sr's open; "busy" if somebody works on the device. tray is 1 if the last PREVENT
 * ALLOW MEDIUM REMOVAL that the drive has answered with GOOD was a PREVENT. power is
 * the device's runtime usage count, device its reference count, host and driver are the
 * counts of the modules. Anything written to the file forgets the trays of all drives.
 *
 * The trays of drives that are gone come last, as "gone tray=1", if they are
 * locked, with the last such commands that they have answered.
 *
 * It knows nothing of srlock, and takes its word for nothing.
 */
#include <linux/blk-mq.h>
#include <linux/blkdev.h>
#include <linux/debugfs.h>
#include <linux/kallsyms.h>
#include <linux/module.h>
#include <linux/seq_file.h>
#include <linux/string.h>
#include <linux/tracepoint.h>
#include <scsi/scsi.h>
#include <scsi/scsi_cmnd.h>
#include <scsi/scsi_device.h>
#include <scsi/scsi_host.h>

#define WITNESS_TRAYS	64
#define WITNESS_HOSTS	256

/* The last of these commands that were answered. */
#define WITNESS_LAST	6

struct witness_command {
	u64 time;
	unsigned int host;
	int result;
	bool prevent;
	bool pm;
};

struct witness_tray {
	const struct scsi_device *sdev;
	struct witness_command last[WITNESS_LAST];
	unsigned int commands;
	bool locked;
	bool seen;
};

static struct witness_tray trays[WITNESS_TRAYS];
static DEFINE_SPINLOCK(trays_lock);
static struct tracepoint *done;
static struct dentry *file;

/* The drive's entry, or the first that is free. */
static struct witness_tray *witness_find(const struct scsi_device *sdev)
{
	unsigned int i;

	lockdep_assert_held(&trays_lock);

	for (i = 0; i < WITNESS_TRAYS; i++)
		if (!trays[i].sdev || trays[i].sdev == sdev)
			return &trays[i];

	return NULL;
}

/* As a probe of scsi_dispatch_cmd_done. */
static void witness_done(void *data, struct scsi_cmnd *cmd)
{
	struct witness_command *command;
	struct witness_tray *tray;
	unsigned long flags;

	if (cmd->cmnd[0] != ALLOW_MEDIUM_REMOVAL)
		return;

	spin_lock_irqsave(&trays_lock, flags);
	tray = witness_find(cmd->device);
	if (tray) {
		tray->sdev = cmd->device;
		command = &tray->last[tray->commands++ % WITNESS_LAST];
		command->time = ktime_get_ns();
		command->host = cmd->device->host->host_no;
		command->result = cmd->result;
		command->prevent = cmd->cmnd[4] & 1;
		command->pm = scsi_cmd_to_rq(cmd)->rq_flags & RQF_PM;
		if (!cmd->result)
			tray->locked = command->prevent;
	}
	spin_unlock_irqrestore(&trays_lock, flags);
}

static bool witness_is_locked(const struct scsi_device *sdev)
{
	struct witness_tray *tray;
	bool locked = false;

	spin_lock_irq(&trays_lock);
	tray = witness_find(sdev);
	if (tray && tray->sdev) {
		tray->seen = true;
		locked = tray->locked;
	}
	spin_unlock_irq(&trays_lock);

	return locked;
}

static void witness_show_queue(struct seq_file *m, const struct scsi_device *sdev)
{
	const struct blk_mq_ops *ops = READ_ONCE(sdev->request_queue->mq_ops);

	if (ops == sdev->host->tag_set.ops)
		seq_puts(m, " queue=scsi");
	else
		seq_printf(m, " queue=%ps", ops->queue_rq);
}

static void witness_show_disk(struct seq_file *m, struct scsi_device *sdev)
{
	const struct block_device_operations *fops;
	char name[KSYM_SYMBOL_LEN];

	if (!device_trylock(&sdev->sdev_gendev)) {
		seq_puts(m, " disk=busy driver=0");
		return;
	}
	/* sr has a reference as long as it is bound */
	if (sdev->sdev_gendev.driver && sdev->request_queue->disk) {
		fops = READ_ONCE(sdev->request_queue->disk->fops);
		snprintf(name, sizeof(name), "%ps", fops);
		if (strncmp(name, "sr_bdops", strlen("sr_bdops")))
			snprintf(name, sizeof(name), "%ps", fops->open);
		name[strcspn(name, " ")] = '\0';
		seq_printf(m, " disk=%s driver=%d", strcmp(name, "sr_bdops") ? name : "sr",
			   module_refcount(fops->owner));
	} else {
		seq_puts(m, " disk=none driver=0");
	}
	device_unlock(&sdev->sdev_gendev);
}

static void witness_show_drive(struct seq_file *m, struct scsi_device *sdev)
{
	struct device *dev = &sdev->sdev_gendev;
	struct module *host = sdev->host->hostt->module;

	seq_printf(m, "%s tray=%d", dev_name(dev), witness_is_locked(sdev));
	witness_show_queue(m, sdev);
	witness_show_disk(m, sdev);
	seq_printf(m, " power=%d device=%u host=%d\n",
		   atomic_read(&dev->power.usage_count), kref_read(&dev->kobj.kref),
		   host ? module_refcount(host) : 0);
}

/* "1.234567 PREVENT 0x0" and the like, the latest last. */
static void witness_show_last(struct seq_file *m, const struct witness_tray *tray)
{
	const struct witness_command *command;
	unsigned int i;

	for (i = 0; i < WITNESS_LAST; i++) {
		command = &tray->last[(tray->commands + i) % WITNESS_LAST];
		if (command->time)
			seq_printf(m, ", %llu.%06llu %s%s 0x%x", command->time / NSEC_PER_SEC,
				   command->time % NSEC_PER_SEC / NSEC_PER_USEC,
				   command->prevent ? "PREVENT" : "ALLOW",
				   command->pm ? " (pm)" : "", command->result);
	}
}

static void witness_show_gone(struct seq_file *m)
{
	unsigned int i;

	spin_lock_irq(&trays_lock);
	for (i = 0; i < WITNESS_TRAYS; i++)
		if (trays[i].sdev && !trays[i].seen && trays[i].locked) {
			seq_printf(m, "gone tray=1 host=%u", trays[i].last[0].host);
			witness_show_last(m, &trays[i]);
			seq_putc(m, '\n');
		}
	for (i = 0; i < WITNESS_TRAYS; i++)
		trays[i].seen = false;
	spin_unlock_irq(&trays_lock);
}

static int witness_show(struct seq_file *m, void *data)
{
	struct scsi_device *sdev;
	unsigned int i;

	for (i = 0; i < WITNESS_HOSTS; i++) {
		__auto_type shost = scsi_host_lookup(i);

		if (!shost)
			continue;
		shost_for_each_device(sdev, shost)
			if (sdev->type == TYPE_ROM || sdev->type == TYPE_WORM)
				witness_show_drive(m, sdev);
		scsi_host_put(shost);
	}
	witness_show_gone(m);

	return 0;
}

static ssize_t witness_write(struct file *unused, const char __user *text, size_t size,
			     loff_t *position)
{
	spin_lock_irq(&trays_lock);
	memset(trays, 0, sizeof(trays));
	spin_unlock_irq(&trays_lock);

	return size;
}

static int witness_open(struct inode *inode, struct file *opened)
{
	return single_open(opened, witness_show, NULL);
}

static const struct file_operations witness_fops = {
	.owner		= THIS_MODULE,
	.open		= witness_open,
	.read		= seq_read,
	.write		= witness_write,
	.llseek		= seq_lseek,
	.release	= single_release,
};

static void witness_look_for(struct tracepoint *tracepoint, void *data)
{
	if (!strcmp(tracepoint->name, "scsi_dispatch_cmd_done"))
		done = tracepoint;
}

/* scsi_mod may be a module; those that are there already are told of at once. */
static int witness_look_in_module(struct notifier_block *unused, unsigned long action,
				  void *data)
{
	const struct tp_module *found = data;
	unsigned int i;

	if (action == MODULE_STATE_COMING)
		for (i = 0; i < found->mod->num_tracepoints; i++)
			witness_look_for(tracepoint_ptr_deref(found->mod->tracepoints_ptrs + i),
					 NULL);

	return NOTIFY_OK;
}

static struct notifier_block modules = {
	.notifier_call	= witness_look_in_module,
};

static int __init witness_init(void)
{
	int ret;

	for_each_kernel_tracepoint(witness_look_for, NULL);
	ret = register_tracepoint_module_notifier(&modules);
	if (ret)
		return ret;
	unregister_tracepoint_module_notifier(&modules);
	/* which stays, as its functions are used here */
	if (!done)
		return -EOPNOTSUPP;
	ret = tracepoint_probe_register(done, witness_done, NULL);
	if (ret)
		return ret;
	file = debugfs_create_file("witness", 0600, NULL, NULL, &witness_fops);

	return 0;
}

static void __exit witness_exit(void)
{
	debugfs_remove(file);
	tracepoint_probe_unregister(done, witness_done, NULL);
	tracepoint_synchronize_unregister();
}

module_init(witness_init);
module_exit(witness_exit);
MODULE_DESCRIPTION("What the kernel itself has of each optical drive");
MODULE_LICENSE("GPL");
