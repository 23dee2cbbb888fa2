/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * torture - kill, unplug, unload and break at random instants, and look after each
 *
 * Actors play roles on a drive: processes that hold it, wait for it, take it from
 * others, or are strangers to it. Each notes in shared memory what it is doing, so that
 * it is known at which stage something has hit it. What went wrong is counted in a
 * verdict, whose fields are the results of each phase.
 */
#ifndef TORTURE_H
#define TORTURE_H

#include <linux/types.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "drives.h"

enum { MAX_DRIVES = 8, MAX_ACTORS = 64, STUCK_S = 30 };
enum { SECOND_NS = 1000000000, SECOND_US = 1000000 };

/* What an actor is doing; stage_names has the words. */
enum stage {
	STAGE_BORN,
	STAGE_OPEN,
	STAGE_ACQUIRE,
	STAGE_NEST,
	STAGE_COMMAND,
	STAGE_SR_OPEN,
	STAGE_SR_COMMAND,
	STAGE_SR_CLOSE,
	STAGE_DATA_OPEN,
	STAGE_DATA_READ,
	STAGE_DATA_CLOSE,
	STAGE_EJECT,
	STAGE_LOAD,
	STAGE_HOLD,
	STAGE_UNNEST,
	STAGE_RELEASE,
	STAGE_CLOSE,
	STAGE_REST,
	STAGE_BREAK,
	STAGES
};

extern const char *const stage_names[STAGES];

enum role {
	ROLE_HOLDER,	/* acquires, uses the drive in every way, releases */
	ROLE_FAMILY,	/* the same, with a child that has joined the hold */
	ROLE_WAITER,	/* acquires with a deadline, and little else */
	ROLE_BREAKER,	/* takes the drive from whoever holds it */
	ROLE_STRANGER,	/* sends commands by all nodes */
	ROLES
};

extern const char *const role_names[ROLES];

/* An actor, as all processes see it. */
struct actor {
	atomic_int stage;
	atomic_int pid;
	atomic_int child;		/* of a family */
	atomic_ulong cycles;
	atomic_ulong acquired;
	atomic_ulong refused;
	atomic_ulong unexpected;	/* errors that are not documented for it */
	atomic_long last_unexpected;	/* negative errno, or status */
	atomic_int unexpected_stage;
};

/* Shared by all processes; also by programs that map the file SHARED_FILE. */
struct shared {
	atomic_bool stop;
	atomic_bool unplug;		/* drives may be missing */
	atomic_bool breaking;		/* holds may be broken */
	struct actor actors[MAX_ACTORS];
};

#define SHARED_FILE "/tmp/torture.shared"

extern struct shared *shared;

/* shared.c */
bool share(bool create);
__u64 now_ns(void);
void random_seed(__u64 seed);
__u64 random_below(__u64 limit);
void sleep_until(__u64 when_ns);
/* Read a small file; an empty string if that fails. Returns buffer. */
char *read_text(const char *path, char *buffer, size_t size);
bool write_text(const char *path, const char *text);

/* actors.c */
/* Start a role; the process is in a group of its own. */
pid_t actor_start(struct actor *actor, enum role role, const struct drive *drive);
/* Play a role in this process until told to stop. */
void actor_play(struct actor *actor, enum role role, const struct drive *drive);
/* Wait for a death; false, with its stack printed, if it does not come in time. */
bool actor_reap(pid_t pid, int *status);
/* Children whose parents are dead come to this process. */
void reap_orphans(void);
/* Wait until the actor has begun; false if it does not. */
bool actor_wait(const struct actor *actor, unsigned long cycles);
/* How long a cycle of a role takes on a drive, in nanoseconds. */
__u64 actor_duration(enum role role, const struct drive *drive);
/* Add what actors counted, and forget it. */
void actors_collect(struct actor *from, int count);

/* clean.c */
struct verdict {
	unsigned long checks;
	unsigned long stuck;		/* processes that did not die, or calls that hung */
	unsigned long held;		/* drives that did not become free */
	unsigned long counts;		/* free, but with counts or waiters */
	unsigned long pointers;		/* operations not restored */
	unsigned long trays;		/* locked, as by the commands answered */
	unsigned long drive_trays;	/* locked, as the drive itself says */
	unsigned long foreign;		/* a foreigner's command fails */
	unsigned long references;	/* power or reference counts */
	unsigned long module;		/* the module's count is not zero */
	unsigned long unexpected;	/* errors that are not documented */
};

extern struct verdict verdict;

/* What the witness says of a drive. */
struct sight {
	char queue[64];
	char disk[64];
	int tray;
	int power;
	int device;
	int host;
	int driver;
};

bool look(const struct drive *drive, struct sight *sight);
/* How many trays of drives that are gone were left locked. */
int look_gone(void);
void forget_trays(void);
void print_witness(void);
/* Note what is so while nothing is going on, and compare with that later. */
void clean_baseline(const struct drive *drives, int count);
/* sr was unbound from a device (H:C:T:L); the device is gone. */
void note_unbound(const char *address);
void note_gone(const char *address);
/* Whether the tray is locked, or is in a while; lock: of the holder, as sg has no holder. */
bool becomes_locked(const struct drive *drive, int lock);
/* Whether the drive is free and as it was, all actors being dead. */
bool clean(const struct drive *drive);
/* The same for all drives when the module is not loaded. */
void check_without_module(void);
/* The state attribute; "gone" if there is none. */
const char *state_of(const struct drive *drive, char *buffer, size_t size);
int module_count(void);
/* The results of a verdict, in TAP. */
void verdict_report(void);

/* slabs.c */
void slabs_before(void);
/* The caches that grew by more than so many objects are printed; how many they are. */
int slabs_grown(long objects);

/* histogram.c */
void hit_note(const char *what);
/* Print how often each stage or state was hit. */
void hits_print(const char *title);
/* How many different ones were hit. */
int hits_kinds(void);
void hits_clear(void);

/* the phases: how many of what to do; they return the exit status */
int phase_kill(unsigned long count);
int phase_launch(unsigned long count);
int phase_unplug(unsigned long count);
int phase_load(unsigned long count);
int phase_hand_over(unsigned long count);
int phase_hibernate(unsigned long count);
int phase_burn(const char *sr);

#endif
