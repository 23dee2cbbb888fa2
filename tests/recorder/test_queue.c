// SPDX-License-Identifier: GPL-2.0-or-later
/* Between transport and drive: faults, the queue, the journal, the control commands */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "bench.h"
#include "daemon/control.h"

#define MS	1000ull

/**
 * struct line - drive, queue and all that is around them, without a transport
 * @answered: tags in the order of their answers
 * @statuses: and how they were answered
 * @log: what the journal has written
 */
struct line {
	struct drive drive;
	struct faults faults;
	struct journal journal;
	struct queue queue;
	struct control control;
	u32 answered[32];
	u8 statuses[32];
	unsigned int count;
	char *log;
	size_t log_length;
	char directory[32];
};

static u64 now;

static u64 clock_us(void)
{
	return now;
}

static void take_answer(void *context, struct task *task)
{
	struct line *line = context;

	line->answered[line->count] = task->tag;
	line->statuses[line->count++] = task->command.status;
	free(task);
}

static void line_open(struct line *line)
{
	memset(line, 0, sizeof(*line));
	now = 5000 * MS;
	drive_init(&line->drive, "line");
	drive_insert(&line->drive, bench_medium("dvd-rw", 0));
	line->drive.attention_count = 0;
	line->journal.clock_us = clock_us;
	line->journal.file = open_memstream(&line->log, &line->log_length);
	line->queue = (struct queue) {
		.drive = &line->drive, .faults = &line->faults, .journal = &line->journal,
		.done = take_answer, .context = line,
	};
	strcpy(line->directory, "/tmp/recorder-XXXXXX");
	CHECK(mkdtemp(line->directory));
	line->control = (struct control) {
		.directory = line->directory, .drive = &line->drive, .queue = &line->queue,
		.faults = &line->faults, .journal = &line->journal, .fd = -1,
	};
}

static void line_close(struct line *line)
{
	char path[64];

	CHECK(!line->queue.head);
	drive_release(&line->drive);
	fclose(line->journal.file);
	free(line->log);
	for (unsigned int i = 0; i <= line->control.media; i++) {
		snprintf(path, sizeof(path), "%s/medium-%u", line->directory, i);
		unlink(path);
	}
	snprintf(path, sizeof(path), "%s/control", line->directory);
	unlink(path);
	CHECK_EQ(rmdir(line->directory), 0);
}

static void submit(struct line *line, u32 tag, const char *cdb)
{
	struct task *task = calloc(1, sizeof(*task));

	task->tag = tag;
	for (size_t i = 0; cdb[2 * i]; i++) {
		unsigned int byte;

		if (sscanf(cdb + 2 * i, "%2x", &byte) != 1)
			abort();
		task->cdb[i] = (u8)byte;
		task->command.cdb_length = i + 1;
	}
	task->command.cdb = task->cdb;
	queue_submit(&line->queue, task, now);
	queue_run(&line->queue, now);
}

static void pass(struct line *line, u64 ms)
{
	now += ms * MS;
	queue_run(&line->queue, now);
}

/* Say something at the control socket. Return: the error, or NULL */
static const char *say(struct line *line, const char *words)
{
	static char answer[2048];
	char text[CONTROL_LINE];
	const char *error;
	FILE *file = fmemopen(answer, sizeof(answer), "w");

	strcpy(text, words);
	error = control_execute(&line->control, text, file);
	fclose(file);
	return error;
}

static bool says(struct line *line, const char *words, const char *expected)
{
	char *answer = NULL;
	size_t length;
	char text[CONTROL_LINE];
	bool found;
	FILE *file = open_memstream(&answer, &length);

	strcpy(text, words);
	CHECK(!control_execute(&line->control, text, file));
	fclose(file);
	found = strstr(answer, expected);
	if (!found)
		printf("# %s:\n%s", words, answer);
	free(answer);
	return found;
}

static bool logged(struct line *line, const char *text)
{
	fflush(line->journal.file);
	return strstr(line->log, text);
}

static void commands_go_through(void)
{
	struct line line;

	line_open(&line);
	submit(&line, 7, "000000000000");
	submit(&line, 9, "ff000000000000000000");
	CHECK_EQ(line.count, 2);
	CHECK_EQ(line.answered[0], 7);
	CHECK_EQ(line.statuses[0], STATUS_GOOD);
	CHECK_EQ(line.statuses[1], STATUS_CHECK_CONDITION);
	CHECK(logged(&line, "5.000000 command 1 TEST_UNIT_READY cdb=000000000000"));
	CHECK(logged(&line, " length=0 returned=0 status=00 sense=- took=0.000000 fault=-\n"));
	CHECK(logged(&line, "5.000000 command 2 - cdb=ff000000000000000000"));
	CHECK(logged(&line, " status=02 sense=5/20/00 took=0.000000 fault=-\n"));
	CHECK_EQ(queue_wait_ms(&line.queue, now), -1);
	line_close(&line);
}

static void delayed_command(void)
{
	struct line line;

	line_open(&line);
	CHECK(!say(&line, "fault 1e delay=8000"));
	submit(&line, 1, "1e0000000100");
	submit(&line, 2, "000000000000");
	CHECK(queue_is_held(&line.queue));
	CHECK_EQ(queue_wait_ms(&line.queue, now), 8000);
	CHECK(logged(&line, "held 1 PREVENT_ALLOW_MEDIUM_REMOVAL cdb=1e0000000100 fault=delay\n"));
	pass(&line, 7999);
	CHECK_EQ(line.count, 0);
	CHECK(!line.drive.prevented);
	pass(&line, 1);
	CHECK_EQ(line.count, 2);	/* the one behind it had to wait */
	CHECK_EQ(line.answered[0], 1);
	CHECK(line.drive.prevented);
	CHECK(logged(&line, "took=8.000000 fault=delay\n"));
	line_close(&line);
}

static void delay_and_sense(void)
{
	struct line line;

	line_open(&line);
	CHECK(!say(&line, "fault 1e delay=100 sense=4/44/00"));
	submit(&line, 1, "1e0000000100");
	pass(&line, 99);
	CHECK_EQ(line.count, 0);
	pass(&line, 1);
	CHECK_EQ(line.statuses[0], STATUS_CHECK_CONDITION);
	CHECK(logged(&line, "sense=4/44/00"));
	CHECK(!line.drive.prevented);
	line_close(&line);
}

static void hang_and_release(void)
{
	struct line line;

	line_open(&line);
	CHECK(!say(&line, "fault any hang"));
	submit(&line, 1, "1e0000000100");
	pass(&line, 1000000);
	CHECK_EQ(line.count, 0);
	CHECK_EQ(queue_wait_ms(&line.queue, now), -1);
	CHECK(says(&line, "status", "held=PREVENT_ALLOW_MEDIUM_REMOVAL\n"));
	CHECK(says(&line, "status", "in-flight=1\n"));
	CHECK(!say(&line, "release"));
	CHECK_EQ(line.count, 1);
	CHECK_EQ(line.statuses[0], STATUS_GOOD);
	CHECK(line.drive.prevented);
	CHECK_TEXT(say(&line, "release"), "no command is held");
	CHECK(says(&line, "status", "held=none\n"));
	line_close(&line);
}

static void hang_and_abort(void)
{
	struct line line;

	line_open(&line);
	CHECK(!say(&line, "fault 1e hang"));
	submit(&line, 1, "1e0000000100");
	submit(&line, 2, "000000000000");
	CHECK(!queue_abort(&line.queue, 3, now));
	CHECK(queue_abort(&line.queue, 1, now));
	CHECK_EQ(line.count, 2);
	CHECK_EQ(line.answered[0], 1);
	CHECK_EQ(line.statuses[0], STATUS_TASK_ABORTED);
	CHECK_EQ(line.statuses[1], STATUS_GOOD);
	CHECK(!line.drive.prevented);	/* it was never carried out */
	line_close(&line);
}

static void abort_behind_the_head(void)
{
	struct line line;

	line_open(&line);
	CHECK(!say(&line, "fault 1e hang"));
	submit(&line, 1, "1e0000000100");
	submit(&line, 2, "1e0000000100");
	submit(&line, 3, "000000000000");
	CHECK(queue_abort(&line.queue, 2, now));
	CHECK_EQ(line.count, 1);
	CHECK_EQ(line.answered[0], 2);
	CHECK(queue_is_held(&line.queue));
	queue_release(&line.queue, now);
	CHECK_EQ(line.count, 3);
	CHECK_EQ(line.answered[2], 3);
	line_close(&line);
}

static void deaf_drive(void)
{
	struct line line;

	line_open(&line);
	CHECK(!say(&line, "fault 1e deaf"));
	submit(&line, 1, "1e0000000100");
	CHECK(!queue_abort(&line.queue, 1, now));
	CHECK_EQ(line.count, 0);
	queue_release(&line.queue, now);
	CHECK_EQ(line.count, 1);
	CHECK_EQ(line.statuses[0], STATUS_GOOD);
	line_close(&line);
}

/* A command that is being answered has had its effect: the answer is what counts. */
static void abort_comes_too_late(void)
{
	struct line line;

	line_open(&line);
	submit(&line, 1, "a10000000000000000000000");
	CHECK_EQ(line.count, 0);
	CHECK(!queue_is_held(&line.queue));
	CHECK_EQ(queue_wait_ms(&line.queue, now), 50);
	CHECK(!queue_abort(&line.queue, 1, now));
	CHECK_TEXT(say(&line, "release"), "no command is held");
	pass(&line, 50);
	CHECK_EQ(line.count, 1);
	CHECK_EQ(line.statuses[0], STATUS_GOOD);
	line_close(&line);
}

static void statuses(void)
{
	struct line line;

	line_open(&line);
	CHECK(!say(&line, "fault 00 busy"));
	CHECK(!say(&line, "fault 00 status=18"));
	CHECK(!say(&line, "fault 00 attention=28/00"));
	for (u32 tag = 1; tag <= 4; tag++)
		submit(&line, tag, "000000000000");
	CHECK_EQ(line.statuses[0], STATUS_BUSY);
	CHECK_EQ(line.statuses[1], 0x18);
	CHECK_EQ(line.statuses[2], STATUS_CHECK_CONDITION);
	CHECK(logged(&line, "sense=6/28/00"));
	CHECK_EQ(line.statuses[3], STATUS_GOOD);
	CHECK(says(&line, "status", "faults=0\n"));
	line_close(&line);
}

static void nth_and_times(void)
{
	struct line line;
	static const u8 expected[] = { 0, 0, 8, 8, 0, 0 };

	line_open(&line);
	CHECK(!say(&line, "fault 00 nth=3 times=2 busy"));
	for (u32 tag = 0; tag < 6; tag++)
		submit(&line, tag, "000000000000");
	for (int i = 0; i < 6; i++)
		CHECK_EQ(line.statuses[i], expected[i]);
	CHECK(!say(&line, "fault 00 forever busy"));
	for (u32 tag = 6; tag < 16; tag++)
		submit(&line, tag, "000000000000");
	for (int i = 6; i < 16; i++)
		CHECK_EQ(line.statuses[i], STATUS_BUSY);
	CHECK(!say(&line, "clear"));
	submit(&line, 16, "000000000000");
	CHECK_EQ(line.statuses[16], STATUS_GOOD);
	line_close(&line);
}

static void patterns(void)
{
	struct line line;

	line_open(&line);
	CHECK(!say(&line, "fault 1e......00 forever busy"));	/* ALLOW, not PREVENT */
	submit(&line, 1, "1e0000000100");
	submit(&line, 2, "1e0000000000");
	submit(&line, 3, "000000000000");
	CHECK_EQ(line.statuses[0], STATUS_GOOD);
	CHECK_EQ(line.statuses[1], STATUS_BUSY);
	CHECK_EQ(line.statuses[2], STATUS_GOOD);
	CHECK(!say(&line, "clear"));
	CHECK(!say(&line, "fault 00000000000000 busy"));	/* longer than the CDB */
	submit(&line, 4, "000000000000");
	CHECK_EQ(line.statuses[3], STATUS_GOOD);
	CHECK(says(&line, "faults", "00000000000000 busy\n"));
	line_close(&line);
}

static void bad_faults(void)
{
	static const char * const bad[] = {
		"fault", "fault 1e", "fault 1", "fault xx busy", "fault 1e.g busy",
		"fault 00112233445566778899aabbccddeeff00 busy", "fault 1e busy hang",
		"fault 1e nth=0 busy", "fault 1e nth=x busy", "fault 1e times=0 busy",
		"fault 1e delay=", "fault 1e delay=-1", "fault 1e delay=0", "fault 1e sense=5/24",
		"fault 1e sense=5/24/00/00", "fault 1e sense=15/24/00", "fault 1e sense=5/240/00",
		"fault 1e attention=28", "fault 1e attention=28/00/00", "fault 1e status=2",
		"fault 1e status=02", "fault 1e status=zz", "fault 1e nothing",
		"fault any nth=99999999999999999999 busy",
	};
	struct line line;

	line_open(&line);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		const char *error = say(&line, bad[i]);

		CHECK(error);
		CHECK_EQ(line.faults.count, 0);
		if (!error)
			printf("# accepted: %s\n", bad[i]);
	}
	for (int i = 0; i < FAULTS_MAX; i++)
		CHECK(!say(&line, "fault any busy"));
	CHECK_TEXT(say(&line, "fault any busy"), "too many faults");
	line_close(&line);
}

static void discs_by_hand(void)
{
	struct line line;

	line_open(&line);
	CHECK(!say(&line, "insert dvd+rw 4096"));
	CHECK(says(&line, "status", "medium=dvd+rw\nmedium-state=blank\n"));
	CHECK(says(&line, "status", "profile=001a\n"));
	CHECK_EQ(line.drive.medium->sectors, 4096);
	line.drive.prevented = true;
	CHECK_TEXT(say(&line, "insert dvd+r"), "medium removal is prevented");
	CHECK_TEXT(say(&line, "remove"), "medium removal is prevented");
	CHECK(says(&line, "press", "tray=closed\n"));
	CHECK_EQ(line.drive.events[EVENT_MEDIA], EVENT_MEDIA_EJECT_REQUEST);
	line.drive.prevented = false;
	CHECK(says(&line, "press", "tray=open\n"));
	CHECK(!say(&line, "insert dvd+r"));
	CHECK(says(&line, "status", "tray=closed\n"));
	CHECK(says(&line, "status", "medium=dvd+r\n"));
	CHECK(!say(&line, "remove"));
	CHECK(says(&line, "status", "medium=none\n"));
	CHECK_TEXT(say(&line, "insert"), "insert what?");
	CHECK_TEXT(say(&line, "insert floppy"), "unknown kind of disc");
	CHECK_TEXT(say(&line, "insert dvd-rom"), "no such disc comes blank");
	CHECK_TEXT(say(&line, "insert dvd+r 0"), "the size is a number of sectors");
	CHECK_TEXT(say(&line, "insert dvd+r -1"), "the size is a number of sectors");
	CHECK_TEXT(say(&line, "insert image"), "insert image takes a path");
	CHECK_TEXT(say(&line, "insert image /nonexistent"), "No such file or directory");
	CHECK_TEXT(say(&line, "insert image /dev/null"), "not a file with an image");
	CHECK(says(&line, "status", "medium=none\n"));
	line_close(&line);
}

static void attention_and_reset_by_hand(void)
{
	struct line line;

	line_open(&line);
	CHECK(!say(&line, "attention 2a/01"));
	submit(&line, 1, "1e0000000100");
	CHECK(logged(&line, "sense=6/2a/01"));
	line.drive.prevented = true;
	CHECK(!say(&line, "reset"));
	CHECK(!line.drive.prevented);
	submit(&line, 2, "000000000000");
	CHECK(logged(&line, "sense=6/29/00"));
	CHECK(say(&line, "attention 2a"));
	CHECK(say(&line, "attention 2a/01x"));
	CHECK(says(&line, "status", "attentions=0\n"));
	line_close(&line);
}

static void other_words(void)
{
	struct line line;

	line_open(&line);
	submit(&line, 1, "000000000000");
	submit(&line, 2, "000000000000");
	CHECK(says(&line, "counts", "00 TEST_UNIT_READY 2\n"));
	CHECK(says(&line, "status", "commands=2\n"));
	CHECK(!say(&line, "mark here it is"));
	CHECK(logged(&line, "event mark here it is\n"));
	CHECK(!say(&line, "set operation 123"));
	CHECK_EQ(line.drive.operation_ms, 123);
	CHECK(!say(&line, "set spin-up 5"));
	CHECK_EQ(line.drive.spin_up_ms, 5);
	CHECK(!say(&line, "set format 6"));
	CHECK_EQ(line.drive.format_ms, 6);
	CHECK(say(&line, "set operation"));
	CHECK(say(&line, "set operation x"));
	CHECK(say(&line, "set colour 1"));
	CHECK_TEXT(say(&line, "status now"), "too many words");
	CHECK_TEXT(say(&line, ""), "unknown command");
	CHECK(!line.control.quit);
	CHECK(!say(&line, "quit"));
	CHECK(line.control.quit);
	line_close(&line);
}

static int connect_client(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	strcpy(address.sun_path, path);
	CHECK_EQ(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

static void serve_once(struct line *line)
{
	struct pollfd fds[1 + CONTROL_CLIENTS];
	int count = control_poll_fds(&line->control, fds);

	poll(fds, (nfds_t)count, 0);
	control_serve(&line->control, fds, count);
	control_notify(&line->control);
}

static bool receives(int fd, const char *expected)
{
	char text[1024] = "";
	ssize_t length = recv(fd, text, sizeof(text) - 1, MSG_DONTWAIT);

	return length >= 0 && !strcmp(text, expected);
}

static void the_socket(void)
{
	struct line line;
	char path[64], garbage[CONTROL_LINE];
	int clients[CONTROL_CLIENTS + 1], fd;

	line_open(&line);
	snprintf(path, sizeof(path), "%s/control", line.directory);
	CHECK(control_open(&line.control, path));
	CHECK(control_open(&line.control, path));	/* an old one is replaced */

	fd = connect_client(path);
	serve_once(&line);
	CHECK_EQ(send(fd, "cou", 3, 0), 3);
	serve_once(&line);
	CHECK(!receives(fd, ""));		/* nothing yet */
	CHECK_EQ(send(fd, "nts\n", 4, 0), 4);
	serve_once(&line);
	CHECK(receives(fd, "ok\n"));
	CHECK(receives(fd, ""));		/* end of file */
	close(fd);

	fd = connect_client(path);
	serve_once(&line);
	CHECK_EQ(send(fd, "insert floppy\n", 14, 0), 14);
	serve_once(&line);
	CHECK(receives(fd, "error: unknown kind of disc\n"));
	close(fd);

	fd = connect_client(path);		/* a line without an end */
	serve_once(&line);
	memset(garbage, 'x', sizeof(garbage));
	CHECK_EQ(send(fd, garbage, sizeof(garbage), 0), CONTROL_LINE);
	serve_once(&line);
	CHECK(receives(fd, ""));
	close(fd);

	for (int i = 0; i <= CONTROL_CLIENTS; i++) {	/* one too many */
		clients[i] = connect_client(path);
		serve_once(&line);
	}
	CHECK(receives(clients[CONTROL_CLIENTS], ""));
	CHECK(!receives(clients[0], ""));
	for (int i = 0; i <= CONTROL_CLIENTS; i++)
		close(clients[i]);
	serve_once(&line);
	fd = connect_client(path);
	serve_once(&line);
	CHECK(!receives(fd, ""));
	close(fd);
	serve_once(&line);
	close(line.control.fd);
	line_close(&line);
}

static void awaiting(void)
{
	struct line line;
	char path[64];
	int held, idle;

	line_open(&line);
	snprintf(path, sizeof(path), "%s/control", line.directory);
	CHECK(control_open(&line.control, path));
	CHECK(!say(&line, "fault 00 hang"));
	held = connect_client(path);
	serve_once(&line);
	CHECK_EQ(send(held, "await held\n", 11, 0), 11);
	serve_once(&line);
	CHECK(!receives(held, "ok\n"));
	submit(&line, 1, "000000000000");
	serve_once(&line);
	CHECK(receives(held, "ok\n"));
	idle = connect_client(path);
	serve_once(&line);
	CHECK_EQ(send(idle, "await idle\n", 11, 0), 11);
	serve_once(&line);
	CHECK(!receives(idle, "ok\n"));
	CHECK(!say(&line, "release"));
	serve_once(&line);
	CHECK(receives(idle, "ok\n"));
	close(held);
	close(idle);
	close(line.control.fd);
	line_close(&line);
}

static const struct test tests[] = {
	{ "commands go through and are written down", commands_go_through },
	{ "a delayed command holds up those behind it, and has no effect before", delayed_command },
	{ "a delay can end in an error", delay_and_sense },
	{ "a hanging command goes on when it is released", hang_and_release },
	{ "a hanging command can be aborted, and has no effect", hang_and_abort },
	{ "a command behind a hanging one can be aborted", abort_behind_the_head },
	{ "a deaf drive does not hear of an abort", deaf_drive },
	{ "a command that has been carried out is not aborted", abort_comes_too_late },
	{ "faults answer with BUSY, another status, a unit attention", statuses },
	{ "a fault strikes at the n-th command, so often or forever", nth_and_times },
	{ "patterns have bytes that may be anything", patterns },
	{ "bad faults are refused and change nothing", bad_faults },
	{ "discs are changed by hand, if removal is not prevented", discs_by_hand },
	{ "unit attention and reset by hand", attention_and_reset_by_hand },
	{ "the other commands of the control socket", other_words },
	{ "the socket: parts of lines, errors, garbage, too many clients", the_socket },
	{ "a client can wait until a command is held or the drive is idle", awaiting },
};

int main(void)
{
	return run_tests(tests, ARRAY_SIZE(tests));
}
