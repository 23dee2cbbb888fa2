// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * srlock_race.ko - data races, to see whether they are found
 *
 * Its name is like the module's own, so that what looks for races of srlock has to
 * find these. One race is between two functions of this module; in the other both
 * accesses are in functions of the kernel, which this module calls.
 */
#include <linux/delay.h>
#include <linux/kthread.h>
#include <linux/module.h>
#include <linux/string.h>

static char text[16];
static int number;
static struct task_struct *threads[2];

static noinline void race_write(unsigned int i)
{
	number = i;
	scnprintf(text, sizeof(text), "%u", i);
}

static noinline unsigned int race_read(void)
{
	return number + !memchr_inv(text, '1', sizeof(text));
}

static int race_writer(void *unused)
{
	unsigned int i = 0;

	while (!kthread_should_stop()) {
		race_write(i++);
		cond_resched();
	}

	return 0;
}

static int race_reader(void *unused)
{
	unsigned int sum = 0;

	while (!kthread_should_stop()) {
		sum += race_read();
		cond_resched();
	}

	return sum & 1;
}

static int __init race_init(void)
{
	threads[0] = kthread_run(race_writer, NULL, "race_writer");
	if (IS_ERR(threads[0]))
		return PTR_ERR(threads[0]);

	threads[1] = kthread_run(race_reader, NULL, "race_reader");
	if (IS_ERR(threads[1])) {
		kthread_stop(threads[0]);
		return PTR_ERR(threads[1]);
	}

	return 0;
}

static void __exit race_exit(void)
{
	kthread_stop(threads[1]);
	kthread_stop(threads[0]);
}

module_init(race_init);
module_exit(race_exit);

MODULE_DESCRIPTION("Data races that have to be found");
MODULE_LICENSE("GPL");
