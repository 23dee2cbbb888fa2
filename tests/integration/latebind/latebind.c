// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * While this is loaded, whoever is about to swap a disk's operations sleeps just before
 * that, until `go` is written or a minute is over. test_rebind.py builds and loads it.
 */
#include <linux/delay.h>
#include <linux/kprobes.h>
#include <linux/module.h>
#include <linux/sched.h>

static bool here;
module_param(here, bool, 0444);
static bool go;
module_param(go, bool, 0644);

static int divert(struct kprobe *probe, struct pt_regs *regs);

static struct kprobe probe = {
	.symbol_name	= "srlock:srlock_swap_fops",
	.pre_handler	= divert,
};

/* Who has slept and now goes on. */
static struct task_struct *late;

static int swap_late(long gate, long disk, long more)
{
	int (*original)(long gate, long disk, long more) = (void *)probe.addr;
	unsigned int i;

	WRITE_ONCE(here, true);
	for (i = 0; i < 1200 && !READ_ONCE(go); i++)
		msleep(50);
	WRITE_ONCE(late, current);

	return original(gate, disk, more);
}

static int divert(struct kprobe *p, struct pt_regs *regs)
{
	if (READ_ONCE(late) == current)
		return 0;

	instruction_pointer_set(regs, (unsigned long)swap_late);

	return 1;
}

static int __init latebind_init(void)
{
	return register_kprobe(&probe);
}

static void __exit latebind_exit(void)
{
	unregister_kprobe(&probe);
}

module_init(latebind_init);
module_exit(latebind_exit);
MODULE_LICENSE("GPL");
