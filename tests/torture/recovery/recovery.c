// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Lets a test choose when commands of a SCSI host time out, and what its low-level driver's
 * error handlers then do. test_recovery.py builds and loads it.
 *
 *	insmod recovery.ko host=N
 *	echo K >/sys/module/recovery/parameters/refuse	of abort, device reset and target
 *							reset the first K fail
 *	echo 1 >/sys/module/recovery/parameters/expire	what is in flight times out now
 *
 * Everything else is the kernel's own. It has to go before the host does.
 */
#include <linux/blk-mq.h>
#include <linux/module.h>
#include <scsi/scsi.h>
#include <scsi/scsi_cmnd.h>
#include <scsi/scsi_host.h>

enum refused { NO_ABORT = 1, NO_DEVICE_RESET, NO_TARGET_RESET };

static unsigned short host;
module_param(host, ushort, 0444);
MODULE_PARM_DESC(host, "number of the SCSI host");

static unsigned int refuse;
module_param(refuse, uint, 0644);
MODULE_PARM_DESC(refuse, "how many of abort, device reset and target reset fail");

static struct Scsi_Host *shost;
static const struct scsi_host_template *original;
static struct scsi_host_template copy;

static int abort_command(struct scsi_cmnd *cmd)
{
	return READ_ONCE(refuse) >= NO_ABORT ? FAILED : original->eh_abort_handler(cmd);
}

static int reset_device(struct scsi_cmnd *cmd)
{
	return READ_ONCE(refuse) >= NO_DEVICE_RESET ? FAILED :
	       original->eh_device_reset_handler(cmd);
}

/* The last one: unless it were really done, the driver would keep a command that is reused. */
static int reset_target(struct scsi_cmnd *cmd)
{
	int ret = original->eh_target_reset_handler(cmd);

	return READ_ONCE(refuse) >= NO_TARGET_RESET ? FAILED : ret;
}

static bool expire_request(struct request *rq, void *unused)
{
	blk_abort_request(rq);
	return true;
}

static int set_expire(const char *value, const struct kernel_param *param)
{
	if (!shost)
		return -ENODEV;

	blk_mq_tagset_busy_iter(&shost->tag_set, expire_request, NULL);

	return 0;
}

static const struct kernel_param_ops expire_ops = { .set = set_expire };
module_param_cb(expire, &expire_ops, NULL, 0200);
MODULE_PARM_DESC(expire, "write: all commands in flight time out");

static int __init recovery_init(void)
{
	struct Scsi_Host *found = scsi_host_lookup(host);

	if (!found)
		return -ENODEV;

	original = found->hostt;
	copy = *original;
	copy.eh_abort_handler = abort_command;
	copy.eh_device_reset_handler = reset_device;
	copy.eh_target_reset_handler = reset_target;
	found->hostt = &copy;
	shost = found;

	return 0;
}

static void __exit recovery_exit(void)
{
	/* What the kernel declares here is const in some versions, and in others is not. */
	shost->hostt = (typeof(shost->hostt))original;
	scsi_host_put(shost);
}

module_init(recovery_init);
module_exit(recovery_exit);
MODULE_DESCRIPTION("Time-outs and failing error handlers, for tests");
MODULE_LICENSE("GPL");
