/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The operations that programs are made of
 */
#ifndef OPS_H
#define OPS_H

#include "program.h"

struct runner;

/**
 * struct op - an operation
 * @name: in the text of programs
 * @weight: how often it is chosen
 * @args: how many numbers it takes
 * @limit: each is below that; 0: any number
 * @run: make the call and judge its outcome; returns how many of the calls that follow
 *	it has taken care of
 */
struct op {
	const char *name;
	unsigned int weight;
	unsigned int args;
	__u32 limit[MAX_ARGS];
	unsigned int (*run)(struct runner *runner, const struct call *call);
};

extern const struct op ops[];
extern const unsigned int op_count;

int op_by_name(const char *name);

/* lock_ops.c: the lock's own calls */
unsigned int run_acquire(struct runner *runner, const struct call *call);
unsigned int run_release(struct runner *runner, const struct call *call);
unsigned int run_info(struct runner *runner, const struct call *call);
unsigned int run_break(struct runner *runner, const struct call *call);
unsigned int run_ioctl(struct runner *runner, const struct call *call);
unsigned int run_read(struct runner *runner, const struct call *call);
unsigned int run_poll(struct runner *runner, const struct call *call);
unsigned int run_epoll(struct runner *runner, const struct call *call);

/* file_ops.c: files as such */
unsigned int run_open_lock(struct runner *runner, const struct call *call);
unsigned int run_open_sr(struct runner *runner, const struct call *call);
unsigned int run_open_sg(struct runner *runner, const struct call *call);
unsigned int run_open_bsg(struct runner *runner, const struct call *call);
unsigned int run_close(struct runner *runner, const struct call *call);
unsigned int run_dup(struct runner *runner, const struct call *call);
unsigned int run_pass(struct runner *runner, const struct call *call);
unsigned int run_other(struct runner *runner, const struct call *call);
unsigned int run_sysfs_read(struct runner *runner, const struct call *call);
unsigned int run_sysfs_write(struct runner *runner, const struct call *call);

/* drive_ops.c: commands to the drive */
unsigned int run_sg_io(struct runner *runner, const struct call *call);
unsigned int run_bsg_io(struct runner *runner, const struct call *call);
unsigned int run_sg_write(struct runner *runner, const struct call *call);
unsigned int run_packet(struct runner *runner, const struct call *call);
unsigned int run_cdrom(struct runner *runner, const struct call *call);
unsigned int run_block_read(struct runner *runner, const struct call *call);
unsigned int run_mount(struct runner *runner, const struct call *call);

/* process_ops.c: who makes the calls that follow */
unsigned int run_fork(struct runner *runner, const struct call *call);
unsigned int run_thread(struct runner *runner, const struct call *call);
unsigned int run_repeat(struct runner *runner, const struct call *call);
unsigned int run_sleep(struct runner *runner, const struct call *call);

#endif
