// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What a lock does; see model.h
 */
#include <errno.h>
#include <string.h>

#include "model.h"

void model_init(struct model *model)
{
	memset(model, 0, sizeof(*model));
	model->holder = NOBODY;
	model->parents[0] = NOBODY;
	model->process_count = 1;
}

int model_fork(struct model *model, int parent)
{
	if (model->process_count == MAX_PROCESSES)
		return NOBODY;
	model->parents[model->process_count] = parent;
	return model->process_count++;
}

int model_open(struct model *model, bool is_lock, bool exclusive)
{
	int at = 0;

	while (at < model->object_count && model->objects[at].references)
		at++;
	if (at == MAX_OBJECTS)
		return NOBODY;
	if (at == model->object_count)
		model->object_count++;
	model->objects[at] = (struct object) {
		.references = 1,
		.is_lock = is_lock,
		.exclusive = exclusive,
	};
	return at;
}

void model_get(struct model *model, int object)
{
	if (object != NOBODY)
		model->objects[object].references++;
}

static void end_hold(struct model *model)
{
	model->objects[model->holder].count = 0;
	model->holder = NOBODY;
	model->members = 0;
}

bool model_put(struct model *model, int object)
{
	if (object == NOBODY || --model->objects[object].references)
		return false;
	if (model->holder != object)
		return false;
	end_hold(model);
	return true;
}

bool model_admits(const struct model *model, int process)
{
	for (; process != NOBODY; process = model->parents[process])
		if (model->members & 1U << process)
			return true;
	return false;
}

bool model_is_claimed(const struct model *model)
{
	for (int i = 0; i < model->object_count; i++)
		if (model->objects[i].references && model->objects[i].exclusive)
			return true;
	return false;
}

static void begin_hold(struct model *model, int object, int process, int pid, __u32 flags)
{
	model->holder = object;
	model->first = process;
	model->pid = pid;
	model->prevent = !(flags & SRLOCK_ACQUIRE_NO_PREVENT);
	model->forced = model_is_claimed(model);
}

int model_acquire(struct model *model, int object, int process, int pid, __u32 flags,
		  enum srlock_busy *reason)
{
	if (model->objects[object].broken)
		return -EOWNERDEAD;
	if (model->holder != NOBODY && model->holder != object) {
		*reason = SRLOCK_BUSY_HELD;
		return -EBUSY;
	}
	if (model->holder == NOBODY) {
		if (model_is_claimed(model) && !(flags & SRLOCK_ACQUIRE_FORCE)) {
			*reason = SRLOCK_BUSY_CLAIMED;
			return -EBUSY;
		}
		begin_hold(model, object, process, pid, flags);
	}
	model->members |= 1U << process;
	model->objects[object].count++;
	return 0;
}

void model_unacquire(struct model *model, int object)
{
	if (model->holder == object && !--model->objects[object].count)
		end_hold(model);
}

int model_release(struct model *model, int object)
{
	if (model->objects[object].broken)
		return -EOWNERDEAD;
	if (model->holder != object)
		return -EPERM;
	if (!--model->objects[object].count)
		end_hold(model);
	return 0;
}

int model_break(struct model *model)
{
	if (model->holder == NOBODY)
		return -EPERM;
	model->objects[model->holder].broken = true;
	end_hold(model);
	return 0;
}

int model_command(const struct model *model, int object)
{
	if (model->objects[object].broken)
		return -EOWNERDEAD;
	return model->holder == object ? 0 : -EPERM;
}

__u32 model_count(const struct model *model)
{
	return model->holder == NOBODY ? 0 : model->objects[model->holder].count;
}
