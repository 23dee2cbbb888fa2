// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * srlock_counts.ko - keeps what a counting srlock.ko has counted
 *
 * gcov support in the kernel would do that, but Debian's kernels have none, and those
 * that have it are slow for other reasons. The file srlock_counts in debugfs has a
 * snapshot for each time that srlock.ko was unloaded, and one of now if it is loaded.
 * A snapshot is a record for each object: the length of its name in bytes, the length
 * of its counts, the name, the counts in the format of .gcda files.
 */
#include <linux/debugfs.h>
#include <linux/list.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>

#include "counts.h"

#if __GNUC__ < 12 || __GNUC__ > 13
#error "only what gcc 12 and 13 generate is known here (see kernel/gcov/gcc_4_7.c)"
#endif

enum {
	MAGIC = 0x67636461,
	TAG_FUNCTION = 0x01000000,
	TAG_ARCS = 0x01a10000,
	COUNTERS = 8,
};

struct gcov_ctr_info {
	unsigned int num;
	u64 *values;
};

struct gcov_fn_info {
	const struct gcov_info *key;
	unsigned int ident;
	unsigned int lineno_checksum;
	unsigned int cfg_checksum;
	struct gcov_ctr_info arcs;
};

struct gcov_info {
	unsigned int version;
	struct gcov_info *next;
	unsigned int stamp;
	unsigned int checksum;
	const char *filename;
	void *merge[COUNTERS];	/* functions */
	unsigned int n_functions;
	struct gcov_fn_info **functions;
};

struct snapshot {
	struct list_head list;
	size_t size;
	u8 data[];
};

static DEFINE_MUTEX(lock);	/* what follows */
static LIST_HEAD(snapshots);
static const struct gcov_info *const *begin, *const *end;

/* Where snapshots are written to; only the size is counted where there is no data. */
struct writer {
	u8 *data;
	size_t size;
};

static void put(struct writer *to, const void *data, size_t size)
{
	if (to->data)
		memcpy(to->data + to->size, data, size);
	to->size += size;
}

static void put32(struct writer *to, u32 value)
{
	put(to, &value, sizeof(value));
}

static void put_counts(struct writer *to, const struct gcov_info *info)
{
	unsigned int i, j;

	put32(to, MAGIC);
	put32(to, info->version);
	put32(to, info->stamp);
	put32(to, info->checksum);
	for (i = 0; i < info->n_functions; i++) {
		const struct gcov_fn_info *function = info->functions[i];

		put32(to, TAG_FUNCTION);
		put32(to, 3 * sizeof(u32));
		put32(to, function->ident);
		put32(to, function->lineno_checksum);
		put32(to, function->cfg_checksum);
		put32(to, TAG_ARCS);
		put32(to, function->arcs.num * sizeof(u64));
		for (j = 0; j < function->arcs.num; j++)
			put(to, &function->arcs.values[j], sizeof(u64));
	}
}

static void put_snapshot(struct writer *to)
{
	const struct gcov_info *const *at;

	for (at = begin; at < end; at++) {
		struct writer size = {};

		if (!*at)
			continue;
		put_counts(&size, *at);
		put32(to, strlen((*at)->filename));
		put32(to, size.size);
		put(to, (*at)->filename, strlen((*at)->filename));
		put_counts(to, *at);
	}
}

void srlock_counts_come(const struct gcov_info *const *first,
			const struct gcov_info *const *last)
{
	mutex_lock(&lock);
	begin = first;
	end = last;
	mutex_unlock(&lock);
}
EXPORT_SYMBOL_GPL(srlock_counts_come);

void srlock_counts_go(void)
{
	struct writer to = {};
	struct snapshot *new;

	mutex_lock(&lock);
	put_snapshot(&to);
	new = kvmalloc(struct_size(new, data, to.size), GFP_KERNEL | __GFP_NOFAIL);
	new->size = to.size;
	to = (struct writer){ .data = new->data };
	put_snapshot(&to);
	list_add_tail(&new->list, &snapshots);
	begin = NULL;
	end = NULL;
	mutex_unlock(&lock);
}
EXPORT_SYMBOL_GPL(srlock_counts_go);

static int counts_open(struct inode *inode, struct file *file)
{
	struct writer to = {}, all;
	struct snapshot *snapshot;

	mutex_lock(&lock);
	list_for_each_entry(snapshot, &snapshots, list)
		put(&to, snapshot->data, snapshot->size);
	put_snapshot(&to);
	all = (struct writer){ .data = vmalloc(to.size + 1) };
	file->private_data = all.data;
	if (all.data) {
		list_for_each_entry(snapshot, &snapshots, list)
			put(&all, snapshot->data, snapshot->size);
		put_snapshot(&all);
	}
	inode->i_size = all.size;
	mutex_unlock(&lock);

	return all.data ? 0 : -ENOMEM;
}

static ssize_t counts_read(struct file *file, char __user *to, size_t size, loff_t *offset)
{
	return simple_read_from_buffer(to, size, offset, file->private_data,
				       i_size_read(file_inode(file)));
}

static int counts_release(struct inode *inode, struct file *file)
{
	vfree(file->private_data);
	return 0;
}

static const struct file_operations counts_fops = {
	.owner = THIS_MODULE,
	.open = counts_open,
	.read = counts_read,
	.release = counts_release,
	.llseek = default_llseek,
};

static struct dentry *file;

static int __init counts_init(void)
{
	file = debugfs_create_file_unsafe("srlock_counts", 0400, NULL, NULL, &counts_fops);

	return PTR_ERR_OR_ZERO(file);
}

static void __exit counts_exit(void)
{
	struct snapshot *snapshot, *next;

	debugfs_remove(file);
	list_for_each_entry_safe(snapshot, next, &snapshots, list)
		kvfree(snapshot);
}

module_init(counts_init);
module_exit(counts_exit);

MODULE_DESCRIPTION("Keeps what a counting srlock.ko has counted");
MODULE_LICENSE("GPL");
