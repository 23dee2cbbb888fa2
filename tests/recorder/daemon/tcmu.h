/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The transport: commands from the kernel's target core, through a TCMU device
 *
 * Documentation/target/tcmu-design.rst describes the ring. Commands are copied out of it
 * as they come in and may be answered in any order.
 */
#ifndef RECORDER_TCMU_H
#define RECORDER_TCMU_H

#include "queue.h"

/**
 * struct tcmu - one TCMU device
 * @fd: its /dev/uioN
 * @ring: the mapped ring
 * @size: bytes in it
 * @head: how far the ring has been read
 * @queue: where the commands go
 * @drive: told of resets
 */
struct tcmu {
	int fd;
	void *ring;
	size_t size;
	u32 head;
	struct queue *queue;
	struct drive *drive;
};

bool tcmu_open(struct tcmu *tcmu, const char *path);
bool tcmu_receive(struct tcmu *tcmu);
void tcmu_answer(void *tcmu, struct task *task);

#endif
