/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What differs between the kernels that srlock is built for, 6.1 and newer
 *
 * The only place that knows kernel versions. Everything else is written against
 * the newest interface that can be given to all of them.
 */
#ifndef SRLOCK_COMPAT_H
#define SRLOCK_COMPAT_H

#include <linux/blk-mq.h>
#include <linux/blkdev.h>
#include <linux/device.h>
#include <linux/fs.h>
#include <linux/version.h>
#include <scsi/scsi_device.h>
#include <scsi/scsi_ioctl.h>

/* The block layer's open modes got a type of their own in 6.5, open its disk. */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 5, 0)
typedef fmode_t blk_mode_t;
typedef struct block_device srlock_open_t;

#define BLK_OPEN_READ		FMODE_READ
#define BLK_OPEN_WRITE		FMODE_WRITE
#define BLK_OPEN_EXCL		FMODE_EXCL
#define BLK_OPEN_NDELAY		FMODE_NDELAY

#define SRLOCK_RELEASE_PARAMS	struct gendisk *disk, blk_mode_t mode
#define SRLOCK_RELEASE_ARGS	disk, mode

static inline struct gendisk *srlock_opened_disk(srlock_open_t *opened)
{
	return opened->bd_disk;
}

static inline int srlock_scsi_ioctl(struct scsi_device *sdev, bool open_for_write,
				    unsigned int cmd, void __user *arg)
{
	return scsi_ioctl(sdev, FMODE_READ | (open_for_write ? FMODE_WRITE : 0), cmd,
			  arg);
}

#define SRLOCK_STS_RESERVATION_CONFLICT	BLK_STS_NEXUS
#else
typedef struct gendisk srlock_open_t;

#define SRLOCK_RELEASE_PARAMS	struct gendisk *disk
#define SRLOCK_RELEASE_ARGS	disk

static inline struct gendisk *srlock_opened_disk(srlock_open_t *opened)
{
	return opened;
}

static inline int srlock_scsi_ioctl(struct scsi_device *sdev, bool open_for_write,
				    unsigned int cmd, void __user *arg)
{
	return scsi_ioctl(sdev, open_for_write, cmd, arg);
}

#define SRLOCK_STS_RESERVATION_CONFLICT	BLK_STS_RESV_CONFLICT
#endif

/* Claims name what their holder does since 6.5, and forget the super block. */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 5, 0)
static inline int srlock_prepare_to_claim(struct block_device *bdev, void *holder)
{
	return bd_prepare_to_claim(bdev, holder);
}
#else
static inline int srlock_prepare_to_claim(struct block_device *bdev, void *holder)
{
	return bd_prepare_to_claim(bdev, holder, NULL);
}
#endif

/**
 * srlock_mounted() - the file system that is mounted there
 * @bdev: the whole device
 *
 * Context: Any to compare with NULL. gendisk.open_mutex is held to follow the pointer:
 * a super block gives its block device back before it is freed, and that takes the
 * mutex.
 * Return: its super block, or NULL.
 */
static inline struct super_block *srlock_mounted(struct block_device *bdev)
{
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 6, 0)
	return READ_ONCE(bdev->bd_super);
#else
	if (READ_ONCE(bdev->bd_holder_ops) != &fs_holder_ops)
		return NULL;

	return READ_ONCE(bdev->bd_holder);
#endif
}

/* The page cache of a block device; that had an inode to go through until 6.9. */
static inline struct address_space *srlock_mapping(struct block_device *bdev)
{
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 10, 0)
	return bdev->bd_inode->i_mapping;
#else
	return bdev->bd_mapping;
#endif
}

/* The workqueue for short works of anybody's got another name in 6.17, and the old one warns. */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 17, 0)
#define srlock_system_wq	system_wq
#else
#define srlock_system_wq	system_percpu_wq
#endif

/* Sleeping readers' grace period belongs to the tag set since 6.2. */
static inline void srlock_wait_dispatch_done(struct request_queue *q)
{
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 2, 0)
	blk_mq_wait_quiesce_done(q);
#else
	blk_mq_wait_quiesce_done(q->tag_set);
#endif
}

/* Class interfaces lost their second argument in 6.4. */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 4, 0)
#define SRLOCK_INTERFACE_PARAMS	struct device *dev, struct class_interface *interface
#else
#define SRLOCK_INTERFACE_PARAMS	struct device *dev
#endif

/* Tracepoints remember the source of a string since 6.10. */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 10, 0)
#define SRLOCK_ASSIGN_STR(dst, src)	__assign_str(dst, src)
#else
#define SRLOCK_ASSIGN_STR(dst, src)	__assign_str(dst)
#endif

#endif /* SRLOCK_COMPAT_H */
