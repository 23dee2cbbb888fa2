// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * fuzz alone|shared SECONDS SEED TOTAL CORPUS	run programs for so long
 * fuzz run PROGRAM...				run these, show each result
 *
 * Programs are made at random, or by changing those of the file CORPUS and those of this
 * run that made the module run code which it had not run before, where the kernel has
 * KCOV. There the file is written anew in the end, without those that are of no use.
 * All that is random comes from SEED. TOTAL is how many places in the module KCOV can
 * tell of.
 *
 * The watchdog here kills a process now and then, and one whose call lasts too long.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cover.h"
#include "mover.h"
#include "ops.h"
#include "tap.h"

enum {
	SECOND_NS = 1000000000,
	LOOK_US = 50000,
	CLIENTS = 10,		/* workers of phase SHARED */
	KILL_EVERY = 20,	/* looks, on average */
};

static struct shared *shared;
static __u64 seed;
static bool guided;
static unsigned int worker_count;
static unsigned int begun_with;
static unsigned int incarnations;
static unsigned int killed;
static unsigned int stuck;
static struct random dice;

/* --- the corpus ------------------------------------------------------------- */

static void corpus_add(const struct program *program, unsigned int length)
{
	unsigned int at = shared->corpus_length++;

	if (at >= MAX_CORPUS) {
		shared->corpus_length = MAX_CORPUS;
		return;
	}
	shared->corpus[at] = *program;
	shared->corpus[at].length = length;
	shared->corpus_ready[at] = true;
}

static const struct program *corpus_pick(struct random *random)
{
	unsigned int length = shared->corpus_length;
	unsigned int at;

	if (length > MAX_CORPUS)
		length = MAX_CORPUS;
	if (!length)
		return NULL;
	at = random_below(random, length);
	return shared->corpus_ready[at] ? &shared->corpus[at] : NULL;
}

static unsigned int corpus_read(const char *path)
{
	FILE *file = fopen(path, "r");
	static char line[MAX_TEXT];
	struct program program;

	while (file && fgets(line, sizeof(line), file))
		if (line[0] != '#' && program_parse(&program, line))
			corpus_add(&program, program.length);
	if (file)
		fclose(file);
	return shared->corpus_length;
}

static void corpus_write(const char *path)
{
	FILE *file = fopen(path, "w");
	static char text[MAX_TEXT];

	for (unsigned int i = 0; file && i < shared->corpus_length; i++) {
		if (!shared->corpus_ready[i])
			continue;
		program_print(&shared->corpus[i], text, sizeof(text));
		fprintf(file, "%s\n", text);
	}
	if (file)
		fclose(file);
}

/* --- a worker --------------------------------------------------------------- */

static void choose_program(struct program *program, struct random *random)
{
	const struct program *chosen = random_below(random, 3) ? corpus_pick(random) : NULL;

	if (!chosen) {
		program_generate(program, random);
		return;
	}
	*program = *chosen;
	program_mutate(program, corpus_pick(random), random);
}

/*
 * Share in running the programs of earlier runs. One that shows nothing new is dropped,
 * but not for what happens when others are at it, too.
 */
static void replay(struct runner *runner)
{
	while (!shared->stop) {
		unsigned int at = shared->corpus_replayed++;

		if (at >= begun_with)
			return;
		runner->worker->program = shared->corpus[at];
		runner_program(runner);
		if (guided && shared->alone && runner->last_new == NOBODY)
			shared->corpus_ready[at] = false;
	}
}

static void work(unsigned int number, unsigned int incarnation)
{
	static struct runner runner;
	struct random random;

	runner_init(&runner, shared, number);
	random_seed(&random, seed, incarnation * MAX_WORKERS + number);
	if (!runner_own_memory(&runner))
		_exit(1);
	if (shared->alone)
		runner.control = open(shared->drives[number].lock, O_RDONLY | O_CLOEXEC);
	/* what the last one left when it was killed */
	if (shared->alone && !wait_free(&runner, NULL))
		wrong(&runner, "the drive is not free when its holder was killed");
	if (guided)
		cover_begin();
	replay(&runner);
	while (!shared->stop) {
		choose_program(&runner.worker->program, &random);
		runner_program(&runner);
		if (runner.last_new != NOBODY)
			corpus_add(&runner.worker->program, runner.last_new + 1);
	}
	_exit(0);
}

static void start_worker(unsigned int number)
{
	unsigned int incarnation = incarnations++;
	pid_t pid;

	memset(shared->workers[number].watches, 0, sizeof(shared->workers[number].watches));
	shared->workers[number].doomed = false;
	pid = fork();
	if (!pid && !setpgid(0, 0))
		work(number, incarnation);
	shared->workers[number].pid = pid;
}

/* --- the watchdog ----------------------------------------------------------- */

static void show_stack(pid_t pid)
{
	char path[64], line[160];
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/stack", pid);
	file = fopen(path, "re");
	while (file && fgets(line, sizeof(line), file))
		printf("    # %s", line);
	if (file)
		fclose(file);
}

static bool lasts_too_long(const struct watch *watch)
{
	__u64 started = watch->started_ns;

	return started && now_ns() > started + BOUND_S * (__u64)SECOND_NS;
}

static bool dies(pid_t pid)
{
	__u64 end = now_ns() + BOUND_S * (__u64)SECOND_NS;

	kill(pid, SIGKILL);
	while (now_ns() < end) {
		if (waitpid(pid, NULL, WNOHANG) == pid)
			return true;
		usleep(1000);
	}
	return false;
}

/* Its children are in its process group, and ours when it is dead. */
static bool children_die(pid_t group)
{
	__u64 end = now_ns() + BOUND_S * (__u64)SECOND_NS;

	while (!kill(-group, SIGKILL) && now_ns() < end) {
		while (waitpid(-group, NULL, WNOHANG) > 0)
			;
		usleep(1000);
	}
	return now_ns() < end;
}

static void kill_worker(unsigned int number)
{
	struct worker *worker = &shared->workers[number];

	witness_end(shared, &shared->killer, MAX_NUMBERS);
	worker->doomed = true;
	if (!dies(worker->pid) || !children_die(worker->pid)) {
		stuck++;
		printf("    # worker %u cannot be killed\n", number);
		show_stack(worker->pid);
	}
	witness_end_over(&shared->killer);
	worker->pid = 0;
}

static void report_stuck(unsigned int number, const struct watch *watch)
{
	struct worker *worker = &shared->workers[number];
	static char text[MAX_TEXT];

	stuck++;
	program_print(&worker->program, text, sizeof(text));
	printf("    # worker %u: call %u lasts more than %d s in: %s\n", number, watch->call,
	       BOUND_S, text);
	for (int i = 0; i < WATCHES; i++)
		if (worker->watches[i].pid)
			show_stack(worker->watches[i].pid);
}

static void look_after(unsigned int number)
{
	struct worker *worker = &shared->workers[number];

	for (int i = 0; i < WATCHES && worker->pid; i++) {
		if (!lasts_too_long(&worker->watches[i]))
			continue;
		report_stuck(number, &worker->watches[i]);
		kill_worker(number);
	}
	/* not before all have run the programs of earlier runs */
	if (shared->corpus_replayed < begun_with + worker_count)
		return;
	if (worker->pid && !shared->stop && !random_below(&dice, KILL_EVERY * worker_count)) {
		kill_worker(number);
		killed++;
	}
}

/* A worker that ends though nobody told it to is none of the kernel's faults, but one. */
static void note_death(pid_t pid, int status)
{
	for (unsigned int i = 0; i < worker_count; i++) {
		if (shared->workers[i].pid != pid)
			continue;
		shared->workers[i].pid = 0;
		if (!status)
			continue;
		shared->failures++;
		printf("    # worker %u ends with status %#x\n", i, status);
	}
}

static unsigned int look(void)
{
	unsigned int running = 0;
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		note_death(pid, status);
	for (unsigned int i = 0; i < worker_count; i++) {
		look_after(i);
		if (!shared->workers[i].pid && !shared->stop)
			start_worker(i);
		running += shared->workers[i].pid != 0;
	}
	if (lasts_too_long(&shared->mover)) {
		stuck++;
		printf("    # a drive does not come or go within %d s\n", BOUND_S);
		show_stack(shared->mover.pid);
		shared->mover.started_ns = now_ns();
	}
	return running;
}

/* --- results ---------------------------------------------------------------- */

static unsigned long sum_calls(void)
{
	unsigned long sum = 0;

	for (unsigned int i = 0; i < MAX_WORKERS; i++)
		for (unsigned int op = 0; op < op_count; op++)
			sum += shared->workers[i].calls[op];
	return sum;
}

/* Each operation is made often enough to have met something, and not always in vain. */
static unsigned int report_ops(void)
{
	unsigned int never = 0;

	for (unsigned int op = 0; op < op_count; op++) {
		unsigned long calls = 0, failed = 0;

		for (unsigned int i = 0; i < MAX_WORKERS; i++) {
			calls += shared->workers[i].calls[op];
			failed += shared->workers[i].failed[op];
		}
		printf("    # %12s: %lu calls, %lu failed\n", ops[op].name, calls, failed);
		never += !calls;
	}
	return never;
}

static void report(const char *phase, unsigned long seconds, unsigned int total)
{
	unsigned long calls = sum_calls(), programs = 0, repeated = 0;
	unsigned int never = report_ops();
	unsigned int covered = cover_count(shared);

	for (unsigned int i = 0; i < MAX_WORKERS; i++) {
		programs += shared->workers[i].programs;
		repeated += shared->workers[i].repeated;
	}
	printf("    # %s: %lu calls in %lu programs in %lu s; %lu of them in loops\n", phase,
	       calls, programs, seconds, repeated);
	printf("    # %s: %u processes killed, drives moved %u times\n", phase, killed,
	       shared->moves);
	tap_true("calls were made", calls > 0);
	tap_equal("operations never made", never, 0);
	tap_equal("results that are not documented", shared->failures, 0);
	tap_equal("calls that lasted too long", stuck, 0);
	if (guided) {
		printf("    # %s: callers ran %u of %u places of the module, %u programs\n", phase,
		       covered, total, shared->corpus_length);
		tap_true("KCOV saw the module", covered > 0);
	}
}

static void check_drives(unsigned int drives)
{
	struct runner runner;
	unsigned int not_free = 0;

	mover_restore(shared, drives);
	runner_init(&runner, shared, 0);
	for (unsigned int i = 0; i < shared->drive_count; i++)
		not_free += !wait_free(&runner, shared->drives[i].lock);
	tap_equal("drives at the end", shared->drive_count, drives);
	tap_equal("drives that are not free at the end", not_free, 0);
}

/* --- the phases ------------------------------------------------------------- */

static pid_t start_mover(void)
{
	pid_t pid = shared->alone ? 0 : fork();
	struct random random;

	if (shared->alone || pid)
		return pid;
	random_seed(&random, seed, ~0ULL);
	mover_run(shared, &random);
	_exit(0);
}

static void run_phase(unsigned int seconds)
{
	__u64 end = now_ns() + seconds * (__u64)SECOND_NS;
	pid_t mover = start_mover();
	unsigned int looks = 0;

	while (now_ns() < end) {
		look();
		usleep(LOOK_US);
		if (!(++looks % 1200))
			printf("    # %lu calls, %lu wrong\n", sum_calls(), shared->failures);
	}
	shared->stop = true;
	while (look())
		usleep(LOOK_US);
	if (mover > 0)
		waitpid(mover, NULL, 0);
}

static int fuzz(const char *phase, unsigned int seconds, unsigned int total, const char *corpus)
{
	unsigned int drives;

	begun_with = corpus_read(corpus);
	shared->alone = !strcmp(phase, "alone");
	guided = cover_exists();
	mover_look(shared);
	drives = shared->drive_count;
	worker_count = shared->alone ? drives : CLIENTS;
	tap_scope("%s", phase);
	printf("    # %s: seed %llu, %u drives, %u workers, begins with %u programs\n", phase,
	       seed, drives, worker_count, begun_with);
	tap_true("drives with a lock", drives > 0);
	run_phase(seconds);
	report(phase, seconds, total);
	check_drives(drives);
	if (guided)
		corpus_write(corpus);
	return tap_end();
}

static int run_programs(char **programs)
{
	static struct runner runner;

	shared->alone = true;
	shared->verbose = true;
	mover_look(shared);
	runner_init(&runner, shared, 0);
	runner.control = open(shared->drives[0].lock, O_RDONLY | O_CLOEXEC);
	if (!runner_own_memory(&runner))
		return 2;
	for (; *programs; programs++) {
		if (!program_parse(&runner.worker->program, *programs))
			return 2;
		runner_program(&runner);
	}
	return shared->failures != 0;
}

int main(int argc, char **argv)
{
	const struct rlimit none = { 0 };

	setvbuf(stdout, NULL, _IONBF, 0);
	setrlimit(RLIMIT_CORE, &none);
	signals_init();
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		      -1, 0);
	if (shared == MAP_FAILED)
		return 2;
	if (argc > 2 && !strcmp(argv[1], "run"))
		return run_programs(argv + 2);
	if (argc != 6)
		return 2;
	seed = strtoull(argv[3], NULL, 0);
	random_seed(&dice, seed, ~1ULL);
	return fuzz(argv[1], atoi(argv[2]), atoi(argv[4]), argv[5]);
}
