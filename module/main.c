// SPDX-License-Identifier: GPL-2.0-only
/*
 * srlock: exclusive access to optical drives
 *
 * Module init and exit, and the parameters.
 */
#include <linux/init.h>
#include <linux/module.h>
#include <linux/rcupdate.h>
#include <linux/workqueue.h>
#include <scsi/scsi.h>
#include <scsi/scsi_device.h>

#include "drive.h"

#define CREATE_TRACE_POINTS
#include "trace.h"

struct workqueue_struct *srlock_workqueue;

unsigned int srlock_default_command_timeout_ms = 5000;

static int srlock_set_command_timeout(const char *value, const struct kernel_param *param)
{
	return param_set_uint_minmax(value, param, SRLOCK_COMMAND_TIMEOUT_MIN_MS,
				     SRLOCK_COMMAND_TIMEOUT_MAX_MS);
}

static const struct kernel_param_ops srlock_command_timeout_ops = {
	.set	= srlock_set_command_timeout,
	.get	= param_get_uint,
};
module_param_cb(command_timeout_ms, &srlock_command_timeout_ops,
		&srlock_default_command_timeout_ms, 0644);
__MODULE_PARM_TYPE(command_timeout_ms, "uint");
MODULE_PARM_DESC(command_timeout_ms,
		 "Milliseconds that the module's own commands may take, and those in flight at an acquire; for drives attached from now on");

static int __init srlock_init(void)
{
	int ret;

	/* Unbound: one work that waits for a hung drive must not delay another. */
	srlock_workqueue = alloc_workqueue("srlock", WQ_UNBOUND, WQ_UNBOUND_MAX_ACTIVE);
	if (!srlock_workqueue)
		return -ENOMEM;

	ret = srlock_drives_init();
	if (ret)
		goto out_destroy_workqueue;

	return 0;

out_destroy_workqueue:
	destroy_workqueue(srlock_workqueue);
	return ret;
}

static void __exit srlock_exit(void)
{
	srlock_drives_exit();
	destroy_workqueue(srlock_workqueue);
	/* Members are freed by RCU callbacks. */
	rcu_barrier();
}

module_init(srlock_init);
module_exit(srlock_exit);

MODULE_DESCRIPTION("Exclusive access to optical drives");
MODULE_AUTHOR("The srlock maintainers");
MODULE_LICENSE("GPL");
MODULE_ALIAS_SCSI_DEVICE(TYPE_ROM);
MODULE_ALIAS_SCSI_DEVICE(TYPE_WORM);
