// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * While this is loaded, the kernel looks to srlock like one whose blk_execute_rq() does not
 * keep its wait object on the stack of the task that waits: at the gate, a PREVENT MEDIUM
 * REMOVAL has another address in its place. test_cannot_gate.py builds and loads it.
 */
#include <linux/blk-mq.h>
#include <linux/kprobes.h>
#include <linux/module.h>
#include <scsi/scsi.h>
#include <scsi/scsi_cmnd.h>

struct call {
	struct request *rq;
	void *end_io_data;
};

static int object;

static int enter(struct kretprobe_instance *instance, struct pt_regs *regs)
{
	const struct blk_mq_queue_data *bd = (void *)regs_get_kernel_argument(regs, 1);
	struct call *call = (void *)instance->data;
	const struct scsi_cmnd *cmd = blk_mq_rq_to_pdu(bd->rq);

	if (!blk_rq_is_passthrough(bd->rq) || cmd->cmnd[0] != ALLOW_MEDIUM_REMOVAL ||
	    !cmd->cmnd[4])
		return 1;

	call->rq = bd->rq;
	call->end_io_data = bd->rq->end_io_data;
	bd->rq->end_io_data = &object;

	return 0;
}

/* It was refused, so nobody has ended it yet, and its submitter still waits. */
static int leave(struct kretprobe_instance *instance, struct pt_regs *regs)
{
	struct call *call = (void *)instance->data;

	if (regs_return_value(regs))
		call->rq->end_io_data = call->end_io_data;

	return 0;
}

static struct kretprobe probe = {
	.kp.symbol_name	= "srlock:srlock_queue_rq",
	.entry_handler	= enter,
	.handler	= leave,
	.data_size	= sizeof(struct call),
};

static int __init elsewhere_init(void)
{
	return register_kretprobe(&probe);
}

static void __exit elsewhere_exit(void)
{
	unregister_kretprobe(&probe);
}

module_init(elsewhere_init);
module_exit(elsewhere_exit);
MODULE_LICENSE("GPL");
