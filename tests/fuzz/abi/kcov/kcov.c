// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * srlock_kcov.ko - KCOV for one module, on a kernel that has none
 *
 * Kernels that have it look for much else, too, and are much slower. The
 * file kcov in debugfs is that of Documentation/dev-tools/kcov.rst, for KCOV_TRACE_PC of
 * the calling task; the trace ends with the last use of the file, not with the
 * task. The file kcov_places counts the places that have run, whoever ran them:
 * works and interrupts also, which KCOV itself leaves out.
 *
 * The compiler calls __sanitizer_cov_trace_pc() in each basic block of srlock.ko.
 */
#include <linux/bitmap.h>
#include <linux/debugfs.h>
#include <linux/hashtable.h>
#include <linux/kcov.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/objtool.h>
#include <linux/preempt.h>
#include <linux/rculist.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>

enum {
	TASKS_SHIFT = 8,
	MAX_WORDS = 1 << 20,
	TEXT_BITS = 1 << 20,	/* the module's code is smaller, and in one piece */
};

struct trace {
	struct hlist_node node;
	const struct task_struct *task;	/* NULL: of nobody */
	pid_t pid;		/* so that it is not another task in the same place */
	unsigned long words;
	unsigned long *area;	/* how many follow, and these */
};

static DEFINE_HASHTABLE(traces, TASKS_SHIFT);
static DEFINE_MUTEX(lock);	/* who is in traces */
static DECLARE_BITMAP(places, TEXT_BITS);
static atomic_t place_count = ATOMIC_INIT(0);

static notrace void note_place(unsigned long pc)
{
	unsigned int bit = pc % TEXT_BITS;

	if (!test_bit(bit, places) && !test_and_set_bit(bit, places))
		atomic_inc(&place_count);
}

void notrace __sanitizer_cov_trace_pc(void);

void notrace __sanitizer_cov_trace_pc(void)
{
	const struct task_struct *task = current;
	struct trace *trace;

	note_place(_RET_IP_);
	if (!in_task())
		return;
	/* an RCU read side, too */
	preempt_disable_notrace();
	hash_for_each_possible_rcu_notrace(traces, trace, node, (unsigned long)task) {
		unsigned long at;

		if (trace->task != task || trace->pid != task->pid)
			continue;
		at = READ_ONCE(trace->area[0]) + 1;
		if (at < trace->words) {
			WRITE_ONCE(trace->area[0], at);
			WRITE_ONCE(trace->area[at], _RET_IP_);
		}
	}
	preempt_enable_notrace();
}
EXPORT_SYMBOL_GPL(__sanitizer_cov_trace_pc);
/* objtool wants no rescheduling where user memory may be accessed; a switch keeps that. */
STACK_FRAME_NON_STANDARD(__sanitizer_cov_trace_pc);

static int kcov_open(struct inode *inode, struct file *file)
{
	struct trace *trace = kzalloc(sizeof(*trace), GFP_KERNEL);

	file->private_data = trace;

	return trace ? 0 : -ENOMEM;
}

static int kcov_init_trace(struct trace *trace, unsigned long words)
{
	if (trace->area)
		return -EBUSY;
	if (words < 2 || words > MAX_WORDS)
		return -EINVAL;
	trace->area = vmalloc_user(words * sizeof(*trace->area));
	if (!trace->area)
		return -ENOMEM;
	trace->words = words;

	return 0;
}

static int kcov_enable(struct trace *trace, unsigned long mode)
{
	if (!trace->area)
		return -EINVAL;
	if (mode != KCOV_TRACE_PC)
		return -ENOTSUPP;
	if (trace->task)
		return -EBUSY;
	trace->task = current;
	trace->pid = current->pid;
	hash_add_rcu(traces, &trace->node, (unsigned long)trace->task);

	return 0;
}

static void kcov_disable(struct trace *trace)
{
	if (!trace->task)
		return;
	hash_del_rcu(&trace->node);
	synchronize_rcu();
	trace->task = NULL;
}

static long kcov_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	struct trace *trace = file->private_data;
	int ret = 0;

	mutex_lock(&lock);
	switch (cmd) {
	case KCOV_INIT_TRACE:
		ret = kcov_init_trace(trace, arg);
		break;
	case KCOV_ENABLE:
		ret = kcov_enable(trace, arg);
		break;
	case KCOV_DISABLE:
		kcov_disable(trace);
		break;
	default:
		ret = -ENOTTY;
	}
	mutex_unlock(&lock);

	return ret;
}

static int kcov_mmap(struct file *file, struct vm_area_struct *vma)
{
	struct trace *trace = file->private_data;
	int ret = -EINVAL;

	mutex_lock(&lock);
	if (trace->area)
		ret = remap_vmalloc_range(vma, trace->area, 0);
	mutex_unlock(&lock);

	return ret;
}

static int kcov_release(struct inode *inode, struct file *file)
{
	struct trace *trace = file->private_data;

	mutex_lock(&lock);
	kcov_disable(trace);
	mutex_unlock(&lock);
	vfree(trace->area);
	kfree(trace);

	return 0;
}

static const struct file_operations kcov_fops = {
	.owner = THIS_MODULE,
	.open = kcov_open,
	.unlocked_ioctl = kcov_ioctl,
	.mmap = kcov_mmap,
	.release = kcov_release,
};

static struct dentry *node;

static int __init kcov_init(void)
{
	node = debugfs_create_file_unsafe("kcov", 0600, NULL, NULL, &kcov_fops);
	if (IS_ERR(node))
		return PTR_ERR(node);
	debugfs_create_atomic_t("kcov_places", 0400, NULL, &place_count);

	return 0;
}

static void __exit kcov_exit(void)
{
	debugfs_lookup_and_remove("kcov_places", NULL);
	debugfs_remove(node);
}

module_init(kcov_init);
module_exit(kcov_exit);

MODULE_DESCRIPTION("KCOV for srlock.ko, on a kernel without it");
MODULE_LICENSE("GPL");
