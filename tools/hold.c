// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * hold.c - several drives held together: what run and hold share
 *
 * The drives are taken one after the other in the order of their lock nodes'
 * numbers, which is the same for every srlock on the machine: two that want the
 * same drives cannot wait for each other. If one cannot be had, those that were
 * taken are given back.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "event.h"
#include "explain.h"
#include "hold.h"

static void prepare(const struct hold *hold, struct srlock_acquire *acquire, uint64_t deadline)
{
	*acquire = (struct srlock_acquire){
		.flags = hold->options.flags,
		.deadline_ns = deadline,
	};
	snprintf((char *)acquire->client, SRLOCK_CLIENT_SIZE, "%s", hold->options.client);
}

static void read_events(struct holding *holding)
{
	struct srlock_event event;

	while (event_read(holding->fd, &event))
		tally_add(&holding->tally, &event, !holding->held);
}

static void say_waiting(struct holding *holding, const struct srlock_acquire *acquire,
			const struct srlock_info *info)
{
	char *reason = explain_busy(holding->drive, acquire, info);

	say("waiting for %s: %s", holding->drive->label, reason);
	free(reason);
}

/* Try at once first: only who has to wait wants to know for whom. */
static int take_one(struct hold *hold, struct holding *holding, uint64_t deadline)
{
	struct srlock_acquire acquire;
	struct srlock_info info = { 0 };
	int error;

	prepare(hold, &acquire, 0);
	error = -lock_acquire(holding->fd, &acquire);
	if (error)
		lock_info(holding->fd, &info);
	/* Who waits for its own hold waits for ever. */
	if (error == EBUSY && deadline && !(info.status & SRLOCK_STATUS_MINE)) {
		if (!hold->options.quiet)
			say_waiting(holding, &acquire, &info);
		prepare(hold, &acquire, deadline);
		error = -lock_acquire(holding->fd, &acquire);
		if (error)
			lock_info(holding->fd, &info);
	}
	if (error)
		return explain_acquire(holding->drive, &acquire, &info, error);
	holding->held = true;
	read_events(holding);
	return 0;
}

static int open_one(struct holding *holding)
{
	int fd = lock_open(holding->drive, O_RDWR);

	if (fd < 0)
		return explain_open(holding->drive, -fd);
	holding->fd = fd;
	return 0;
}

static void after_taking(struct hold *hold, struct holding *holding)
{
	struct srlock_info info;

	if (hold->options.verbose)
		say("%s: held as \"%s\"", holding->drive->label, hold->options.client);
	if (!hold->options.quiet && !lock_info(holding->fd, &info))
		explain_prior_opens(holding->drive, &info);
}

static void set_up(struct hold *hold)
{
	size_t count = hold->drives.count, i;

	hold->each = need_memory(calloc(count, sizeof(*hold->each)));
	hold->poll = need_memory(calloc(HOLD_LOCKS + count, sizeof(*hold->poll)));
	hold->poll[HOLD_SIGNALS] = (struct pollfd){ .fd = -1, .events = POLLIN };
	hold->poll[HOLD_INPUT] = (struct pollfd){ .fd = -1, .events = POLLIN };
	for (i = 0; i < count; i++) {
		hold->each[i].drive = hold->drives.drives[i];
		hold->each[i].fd = -1;
		hold->poll[HOLD_LOCKS + i].fd = -1;
	}
}

/**
 * hold_take() - take all drives of a hold, or none
 * @hold: with options and drives filled in
 *
 * Return: an exit status; it can be 0 without the drives if that is what -E says,
 * so look at @hold->taken.
 */
int hold_take(struct hold *hold)
{
	uint64_t deadline = hold->options.wait_ns == SRLOCK_DEADLINE_NONE ?
			    SRLOCK_DEADLINE_NONE : deadline_after(hold->options.wait_ns);
	int status = 0;
	size_t i;

	set_up(hold);
	for (i = 0; !status && i < hold->drives.count; i++)
		status = open_one(&hold->each[i]);
	for (i = 0; !status && i < hold->drives.count; i++)
		status = take_one(hold, &hold->each[i], deadline);
	if (status) {
		hold->options.quiet = true;
		hold_give_back(hold);
		return status == EXIT_CONFLICT ? hold->options.conflict : status;
	}
	hold->taken = true;
	for (i = 0; i < hold->drives.count; i++) {
		after_taking(hold, &hold->each[i]);
		hold->poll[HOLD_LOCKS + i] = (struct pollfd){ .fd = hold->each[i].fd,
							      .events = POLLIN };
	}
	return 0;
}

/**
 * hold_join() - make the calling process a holder in its own right
 * @hold: a hold that was taken before fork()
 *
 * The files stay open across execve(), so that the drives stay held for as long
 * as the command has them, whatever becomes of the process that took them.
 *
 * Return: an exit status.
 */
int hold_join(struct hold *hold)
{
	struct srlock_acquire acquire;
	struct srlock_info info = { 0 };
	int error;
	size_t i;

	for (i = 0; i < hold->drives.count; i++) {
		prepare(hold, &acquire, 0);
		error = -lock_acquire(hold->each[i].fd, &acquire);
		if (error)
			return explain_acquire(hold->each[i].drive, &acquire, &info, error);
		if (fcntl(hold->each[i].fd, F_SETFD, 0))
			return fail(EX_OSERR, "cannot pass on the lock: %s", strerror(errno));
	}
	return 0;
}

static void notice_loss(struct holding *holding, short revents)
{
	const char *label = holding->drive->label;

	if (holding->lost)
		return;
	if (holding->tally.unplugged || (revents & (POLLHUP | POLLNVAL)))
		say("%s: the drive was unplugged while it was held", label);
	else if (holding->tally.broken || (revents & POLLERR))
		say("%s: no longer held: taken away with 'srlock break'", label);
	else
		return;
	holding->lost = true;
}

/**
 * hold_wait() - wait until something happens, and take note of it
 * @hold: a hold that was taken
 * @timeout_ms: as for poll()
 *
 * What happens to the drives is dealt with; the slots before HOLD_LOCKS are the
 * caller's to look at.
 *
 * Return: false if the time is over.
 */
bool hold_wait(struct hold *hold, int timeout_ms)
{
	struct pollfd *slot;
	int ready;
	size_t i;

	do
		ready = poll(hold->poll, HOLD_LOCKS + hold->drives.count, timeout_ms);
	while (ready < 0 && errno == EINTR);
	if (ready <= 0)
		return false;
	for (i = 0; i < hold->drives.count; i++) {
		slot = &hold->poll[HOLD_LOCKS + i];
		if (slot->fd < 0 || !slot->revents)
			continue;
		read_events(&hold->each[i]);
		notice_loss(&hold->each[i], slot->revents);
		if (hold->each[i].lost)
			slot->fd = -1;
	}
	return true;
}

/** hold_lost() - is one of the drives no longer held? */
bool hold_lost(const struct hold *hold)
{
	size_t i;

	for (i = 0; i < hold->drives.count; i++)
		if (hold->each[i].lost)
			return true;
	return false;
}

/* Down to zero: a command that exits does not take its own acquire back. */
static int release_one(struct holding *holding)
{
	unsigned int count;
	int error;

	holding->held = false;
	do
		error = -lock_release(holding->fd, &count);
	while (!error && count);
	if (!error || ((error == ENODEV || error == EOWNERDEAD) && holding->lost))
		return 0;
	return explain_release(holding->drive, error);
}

static int give_back_one(struct hold *hold, struct holding *holding)
{
	int status;

	read_events(holding);
	notice_loss(holding, 0);
	status = release_one(holding);
	read_events(holding);
	if (hold->options.verbose && !status && !holding->lost)
		say("%s: released", holding->drive->label);
	if (!hold->options.quiet)
		tally_print(&holding->tally, holding->drive->label);
	return status;
}

/**
 * hold_give_back() - release what is held, and say what was refused meanwhile
 * @hold: the hold; it may be held in part only, or not at all
 *
 * Last taken, first released.
 *
 * Return: an exit status, of the first drive that made trouble.
 */
int hold_give_back(struct hold *hold)
{
	int status = 0, one;
	size_t i;

	for (i = hold->drives.count; i-- > 0; ) {
		if (!hold->each[i].held)
			continue;
		one = give_back_one(hold, &hold->each[i]);
		status = status ? status : one;
	}
	return status;
}

/** hold_free() - close and forget everything */
void hold_free(struct hold *hold)
{
	size_t i;

	for (i = 0; hold->each && i < hold->drives.count; i++) {
		if (hold->each[i].fd >= 0)
			close(hold->each[i].fd);
		tally_clear(&hold->each[i].tally);
	}
	free(hold->each);
	free(hold->poll);
	drive_list_free(&hold->drives);
}
